/** Metric twins: what is measured for one holds for all. */
export const FONT = "Helvetica Neue, Helvetica, Arial, Liberation Sans, sans-serif";

/** Size of text in charts, in pixels. */
export const TEXT = 12.5;

/** Colours of the page by their CSS variables, so that one drawing serves light and dark: page.css.ts gives them their values. */
export const COLOURS = {
  ink: "var(--ink)",
  muted: "var(--muted)",
  grid: "var(--grid)",
  zero: "var(--zero)",
  paper: "var(--paper)",
  /** First series, and its soft variant for bands and bars behind it. */
  first: "var(--first)",
  firstSoft: "var(--first-soft)",
  /** Intervals about a line. */
  band: "var(--band)",
  second: "var(--second)",
  third: "var(--third)",
  /** What no skill looks like. */
  chance: "var(--chance)",
} as const;

/** From very negative over nothing to very positive. */
export const DIVERGING: readonly string[] = Array.from({ length: 9 }, (_, i) => `var(--d${i})`);

/** Of every chart: no frames, few lines, text in two greys. */
export const CONFIG = {
  background: null,
  font: FONT,
  padding: { left: 1, right: 1, top: 8, bottom: 1 },
  view: { stroke: null },
  aria: false,
  axis: {
    domain: false, ticks: false, grid: false, title: null, labelColor: COLOURS.muted, labelFontSize: TEXT, labelFontWeight: "normal", labelPadding: 7, labelOverlap: "greedy", labelSeparation: 10,
  },
  axisY: { grid: true, gridColor: COLOURS.grid, gridWidth: 1 },
  legend: { disable: true },
  text: { fontSize: TEXT, fill: COLOURS.ink, font: FONT },
  line: { strokeWidth: 1.8, strokeJoin: "round", strokeCap: "round" },
  rule: { stroke: COLOURS.zero, strokeWidth: 1 },
  // Vega-Lite's own scheme would colour what a chart leaves open.
  mark: { color: COLOURS.first },
} as const;

/** Share of a chart's width and its height. */
export function heightOf(width: number, wide: number): number {
  return Math.round(width < 420 ? width * 0.66 : wide);
}
