import { finished } from "../binding/job.js";
import { loadCore } from "../binding/load.js";
import type { NativeJob, NativeModule, NativePrediction, NativeTerm } from "../binding/types.js";
import { requireDataset } from "../data/given.js";
import { refuseEarlyDate } from "../data/history.js";
import { nativePanel } from "../data/native-panel.js";
import type { Dataset, Ledger, PanelValues, Split } from "../data/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { requireText } from "../options.js";

/** What to score: a split, every date of a dataset that has rows, or dates by name or index. */
export type PredictInput = Split | Dataset | { dataset: Dataset; dates: readonly string[] | Int32Array };

/** What predictions are made neutral to: names of exposures, or those that the labels of the training were made neutral to. */
export type Neutralise = true | readonly string[];

/** How to score. */
export interface PredictOptions {
  /** True: also return M, K numbers per stock and date. Default false. */
  riskFactors?: boolean | undefined;
  /**
   * Return what of the predictions known exposures leave: per date the residuals by least squares over all stocks that have one, on an intercept and the named
   * exposures (`"loadings"`, `"style"`, columns of the panel, `"groups"` for an intercept per group). True: those that the labels of the training were made
   * neutral to. Default: predictions as they are.
   */
  neutralise?: Neutralise | undefined;
  /** Compute threads. Whole, from 1; default ASTGNN_THREADS, else the physical cores. */
  threads?: number | undefined;
  /** Stops within one date; the promise rejects with ERR_ABORTED. */
  signal?: AbortSignal | undefined;
}

/** Statistics of the similarity matrix A: per row, mean over the rows of a date, mean over dates. NaN where no date has a row. */
export interface SimilarityStatistics {
  /** exp(entropy of a row of A), over rows with a nonzero weight: 1 is one neighbour, N the plain average. */
  readonly effectiveNeighbours: number;
  /** Mean A_ii. */
  readonly selfWeight: number;
  /** Share of rows whose weights are all 0. */
  readonly emptyShare: number;
}

/** Whether A knows who belongs together, as means over dates; NaN where unknown. */
export interface PeerStatistics {
  /**
   * Correlation over stocks of a stock's daily return with that of its peers in A, mean over the coming days: 0 where A knows nothing, 1 where
   * peers move as one. Minus the loss `coMovement`, of which training chooses the days (10 by default). NaN without a close.
   */
  readonly peerCorrelation: number;
  /** How many stocks have the one that most of them have among their 20 most similar (fewer with a smaller `topK`); on every tenth date. */
  readonly largestHub: number;
  /** Skewness over stocks of how many have them among their 20 most similar; on every tenth date. About 1 is usual, far above it a few are everybody's. */
  readonly hubSkewness: number;
}

/** Scores aligned to the panel; NaN where a stock is not in. */
export interface Prediction {
  /** [dates, stocks] for P = 1, else [dates, stocks, P]. */
  readonly predictions: PanelValues;
  /** M, [dates, stocks, K]; where `riskFactors: true` asks for it. */
  readonly riskFactors?: PanelValues;
  readonly similarity: SimilarityStatistics;
  /** What was dropped, filled or left out of the dataset that was scored. */
  readonly ledger: Ledger;
}

/** Dates of a dataset, as indices. */
export interface DateSelection {
  readonly dataset: Dataset;
  readonly dates: Int32Array;
}

/** @throws AstgnnError ERR_OPTION for what is no input, ERR_DATA for a split without dates, a date that the panel does not have, or with too little history before it */
export function selectDates(input: PredictInput): DateSelection {
  if (input !== null && typeof input === "object") {
    const dataset: unknown = "rowOffsets" in input ? input : "dataset" in input ? input.dataset : undefined;
    if (dataset !== undefined || "dates" in input) requireDataset(dataset);
    if ("dateIndices" in input && input.dateIndices instanceof Int32Array) return { dataset: input.dataset, dates: datesOfSplit(input) };
    if ("rowOffsets" in input) return { dataset: input, dates: datesWithRows(input) };
    if ("dataset" in input && "dates" in input) return { dataset: input.dataset, dates: dateIndices(input.dataset, input.dates) };
  }
  throw invalidOption("input", "a split, a dataset or { dataset, dates }", input, "Pass dataset.test, for example.");
}

