import type { Spec } from "../vega.js";
import { axisY, niceScale } from "./scale.js";
import { COLOURS, heightOf } from "./theme.js";

/** A point of a curve, and its value as text. */
export interface CurvePoint {
  /** Above 0. */
  readonly x: number;
  readonly y: number;
  readonly label: string;
}

/** Points over powers of ten, joined by a line, each with its value. */
export function curveChart(points: readonly CurvePoint[], width: number, height = 280): Spec {
  const scale = niceScale([0, ...points.map(({ y }) => y), Math.max(...points.map(({ y }) => y)) * 1.12], 5);
  const x = { field: "x", type: "quantitative", scale: { type: "log", nice: false, padding: 24 }, axis: { values: powers(points.map((point) => point.x)), labelExpr: "replace(format(datum.value, '~s'), 'G', 'B')", labelOverlap: "greedy" } };
  const y = { field: "y", type: "quantitative", ...axisY(scale) };
  // On a narrow page every other value would lie over its neighbour.
  const step = Math.max(1, Math.ceil((points.length * 44) / width));
  const labelled = points.filter((_, i) => (points.length - 1 - i) % step === 0);
  return {
    width, height: heightOf(width, height), autosize: { type: "fit", contains: "padding" }, padding: { left: 1, top: 8, bottom: 1, right: 8 },
    data: { values: points },
    layer: [
      { data: { values: [{ y: 0 }] }, mark: { type: "rule", color: COLOURS.zero }, encoding: { y } },
      { mark: { type: "line", color: COLOURS.first, point: { filled: true, size: 40, color: COLOURS.first } }, encoding: { x, y } },
      { data: { values: labelled }, mark: { type: "text", baseline: "bottom", dy: -9, fontWeight: "bold" }, encoding: { x, y, text: { field: "label" } } },
    ],
  };
}

/** The powers of ten among the values' range, or its ends where there are fewer than two. */
function powers(xs: readonly number[]): number[] {
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  const [first, last] = [Math.ceil(Math.log10(low) - 1e-9), Math.floor(Math.log10(high) + 1e-9)];
  return last - first < 1 ? [low, high] : Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
}
