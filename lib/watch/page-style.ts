import { PALETTE } from "../report/palette.js";

/** Style of the page, with the colours of a report and some more for the lines of several runs. */
export const CSS = `
${PALETTE}
:root { --c0: var(--first); --c1: var(--second); --c2: var(--third); --c3: #7a4fb0; --c4: #0c7280; --c5: var(--bad); --many: var(--zero); }
@media (prefers-color-scheme: dark) { :root { --c3: #c3a8ee; --c4: #62c6d2; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; font-variant-numeric: tabular-nums; }
main, footer { max-width: 1264px; margin: 0 auto; padding: 0 32px; }
h1, h2, p { margin: 0; }
h1 { font-size: 26px; line-height: 1.2; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { font-size: 16px; line-height: 1.3; }
.top { display: flex; flex-wrap: wrap; align-items: baseline; gap: 6px 14px; padding-top: 28px; }
.state { font-weight: 700; padding: 2px 10px; border-radius: 3px; }
.running { background: var(--first-soft); color: var(--ink); }
.finished { background: var(--good-soft); color: var(--good); }
.crashed { background: var(--bad-soft); color: var(--bad); }
.stopped, .waiting { background: var(--open-soft); color: var(--open); }
.how { margin-top: 6px; font-size: 19px; line-height: 1.4; }
.who { color: var(--muted); font-size: 14px; margin-top: 2px; overflow-wrap: anywhere; }
progress { display: block; width: 100%; height: 8px; margin-top: 12px; appearance: none; border: 0; background: var(--panel); color: var(--first); border-radius: 4px; overflow: hidden; }
progress::-webkit-progress-bar { background: var(--panel); }
progress::-webkit-progress-value { background: var(--first); }
progress::-moz-progress-bar { background: var(--first); }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 270px), 1fr)); gap: 26px 22px; margin-top: 26px; }
figure { margin: 0; min-width: 0; }
figcaption p { color: var(--muted); font-size: 13.5px; line-height: 1.35; }
.chart { display: block; width: 100%; height: auto; margin-top: 6px; overflow: visible; }
.chart text { font: 11.5px "Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif; fill: var(--muted); }
.end { text-anchor: end; } .middle { text-anchor: middle; }
.grid { stroke: var(--grid); } .zero { stroke: var(--zero); }
.line { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.dashed { stroke-dasharray: 2 4; }
.dot { fill: currentColor; } .marked { fill: var(--paper); stroke: currentColor; stroke-width: 2; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); } .c4 { color: var(--c4); } .c5 { color: var(--c5); } .many { color: var(--many); } .ink { color: var(--muted); }
.key { display: flex; flex-wrap: wrap; gap: 2px 18px; list-style: none; margin: 18px 0 0; padding: 0; font-size: 14px; color: var(--muted); }
.key svg { width: 26px; height: 10px; margin-right: 7px; vertical-align: 1px; }
.scroll { overflow-x: auto; margin-top: 26px; }
details .scroll { margin-top: 6px; max-height: 420px; overflow-y: auto; }
table { border-collapse: collapse; font-size: 14.5px; line-height: 1.4; width: 100%; }
th, td { text-align: right; padding: 6px 0 6px 20px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--muted); background: var(--paper); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.word, th.word { text-align: left; }
details { margin-top: 18px; font-size: 14.5px; }
details + details { margin-top: 2px; }
summary { cursor: pointer; color: var(--muted); width: fit-content; padding: 4px 0; }
summary:hover { color: var(--ink); }
:focus-visible { outline: 2px solid var(--first); outline-offset: 2px; border-radius: 2px; }
.warnings { background: var(--open-soft); color: var(--open); margin: 26px 0 0; padding: 10px 16px 10px 32px; border-radius: 3px; font-size: 14.5px; overflow-wrap: anywhere; }
footer { color: var(--muted); font-size: 14px; margin-top: 36px; padding-bottom: 40px; }
@media (max-width: 560px) {
  main, footer { padding: 0 16px; }
  .top { padding-top: 18px; }
  .charts { gap: 22px; }
}
`;
