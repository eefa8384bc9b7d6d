import type { PanelValues } from "../../data/types.js";
import { AstgnnError } from "../../errors.js";
import { widthOf } from "../../metrics/aligned.js";
import { testMean } from "../../metrics/hac.js";
import { pairedDifference } from "../../metrics/paired-difference.js";
import { evaluatePairs, type Metrics } from "../../metrics/pairs.js";

/** What predictions are worth on the rows that all of them have. */
export interface ComparedNumbers {
  readonly name: string;
  readonly ic: number;
  readonly icir: number;
  readonly rankIc: number;
  /** Newey-West t of `ic` and `rankIc`. */
  readonly icT: number;
  readonly rankIcT: number;
}

/** A baseline, and what ours has more than it. */
export interface BaselineResult extends ComparedNumbers {
  /** Mean over dates of our IC less the baseline's, with its Newey-West standard error, t, p and lag. */
  readonly difference: { readonly mean: number; readonly standardError: number; readonly t: number; readonly p: number; readonly lag: number };
  /** Rows of ours for which it has no value. */
  readonly missing: number;
}

/** Ours beside baselines, on the same rows. */
export interface BaselineComparison {
  readonly dates: number;
  /** Rows with a label that all of them have. */
  readonly rows: number;
  /** Rows of ours with a label that one of them does not have. */
  readonly rowsLeftOut: number;
  readonly model: ComparedNumbers;
  readonly baselines: readonly BaselineResult[];
  /** Baselines that are not compared, and why. */
  readonly leftOut: readonly { readonly name: string; readonly reason: string }[];
}

/** Predictions by a name. */
export interface NamedPredictions {
  readonly name: string;
  /** [dates, stocks], found by date and ticker. */
  readonly predictions: PanelValues;
  /** Whether it is left out where it has less than half of the rows, instead of leaving these out for all. */
  readonly isOptional: boolean;
}

const LEAST_SHARE = 0.5;

/**
 * Compares predictions with others on the rows that all have, label by label and date by date.
 *
 * @param ours [dates, stocks]
 * @param labels raw returns, aligned to `ours`
 * @throws AstgnnError ERR_DATA where no row is common
 */
export function comparePredictions(ours: PanelValues, labels: PanelValues, others: readonly NamedPredictions[], horizonDays: number): BaselineComparison {
  const rows = cellsOf((cell) => !Number.isNaN(ours.data[cell]!) && !Number.isNaN(labels.data[cell]!), ours.data.length);
  const leftOut: { name: string; reason: string }[] = [];
  const placed = others.flatMap(({ name, predictions, isOptional }) => {
    const values = onGridOf(ours, predictions);
    const missing = rows.filter((cell) => Number.isNaN(values[cell]!)).length;
    if (missing === rows.length && !isOptional) {
      throw new AstgnnError("ERR_DATA", `${name} has no prediction for any of the ${rows.length} rows of the test, from ${ours.dates[0]!} to ${ours.dates.at(-1)!}, e.g. ${ours.tickers[0]!}.`, { file: name, next: "Name predictions of the same dates, with tickers written alike." });
    }
    if (isOptional && missing > (1 - LEAST_SHARE) * rows.length) {
      leftOut.push({ name, reason: `it has values for ${(100 * (1 - missing / rows.length)).toFixed(0)} % of the rows` });
      return [];
    }
    return [{ name, values, missing }];
  });
  const common = rows.filter((cell) => placed.every(({ values }) => !Number.isNaN(values[cell]!)));
  if (common.length === 0) throw new AstgnnError("ERR_DATA", `No row of the test is in all of ${placed.map(({ name }) => name).join(", ")}.`, { next: "Compare fewer of them at a time." });
  const metricsOf = (values: ArrayLike<number>): Metrics => {
    const data = new Float64Array(ours.data.length).fill(NaN);
    for (const cell of common) data[cell] = values[cell]!;
    return evaluatePairs({ ...ours, data }, labels, [[0, 0]]);
  };
  const numbersOf = (name: string, { ic, icir, rankIc, daily }: Metrics): ComparedNumbers => ({
    name, ic, icir, rankIc, icT: testMean(daily.ic, { horizonDays }).t, rankIcT: testMean(daily.rankIc, { horizonDays }).t,
  });
  const model = metricsOf(ours.data);
  const baselines = placed.map(({ name, values, missing }): BaselineResult => {
    const metrics = metricsOf(values);
    const { mean, standardError, t, p, lag } = pairedDifference(model, metrics, { horizonDays });
    return { ...numbersOf(name, metrics), difference: { mean, standardError, t, p, lag }, missing };
  });
  return { dates: model.dates, rows: common.length, rowsLeftOut: rows.length - common.length, model: numbersOf("this run", model), baselines, leftOut };
}

/** One (prediction, horizon) plane of values. */
export function planeOf(values: PanelValues, k: number): PanelValues {
  const width = widthOf(values);
  const [dates, stocks] = values.shape;
  return width === 1 ? { ...values, shape: [dates, stocks] } : { ...values, shape: [dates, stocks], data: Float64Array.from({ length: dates * stocks }, (_, i) => values.data[i * width + k]!) };
}

function cellsOf(isIn: (cell: number) => boolean, count: number): Int32Array {
  return Int32Array.from(Array.from({ length: count }, (_, cell) => cell).filter(isIn));
}

function onGridOf({ dates, tickers }: PanelValues, values: PanelValues): Float64Array {
  const rows = new Map(values.dates.map((date, t) => [date, t]));
  const columns = new Map(values.tickers.map((ticker, n) => [ticker, n]));
  const data = new Float64Array(dates.length * tickers.length).fill(NaN);
  const from = tickers.map((ticker) => columns.get(ticker) ?? -1);
  for (const [t, date] of dates.entries()) {
    const row = rows.get(date);
    if (row === undefined) continue;
    for (const [n, column] of from.entries()) if (column >= 0) data[t * tickers.length + n] = values.data[row * values.tickers.length + column]!;
  }
  return data;
}