/** The index of an ISO date in a dataset or panel. */
export function dateIndex(dataset: Pick<Dataset, "dates">, date: string): number {
  requireText(date, "date", "a date as YYYY-MM-DD");
  const index = dataset.dates.indexOf(date);
  if (index < 0) {
    const [first, last] = [dataset.dates[0], dataset.dates.at(-1)];
    const before = dataset.dates.findLast((one) => one < date);
    throw new AstgnnError("ERR_DATA", `${date} is no date of this panel, which has ${dataset.dates.length} from ${first} to ${last}.`, { date, next: before === undefined ? "Pass one of dataset.dates." : `Pass one of dataset.dates: the last before it is ${before}.` });
  }
  return index;
}

/**
 * One pass of the core over the dates of a dataset, in evaluation mode.
 *
 * @throws AstgnnError ERR_NOT_FINITE naming the first stock and date whose output is no number
 */
export async function predictPacked(
  module: NativeModule,
  { dataset, dates }: DateSelection,
  options: { riskFactors: boolean; threads: number; objective?: NativeTerm[] | undefined; peerDays?: number | undefined; datesBefore?: number | undefined; signal?: AbortSignal | undefined },
): Promise<NativePrediction> {
  const { riskFactors, threads, objective, peerDays, datesBefore = 0, signal } = options;
  const start = (): NativeJob<NativePrediction> =>
    loadCore().predict(module, nativePanel(dataset, module.device), {
      dates: Int32Array.from(dates), riskFactors, threads, datesBefore, ...(objective === undefined ? {} : { objective }), ...(peerDays === undefined ? {} : { peerDays }),
    });
  const scores = await finished(start, signal, "The prediction");
  refuseNotFinite({ dataset, dates }, scores);
  return scores;
}

/** Rows of a panel's dataset have whole windows; what a literal or a damaged pack holds may be NaN. */
function refuseNotFinite({ dataset: { tickers, dates: names, rowOffsets, rowStocks }, dates }: DateSelection, { predictions, riskFactors = predictions }: NativePrediction): void {
  const found = [predictions, riskFactors].map((values) => ({ at: firstNotFinite(values), of: values.length })).filter(({ at, of }) => at < of);
  if (found.length === 0) return;
  const rowsOf = (t: number): number => rowOffsets[t + 1]! - rowOffsets[t]!;
  const rows = dates.reduce((sum, t) => sum + rowsOf(t), 0);
  let left = Math.min(...found.map(({ at, of }) => Math.floor((at * rows) / of)));
  const t = dates.find((date) => left < rowsOf(date) || ((left -= rowsOf(date)), false))!;
  throw notFinite(tickers[rowStocks[rowOffsets[t]! + left]!]!, names[t]!);
}

/** What the model gives for a stock on a date where it is no number. */
export function notFinite(ticker: string, date: string): AstgnnError {
  return new AstgnnError("ERR_NOT_FINITE", `The model's output for ${ticker} on ${date} is not finite.`, {
    date, next: "Look for NaN and very large values in dataset.features of the windows that end on that date, and in the weights of the model.",
  });
}

/** Index of the first value that is NaN or infinite, else how many there are. */
function firstNotFinite(values: Float32Array | Float64Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) return i;
  return values.length;
}

