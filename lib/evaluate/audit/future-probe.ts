import { pricedCells } from "../../data/coverage.js";
import { checkGrid } from "../../data/check-grid.js";
import { digestedParts, Panel } from "../../data/panel.js";
import { findPriceBreaks, segmentsOf } from "../../data/price-breaks.js";
import type { Dataset, Edges } from "../../data/types.js";
import { below, randomBits, type RandomBits } from "../../metrics/random.js";
import type { Finding } from "./finding.js";
import { judgedSplit, type AuditSubject } from "./subject.js";

const PROBES = 20;
/** Dates after the probed one that the copy keeps: what reads ahead by more reads dates that are not there. */
const AHEAD = 30;
/** One in so many of the values after a date is 0 or -1. */
const IMPOSSIBLE = 50;

type Change = "noise" | "missing";

/** What of a date may not change: windows of its rows, its rows, their groups, and the outputs of the run's model. */
interface DateState {
  readonly stocks: Int32Array;
  /** [rows, window, features] */
  readonly inputs: Float32Array;
  readonly groups: Int32Array | undefined;
  /** Per member of the run: M and predictions of the date's rows. */
  readonly outputs: readonly Float32Array[];
}

/**
 * Replaces every value after a date, by noise on each of 20 dates of the test and on one of them also by nothing, cleans the panel and cuts the samples of that date
 * again, with the fitted processors: rows, the inputs of their windows, groups, and for a run M and predictions must come out the same to the last bit.
 */
export async function futureProbe(subject: AuditSubject): Promise<Finding[]> {
  const { panel, dataset } = subject;
  const { dateIndices } = judgedSplit(dataset);
  const probes = Math.min(PROBES, dateIndices.length);
  const dates = Array.from({ length: probes }, (_, i) => dateIndices[Math.floor(((i + 0.5) * dateIndices.length) / probes)]!);
  const random = randomBits(0, 1);
  const changed = { dates: new Set<string>(), parts: new Set<string>(), columns: new Set<string>() };
  for (const [i, t] of dates.entries()) {
    const before = await stateOf(subject, dataset, t);
    for (const change of i === 0 ? (["noise", "missing"] as const) : (["noise"] as const)) {
      const copy = await withOtherFuture(panel, t, change, random);
      using again = await copy.dataset({ description: dataset.describe(), from: panel.dates[t]!, maxDropped: 1 });
      const after = await stateOf(subject, again, again.dates.indexOf(panel.dates[t]!));
      const parts = differences(before, after, dataset, changed.columns);
      for (const part of parts) changed.parts.add(part);
      if (parts.length > 0) changed.dates.add(panel.dates[t]!);
    }
  }
  if (changed.dates.size === 0) return [];
  return [
    {
      code: "future_read",
      severity: "fail",
      text: `On ${changed.dates.size} of ${probes} probed dates ${[...changed.parts].join(", ")} changed when the values of all later dates were replaced.`,
      columns: [...changed.columns], dates: [...changed.dates],
      value: changed.dates.size,
      threshold: 0,
      next: "Believe no number of this pipeline, and report it with the version and the options: a date must not depend on later ones.",
    },
  ];
}

async function stateOf({ run }: AuditSubject, dataset: Dataset, t: number): Promise<DateState> {
  const { features, rowOffsets, rowStocks, tickers, featureNames, window, groups } = dataset;
  const [from, to] = [rowOffsets[t]!, rowOffsets[t + 1]!];
  const stocks = rowStocks.slice(from, to);
  const F = featureNames.length;
  const inputs = new Float32Array(stocks.length * window * F);
  stocks.forEach((n, r) => {
    for (let k = 0; k < window; k++) {
      const at = ((t - window + 1 + k) * tickers.length + n) * F;
      inputs.set(features.subarray(at, at + F), (r * window + k) * F);
    }
  });
  const outputs: Float32Array[] = [];
  for (const model of run?.models ?? []) {
    const { predictions, riskFactors } = await model.predict({ dataset, dates: Int32Array.of(t) }, { riskFactors: true });
    outputs.push(predictions.data as Float32Array, riskFactors!.data as Float32Array);
  }
  return { stocks, inputs, groups: groups?.slice(from, to), outputs };
}

