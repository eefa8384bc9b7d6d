import { PALETTE } from "./palette.js";

/** Style of a report: one column of figures on a wide page, none of it from elsewhere. Charts take their colours from the variables. */
export const CSS = `
${PALETTE}* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; font-variant-numeric: tabular-nums; }
main, .top, footer { max-width: 1104px; margin: 0 auto; padding: 0 32px; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 8px; top: 8px; background: var(--paper); color: var(--ink); padding: 8px 12px; z-index: 1; }
a { color: var(--first); text-underline-offset: 3px; }
:focus-visible { outline: 2px solid var(--first); outline-offset: 2px; border-radius: 2px; }
h1, h2, h3 { line-height: 1.15; text-wrap: balance; font-weight: 700; letter-spacing: -.012em; margin: 0; }
p { margin: 0; text-wrap: pretty; }
.top { padding-top: 40px; }
.eyebrow { color: var(--muted); font-size: 14px; margin-bottom: 10px; overflow-wrap: anywhere; }
h1 { font-size: clamp(30px, 4.6vw, 46px); letter-spacing: -.025em; }
.deck { font-size: 19px; line-height: 1.4; margin-top: 10px; }
.about { color: var(--muted); margin-top: 16px; max-width: 76ch; overflow-wrap: anywhere; }
.about p + p { margin-top: 4px; }
.verdict { margin-top: 22px; padding: 11px 15px; border-left: 4px solid; border-radius: 0 4px 4px 0; overflow-wrap: anywhere; }
.verdict + .verdict { margin-top: 8px; }
.verdict.passed { background: var(--good-soft); color: var(--good); }
.verdict.failed { background: var(--bad-soft); color: var(--bad); }
.verdict.none, .verdict.caution { background: var(--open-soft); color: var(--open); }
.tiles { display: grid; grid-template-columns: repeat(6, 1fr); gap: 0; margin: 26px 0 0; border-top: 1px solid var(--line); border-bottom: 1px solid var(--line); }
.tile { padding: 14px 14px 14px; border-left: 1px solid var(--line); }
.tile:first-child { border-left: 0; padding-left: 0; }
.tile dt { font-size: 14px; color: var(--muted); }
.tile dd { margin: 0; }
.tile .number { font-size: 27px; font-weight: 700; letter-spacing: -.02em; line-height: 1.3; white-space: nowrap; }
.tile .note { font-size: 13px; line-height: 1.35; color: var(--muted); }
nav { margin-top: 26px; font-size: 14px; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 0; padding: 0; }
nav a { display: inline-block; padding: 4px 0; }
section { margin-top: 56px; padding-top: 18px; border-top: 2px solid var(--ink); }
section > h2 { font-size: 27px; }
.lead { margin-top: 8px; max-width: 76ch; color: var(--muted); }
.blocks { display: grid; grid-template-columns: 1fr 1fr; gap: 40px 44px; margin-top: 26px; }
.blocks > * { grid-column: 1 / -1; min-width: 0; margin: 0; }
.blocks > .half { grid-column: auto; }
h3 { font-size: 18px; }
.subtitle { color: var(--muted); font-size: 14.5px; line-height: 1.4; margin-top: 3px; }
.chart { margin-top: 12px; }
.remark { border-left: 4px solid var(--zero); padding: 4px 15px; color: var(--muted); max-width: 90ch; overflow-wrap: anywhere; }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; }
.chart svg text { font-family: "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; font-variant-numeric: tabular-nums; }
.chart .narrow { display: none; }
details { margin-top: 8px; font-size: 14.5px; }
summary { cursor: pointer; color: var(--muted); width: fit-content; padding: 4px 0; }
summary:hover { color: var(--ink); }
.scroll { overflow-x: auto; margin-top: 8px; }
details .scroll { max-height: 480px; overflow-y: auto; }
table { border-collapse: collapse; font-size: 14.5px; line-height: 1.4; }
.blocks > .table table { width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 6px 22px 6px 0; border-bottom: 1px solid var(--line); }
th { font-weight: 700; color: var(--muted); border-bottom-color: var(--zero); background: var(--paper); }
th:last-child, td:last-child { padding-right: 2px; }
td.long { overflow-wrap: anywhere; min-width: 20ch; }
th.number, td.number { text-align: right; white-space: nowrap; }
.footnote, .notes { color: var(--muted); font-size: 13.5px; margin-top: 8px; }
.absent { background: var(--panel); padding: 16px 18px; border-radius: 4px; }
.absent p { color: var(--muted); margin-top: 4px; overflow-wrap: anywhere; }
.absent .dash { font-size: 27px; font-weight: 700; color: var(--muted); line-height: 1; margin: 6px 0 0; }
pre { background: var(--panel); padding: 14px 16px; border-radius: 4px; overflow-x: auto; font: 13.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; margin: 8px 0 0; white-space: pre-wrap; overflow-wrap: anywhere; }
sup { line-height: 0; font-size: 11px; }
footer { color: var(--muted); font-size: 14px; margin-top: 64px; padding-bottom: 48px; }
@media (min-width: 861px) { .half .subtitle { min-height: 2.8em; } }
@media (max-width: 860px) {
  .tiles { grid-template-columns: repeat(3, 1fr); }
  .tile:nth-child(3n + 1) { border-left: 0; padding-left: 0; }
  .tile:nth-child(n + 4) { border-top: 1px solid var(--line); }
  .blocks > .half { grid-column: 1 / -1; }
}
@media (max-width: 560px) {
  main, .top, footer { padding: 0 16px; }
  .top { padding-top: 24px; }
  .deck { font-size: 17px; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
  .tile:nth-child(n) { border-left: 1px solid var(--line); padding-left: 14px; border-top: 1px solid var(--line); }
  .tile:nth-child(-n + 2) { border-top: 0; }
  .tile:nth-child(2n + 1) { border-left: 0; padding-left: 0; }
  .chart .wide { display: none; }
  .chart .narrow { display: block; }
  table { font-size: 14px; }
  th, td { padding-right: 12px; }
  th.number { white-space: normal; }
  td.long { min-width: 12ch; }
  .stacked thead { position: absolute; clip-path: inset(50%); }
  .stacked tr { display: block; padding: 8px 0; border-bottom: 1px solid var(--line); }
  .stacked td { display: block; border: 0; padding: 1px 0; text-align: left; white-space: normal; }
  .stacked td:first-child { font-weight: 700; }
  .stacked td.number:not(:first-child)::before { content: attr(data-name) " "; color: var(--muted); }
  section { margin-top: 44px; }
  .blocks { gap: 34px; }
}
@media print {
  :root { --paper: #fff; --panel: #f4f4ef; }
  @page { margin: 14mm 13mm; }
  body { font-size: 10.5pt; }
  main, .top, footer { padding: 0; max-width: none; }
  nav, .skip, details:not([open]) { display: none; }
  section { margin-top: 26px; }
  .blocks { gap: 22px; margin-top: 14px; }
  .blocks > .half { grid-column: auto; }
  figure, .absent, .tiles, tr { break-inside: avoid; }
  h2, h3, .subtitle, .lead { break-after: avoid; }
  details .scroll { max-height: none; overflow: visible; }
}
`;
