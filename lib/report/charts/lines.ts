import { MS_PER_DAY } from "../../data/calendar.js";
import type { Spec } from "../vega.js";
import { thinned, unbrokenRuns } from "./points.js";
import { axisY, niceScale, spreadOut } from "./scale.js";
import { textWidth } from "./text-width.js";
import { COLOURS, heightOf, TEXT } from "./theme.js";

/** A line, labelled at its end. Values that are no numbers break it. */
export interface Line {
  readonly name: string;
  readonly colour: string;
  readonly values: readonly number[];
  readonly isThin?: boolean;
  readonly hasPoints?: boolean;
}

export interface LinesInput {
  /** Dates as YYYY-MM-DD, or numbers such as epochs. */
  readonly x: readonly string[] | readonly number[];
  readonly lines: readonly Line[];
  /** An area behind the lines, such as an interval. */
  readonly band?: { readonly low: readonly number[]; readonly high: readonly number[]; readonly colour: string; readonly name?: string } | undefined;
  /** Bars from zero behind the lines, drawn as one outline. */
  readonly bars?: { readonly values: readonly number[]; readonly colour: string } | undefined;
  /** A vertical line with a word, such as where the test begins. */
  readonly marks?: readonly { readonly x: string | number; readonly text: string }[] | undefined;
  /** d3-format of the vertical axis; default as many decimals as the ticks need. */
  readonly format?: string | undefined;
  /** Whether zero belongs on the axis and gets a line. Default true. */
  readonly hasZero?: boolean | undefined;
  readonly height?: number | undefined;
}

const time = (x: string | number): number => (typeof x === "number" ? x : Date.parse(`${x}T00:00:00Z`));

