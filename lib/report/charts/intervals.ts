import type { Spec } from "../vega.js";
import { niceScale } from "./scale.js";
import { shortened } from "./text-width.js";
import { COLOURS, TEXT } from "./theme.js";

/** A value with its interval. */
export interface IntervalRow {
  readonly name: string;
  readonly value: number;
  readonly low?: number | undefined;
  readonly high?: number | undefined;
  /** The value as text, at the right. */
  readonly label: string;
  readonly isStrong?: boolean;
}

/** Dots with whiskers over a zero line, a row each: names at the left, values at the right. */
export function intervalChart(rows: readonly IntervalRow[], width: number, rowHeight = 30): Spec {
  const names = rows.map(({ name }) => shortened(name, TEXT, width < 420 ? 110 : 220));
  const scale = niceScale([0, ...rows.flatMap(({ value, low, high }) => [value, low ?? value, high ?? value])], width < 420 ? 3 : 5);
  const values = rows.map((row, i) => ({ ...row, row: i, low: row.low ?? row.value, high: row.high ?? row.value, colour: row.isStrong === false ? COLOURS.muted : COLOURS.first }));
  const x = { type: "quantitative", scale: { domain: scale.domain, nice: false }, axis: { values: scale.ticks, format: `.${scale.digits}f`, grid: true, gridColor: COLOURS.grid } };
  const labels = Object.fromEntries(names.map((name, i) => [i, name]));
  const y = { field: "row", type: "ordinal", sort: null, axis: { grid: false, labelColor: COLOURS.ink, labelExpr: `${JSON.stringify(labels)}[datum.value]`, labelLimit: 0, labelOverlap: false }, scale: { paddingInner: 0.3, paddingOuter: 0.2 } };
  return {
    width, height: rows.length * rowHeight + 34, autosize: { type: "fit", contains: "padding" }, padding: { left: 1, right: 3, top: 4, bottom: 1 },
    data: { values },
    layer: [
      { data: { values: [{ zero: 0 }] }, mark: { type: "rule", color: COLOURS.zero }, encoding: { x: { field: "zero", ...x } } },
      { mark: { type: "rule", strokeWidth: 2.2, strokeCap: "round" }, encoding: { x: { field: "low", ...x }, x2: { field: "high" }, y, color: { field: "colour", type: "nominal", scale: null } } },
      { mark: { type: "point", filled: true, size: 90, opacity: 1, stroke: COLOURS.paper, strokeWidth: 1.5 }, encoding: { x: { field: "value", ...x }, y, fill: { field: "colour", type: "nominal", scale: null } } },
      { mark: { type: "text", align: "left", dx: 10, baseline: "middle", fontWeight: "bold" }, encoding: { x: { value: "width" }, y, text: { field: "label" } } },
    ],
  };
}