/** What differs in one bit and more; names of features go to `columns`. */
function differences(before: DateState, after: DateState, { featureNames, window }: Dataset, columns: Set<string>): string[] {
  if (!sameBits(before.stocks, after.stocks)) return ["the rows"];
  const parts: string[] = [];
  if (!sameBits(before.inputs, after.inputs)) {
    parts.push("the inputs");
    const F = featureNames.length;
    const [a, b] = [bitsOf(before.inputs), bitsOf(after.inputs)];
    for (let i = 0; i < before.stocks.length * window * F; i++) if (a[i] !== b[i]) columns.add(featureNames[i % F]!);
  }
  if (before.groups !== undefined && !sameBits(before.groups, after.groups!)) parts.push("the groups");
  if (before.outputs.some((values, i) => i % 2 === 0 && !sameBits(values, after.outputs[i]!))) parts.push("the predictions");
  if (before.outputs.some((values, i) => i % 2 === 1 && !sameBits(values, after.outputs[i]!))) parts.push("M");
  return parts;
}

function bitsOf(values: Float32Array | Int32Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length);
}

function sameBits(a: Float32Array | Int32Array, b: Float32Array | Int32Array): boolean {
  const [x, y] = [bitsOf(a), bitsOf(b)];
  return x.length === y.length && x.every((bits, i) => bits === y[i]);
}

/**
 * The panel up to some dates after t, with every value after t replaced: by a past one of any stock times a number from 0.5 to 1.5, one in fifty by an impossible one,
 * or all by NaN. It is cleaned anew: impossible prices, the universe of who has a price, and price breaks over all of its dates, which may take no notice of later ones.
 */
async function withOtherFuture(panel: Panel, t: number, change: Change, random: RandomBits): Promise<Panel> {
  const { tickers, columns, source, origin, ledger, extremeReturns, groups, edges, present, tradable } = panel;
  const dates = panel.dates.slice(0, t + 1 + AHEAD);
  const [kept, cells] = [(t + 1) * tickers.length, dates.length * tickers.length];
  const other = (copy: Float32Array | Float64Array): number => (below(random, IMPOSSIBLE) === 0 ? below(random, 2) - 1 : copy[below(random, kept)]! * (0.5 + random() / 2 ** 32));
  const values = new Map(columns.map((column) => {
    const copy = panel.values(column).slice(0, cells);
    for (let cell = kept; cell < cells; cell++) copy[cell] = change === "missing" ? NaN : other(copy);
    return [column, copy];
  }));
  const table = { dates, tickers: [...tickers], rows: 0, present: present.subarray(0, cells), values, universe: undefined, tradable: tradable?.subarray(0, cells), groups: undefined, groupNames: [] };
  const later = new Map([...values].map(([column, copy]) => [column, copy.subarray(kept)]));
  await checkGrid({ dates: dates.slice(t + 1), tickers, present: present.subarray(kept, cells), values: later, flags: new Map(), groups: undefined });
  const found = await findPriceBreaks(values, dates, tickers);
  return new Panel({
    table, source, origin, ledger, extremeReturns, ...digestedParts(panel), later: undefined,
    priceBreaks: found.breaks,
    segments: extremeReturns === "missing" ? segmentsOf(found, dates.length, tickers.length) : undefined,
    universe: origin.options.universeColumn === undefined ? (pricedCells(table, 0) ?? table.present) : panel.universe.subarray(0, cells),
    groups: groups === undefined ? undefined : { ...groups, codes: groups.codes.subarray(0, cells) },
    edges: edges === undefined ? undefined : edgesUntil(edges, dates.length),
  });
}

/** Edges that hold on one of the first `count` dates. */
function edgesUntil({ source, target, from, to }: Edges, count: number): Edges {
  const kept = [...from.keys()].filter((edge) => from[edge]! < count);
  const pick = (column: Int32Array): Int32Array => Int32Array.from(kept, (edge) => column[edge]!);
  return { source: pick(source), target: pick(target), from: pick(from), to: Int32Array.from(kept, (edge) => Math.min(to[edge]!, count - 1)) };
}