/** Lines over dates or epochs, with direct labels in place of a legend. */
export function lineChart(input: LinesInput, width: number): Spec {
  const { x, lines, band, bars, marks = [], hasZero = true } = input;
  const height = heightOf(width, input.height ?? 300);
  const isTime = typeof x[0] === "string";
  const scale = niceScale([...lines.flatMap(({ values }) => values), ...(band === undefined ? [] : [...band.low, ...band.high]), ...(bars?.values ?? []), ...(hasZero ? [0] : [])], width < 420 ? 4 : 5);
  const isNamed = lines.length > 1;
  // What stands beside the plot is drawn inside the chart's width: the plot gets what is left.
  const right = isNamed ? Math.max(...lines.map(({ name }) => textWidth(name, TEXT))) : 0;
  const y = axisY(scale, input.format);
  const xs = x.map(time);
  const ticks = Math.max(2, Math.round(width / 110));
  // Ticks between few days would be hours, and name each day several times.
  const isFew = isTime && xs.at(-1)! - xs[0]! < ticks * MS_PER_DAY;
  const horizontal = isTime
    ? { type: "temporal", scale: { type: "utc", nice: false }, axis: { ...(isFew ? { values: xs } : { tickCount: ticks }), format: { year: "%Y", quarter: "%b", month: "%b", week: "%-d %b", date: "%-d %b", hours: "%-d %b" } } }
    : { type: "quantitative", scale: { nice: false, zero: false, ...(xs.length === 1 ? { domain: [xs[0]! - 1, xs[0]! + 1] } : {}) }, axis: { values: wholeTicks(xs, width), format: ".0f", labelOverlap: false, labelFlush: false } };
  const encodeX = { field: "x", ...horizontal };
  const encodeY = { field: "y", type: "quantitative", ...y };
  const runs = unbrokenRuns(xs, isTime);
  const detail = { field: "run", type: "nominal" };
  /** What is drawn of a series, in runs: none goes over a gap or a value that is no number. */
  const points = <P extends { y: number; y2?: number }>(values: readonly number[], pointOf: (i: number) => P): (P & { x: number; run: number })[] => {
    let run = 0;
    return runs.flatMap(([begin, end]) => {
      run++;
      return thinned(values.slice(begin, end), 2 * width).flatMap((k) => {
        const point = pointOf(begin + k);
        if (Number.isFinite(point.y) && Number.isFinite(point.y2 ?? 0)) return [{ x: xs[begin + k]!, run, ...point }];
        run++;
        return [];
      });
    });
  };
  const layers: Spec[] = [];
  if (bars !== undefined) {
    const values = points(bars.values, (i) => ({ y: bars.values[i]! }));
    layers.push({ data: { values }, mark: { type: "area", interpolate: "step", color: bars.colour, line: false }, encoding: { x: encodeX, y: { ...encodeY, stack: null }, detail } });
  }
  if (band !== undefined) {
    const values = points(band.high, (i) => ({ y: band.low[i]!, y2: band.high[i]! }));
    layers.push({ data: { values }, mark: { type: "area", color: band.colour, opacity: 1, line: false }, encoding: { x: encodeX, y: encodeY, y2: { field: "y2" }, detail } });
  }
  if (hasZero) layers.push({ data: { values: [{ y: 0 }] }, mark: { type: "rule", color: COLOURS.zero }, encoding: { y: encodeY } });
  const [begin, end] = [Math.min(...xs), Math.max(...xs)];
  const pixelOf = (at: string | number): number => ((time(at) - begin) / (end - begin || 1)) * (width - right - 40);
  for (const [i, { x: at, text }] of marks.entries()) {
    layers.push({ data: { values: [{ x: time(at) }] }, mark: { type: "rule", color: COLOURS.zero, strokeDash: [2, 3] }, encoding: { x: encodeX } });
    // No word where the next one or the edge would cut it.
    const room = (i + 1 < marks.length ? pixelOf(marks[i + 1]!.x) : width - 40) - pixelOf(at);
    if (room < textWidth(text, TEXT) + 12) continue;
    layers.push({ data: { values: [{ x: time(at), text }] }, mark: { type: "text", align: "left", dx: 6, baseline: "bottom", color: COLOURS.muted }, encoding: { x: encodeX, y: { value: -2 }, text: { field: "text" } } });
  }
  for (const line of lines) {
    const values = points(line.values, (i) => ({ y: line.values[i]! }));
    const isAlone = values.length === 1;
    layers.push({ data: { values }, mark: { type: "line", color: line.colour, strokeWidth: line.isThin ? 1.2 : 1.9, ...(line.hasPoints === true || isAlone ? { point: { filled: true, size: 34, color: line.colour } } : {}) }, encoding: { x: encodeX, y: encodeY, detail } });
  }
  if (isNamed) layers.push(...endLabels(lines, xs, scale.domain, height, encodeX, encodeY));
  return { width, height, autosize: { type: "fit", contains: "padding" }, padding: { left: 1, top: marks.length > 0 ? 24 : 8, bottom: 1, right: 8 }, layer: layers };
}

/** Names beside the last point of each line, kept apart. */
function endLabels(lines: readonly Line[], xs: readonly number[], [low, high]: readonly [number, number], height: number, encodeX: object, encodeY: object): Spec[] {
  const ends = lines.flatMap(({ name, colour, values }) => {
    const last = values.findLastIndex((value) => Number.isFinite(value));
    return last < 0 ? [] : [{ name, colour, y: values[last]! }];
  });
  // The plot is lower than the chart by the axis below it.
  const pixels = (height - 36) / (high - low);
  const placed = spreadOut(ends.map(({ y }) => -y * pixels), TEXT + 3.5);
  return ends.map(({ name, colour, y }, i) => ({
    data: { values: [{ x: xs.at(-1), y, name }] },
    mark: { type: "text", align: "left", baseline: "middle", dx: 8, dy: placed[i]! + y * pixels, color: colour, fontWeight: "bold" },
    encoding: { x: encodeX, y: encodeY, text: { field: "name" } },
  }));
}

function wholeTicks(xs: readonly number[], width: number): number[] {
  const [first = 0, last = 0] = [xs[0], xs.at(-1)];
  const step = Math.max(1, Math.ceil((last - first) / Math.max(2, Math.floor(width / 60))));
  return Array.from({ length: Math.floor((last - first) / step) + 1 }, (_, i) => first + i * step);
}