/** Packed rows laid out as [dates, stocks, width], NaN elsewhere; [dates, stocks] for width 1 unless `keepWidth`. */
export function alignToPanel({ dataset, dates }: DateSelection, packed: Float32Array | Float64Array, width: number, keepWidth = false): PanelValues {
  const stocks = dataset.tickers.length;
  const data = new (packed.constructor as typeof Float32Array | typeof Float64Array)(dates.length * stocks * width).fill(NaN);
  let row = 0;
  for (let t = 0; t < dates.length; t++) {
    const [begin, end] = [dataset.rowOffsets[dates[t]!]!, dataset.rowOffsets[dates[t]! + 1]!];
    for (let r = begin; r < end; r++, row++) {
      const at = (t * stocks + dataset.rowStocks[r]!) * width;
      for (let k = 0; k < width; k++) data[at + k] = packed[row * width + k]!;
    }
  }
  if (row * width !== packed.length) throw new AstgnnError("ERR_INTERNAL", `The core returned ${packed.length} values for ${row} rows of width ${width}.`);
  return {
    data,
    shape: width === 1 && !keepWidth ? [dates.length, stocks] : [dates.length, stocks, width],
    dates: Array.from(dates, (t) => dataset.dates[t]!),
    tickers: dataset.tickers,
  };
}

/** Means over the dates that have a row. `statistics`: [dates, 3] as the core returns it. */
export function averageStatistics(statistics: Float64Array): SimilarityStatistics {
  const [effectiveNeighbours, selfWeight, emptyShare] = columnMeans(statistics);
  return { effectiveNeighbours, selfWeight, emptyShare };
}

/** The same of what the core returns as `peers`, without the dates on which no stock has a neighbour: peers that are nobody correlate by definition. */
export function averagePeers(peers: Float64Array, statistics: Float64Array): PeerStatistics {
  const known = peers.map((value, at) => (statistics[3 * Math.floor(at / 3) + 2] === 1 ? NaN : value));
  const [peerCorrelation, largestHub, hubSkewness] = columnMeans(known);
  return { peerCorrelation, largestHub, hubSkewness };
}

/** Means of the three columns over what is a number. */
function columnMeans(values: Float64Array): [number, number, number] {
  const mean = (column: number): number => {
    let sum = 0;
    let count = 0;
    for (let at = column; at < values.length; at += 3) {
      if (Number.isNaN(values[at]!)) continue;
      sum += values[at]!;
      count++;
    }
    return sum / count;
  };
  return [mean(0), mean(1), mean(2)];
}

/** The newest dates may be none; a part of the split that has no date is a mistake. */
function datesOfSplit({ name, dataset, dateIndices }: Split): Int32Array {
  if (dateIndices.length > 0 || name === "unlabelled") return dateIndices;
  const unsplit = dataset.train.dateIndices.length === 0;
  throw new AstgnnError("ERR_DATA", `dataset.${name} has no dates${unsplit ? ": the dataset was cut without a split" : ""}.`, {
    option: "split",
    next: unsplit
      ? "Pass await panel.dataset({ description, split: { trainEnd, validEnd } }), or score dataset.unlabelled, which has all of its sample dates."
      : "Move the boundaries of the split, or score another part.",
  });
}

function datesWithRows(dataset: Dataset): Int32Array {
  return Int32Array.from(dataset.dates.keys()).filter((t) => dataset.rowOffsets[t + 1]! > dataset.rowOffsets[t]!);
}

function dateIndices(dataset: Dataset, dates: readonly string[] | Int32Array): Int32Array {
  if (dates instanceof Int32Array) {
    const wrong = dates.find((t) => t < 0 || t >= dataset.dates.length);
    if (wrong !== undefined) throw invalidOption("dates", `indices from 0 to ${dataset.dates.length - 1}`, wrong);
    return withHistory(dataset, dates);
  }
  if (!Array.isArray(dates)) throw invalidOption("dates", "ISO dates or an Int32Array of indices", dates);
  return withHistory(dataset, Int32Array.from(dates as string[], (date) => dateIndex(dataset, date)));
}

function withHistory(dataset: Dataset, indices: Int32Array): Int32Array {
  const { dates, requiredHistory } = dataset;
  for (const t of indices) refuseEarlyDate({ option: "dates", date: dates[t]!, there: t + 1, earliest: dates[requiredHistory - 1] }, dates, dataset);
  return indices;
}
