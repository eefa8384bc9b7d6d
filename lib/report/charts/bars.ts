import type { Spec } from "../vega.js";
import { axisY, niceScale } from "./scale.js";
import { COLOURS, heightOf } from "./theme.js";

export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly low?: number | undefined;
  readonly high?: number | undefined;
  /** The value as text, at the bar's end. */
  readonly label: string;
  readonly colour?: string | undefined;
}

/** Bars from zero, each with its value; whiskers where there are intervals. */
export function barChart(bars: readonly Bar[], width: number, { format, height = 280 }: { format?: string; height?: number } = {}): Spec {
  const ends = bars.flatMap(({ value, low, high }) => [value, low ?? value, high ?? value]);
  const most = Math.max(0, ...ends) - Math.min(0, ...ends);
  // Room for the labels beyond the outermost ends.
  const scale = niceScale([0, ...ends.map((end) => end + (Math.sign(end) * most) / 12)], 5);
  const values = bars.map((bar, i) => {
    const isUp = bar.value >= 0;
    return { ...bar, place: i, low: bar.low ?? null, high: bar.high ?? null, end: isUp ? Math.max(bar.value, bar.high ?? bar.value, 0) : Math.min(bar.value, bar.low ?? bar.value, 0), isUp, colour: bar.colour ?? COLOURS.first };
  });
  const names = Object.fromEntries(bars.map(({ name }, i) => [i, name]));
  const x = { field: "place", type: "ordinal", sort: null, axis: { labelAngle: 0, labelExpr: `${JSON.stringify(names)}[datum.value]`, labelOverlap: false }, scale: { paddingInner: 0.32, paddingOuter: 0.2 } };
  const y = { type: "quantitative", ...axisY(scale, format) };
  const text = (isUp: boolean): Spec => ({
    transform: [{ filter: `datum.isUp === ${isUp}` }],
    mark: { type: "text", baseline: isUp ? "bottom" : "top", dy: isUp ? -5 : 5, fontWeight: "bold" },
    encoding: { x, y: { field: "end", ...y }, text: { field: "label" } },
  });
  return {
    width, height: heightOf(width, height), autosize: { type: "fit", contains: "padding" },
    data: { values },
    layer: [
      { mark: "bar", encoding: { x, y: { field: "value", ...y }, color: { field: "colour", type: "nominal", scale: null } } },
      { transform: [{ filter: "datum.low !== null" }], mark: { type: "rule", color: COLOURS.ink, strokeWidth: 1.3 }, encoding: { x, y: { field: "low", ...y }, y2: { field: "high" } } },
      { data: { values: [{ zero: 0 }] }, mark: { type: "rule", color: COLOURS.zero }, encoding: { y: { field: "zero", ...y } } },
      text(true),
      text(false),
    ],
  };
}
