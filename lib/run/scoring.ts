import type { NativeModule, NativeTerm } from "../binding/types.js";
import type { Dataset, PanelValues } from "../data/types.js";
import { averagePredictions } from "../metrics/average-predictions.js";
import { predictPacked, type DateSelection } from "../model/predict.js";
import { breathe } from "./breathe.js";

/** Scores packed over the rows of the dates asked for, in their order. */
export interface PackedScores {
  /** [rows, P] */
  predictions: Float32Array | Float64Array;
  /** [rows, K] */
  riskFactors?: Float32Array | Float64Array | undefined;
  /** [dates, 3] */
  statistics: Float64Array;
  /** [dates, 3]; where `peerDays` asks for it. */
  peers?: Float64Array | undefined;
  /** [dates, terms] of the objective; empty without one. */
  terms: Float64Array;
}

/** How to score a selection of dates. */
export interface ScoreRequest {
  riskFactors: boolean;
  threads: number;
  objective?: NativeTerm[] | undefined;
  /** Days over which peers are judged; absent: they are not. */
  peerDays?: number | undefined;
  /** How many dates of a whole, of which the selection is a part, come before it. Default 0. */
  datesBefore?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Scores packed rows with a model or an ensemble. */
export type Scorer = (selection: DateSelection, request: ScoreRequest) => Promise<PackedScores>;

/** Scores with one module. */
export function moduleScorer(module: NativeModule): Scorer {
  return (selection, request) => predictPacked(module, selection, request);
}

/** Scores with several members: the mean of per-date z-scores; graph statistics are means over members; no factors, no terms. */
export function ensembleScorer(members: readonly NativeModule[]): Scorer {
  return async (selection, request) => {
    const parts: PackedScores[] = [];
    for (const member of members) parts.push(await predictPacked(member, selection, { threads: request.threads, peerDays: request.peerDays, signal: request.signal, riskFactors: false }));
    const predictions = new Float64Array(parts[0]!.predictions.length);
    let row = 0;
    for (const [t, rows] of rowCounts(selection).entries()) {
      const width = rows === 0 ? 0 : partWidth(parts[0]!, selection);
      const panels = parts.map((part) => datePanel(selection, t, part.predictions.subarray(row * width, (row + rows) * width), width));
      if (rows > 0) predictions.set(averagePredictions(panels).data, row * width);
      row += rows;
      await breathe();
    }
    const mean = (arrays: readonly Float64Array[]): Float64Array => arrays[0]!.map((_, i) => arrays.reduce((sum, array) => sum + array[i]!, 0) / arrays.length);
    const peers = parts.flatMap((part) => (part.peers === undefined ? [] : [part.peers]));
    return { predictions, statistics: mean(parts.map((part) => part.statistics)), peers: peers.length === 0 ? undefined : mean(peers), terms: new Float64Array(0) };
  };
}

/** Dates scored at a time: bounds the memory for predictions and M. */
const DATES_AT_A_TIME = 128;

/** A selection cut into blocks of consecutive dates, the last one shorter. */
export function* blocksOf({ dataset, dates }: DateSelection, datesAtATime = DATES_AT_A_TIME): Generator<DateSelection> {
  for (let begin = 0; begin < dates.length; begin += datesAtATime) yield { dataset, dates: dates.subarray(begin, begin + datesAtATime) };
}

/** Rows per date of a selection. */
export function rowCounts({ dataset, dates }: DateSelection): number[] {
  return Array.from(dates, (t) => dataset.rowOffsets[t + 1]! - dataset.rowOffsets[t]!);
}

/** P: values per row. */
export function partWidth(scores: PackedScores, selection: DateSelection): number {
  const rows = rowCounts(selection).reduce((sum, count) => sum + count, 0);
  return rows === 0 ? 1 : scores.predictions.length / rows;
}

/** One date's rows as a panel of their own: only stocks that have a row, so no NaN. */
export function datePanel({ dataset, dates }: DateSelection, t: number, data: Float32Array | Float64Array, width: number): PanelValues {
  const tickers = tickersOf(dataset, dates[t]!);
  return { data, shape: width === 1 ? [1, tickers.length] : [1, tickers.length, width], dates: [dataset.dates[dates[t]!]!], tickers };
}

function tickersOf(dataset: Dataset, date: number): string[] {
  return Array.from(dataset.rowStocks.subarray(dataset.rowOffsets[date]!, dataset.rowOffsets[date + 1]!), (stock) => dataset.tickers[stock]!);
}
