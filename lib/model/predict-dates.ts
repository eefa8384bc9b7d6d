import { firstNotBefore, isIsoDate } from "../data/calendar.js";
import { refuseEarlyDate } from "../data/history.js";
import { AstgnnError, invalidOption } from "../errors.js";
import type { PredictionNeutraliser } from "./neutral-predictions.js";
import type { DateSelection, PredictOptions } from "./predict.js";

/** How to score date by date. */
export interface PredictDatesOptions extends PredictOptions {
  /** First date to score, YYYY-MM-DD. Default: the first that has rows. */
  from?: string | undefined;
}

/** The scores of one date: row i is the stock `tickers[i]`. Stocks that are not in on the date have no row, so nothing is NaN. */
export interface DatePrediction {
  readonly date: string;
  /** The N stocks that are in, in the order of the dataset's tickers. */
  readonly tickers: readonly string[];
  /** [N] for P = 1, else [N, P] row by row. */
  readonly predictions: Float32Array | Float64Array;
  /** M, [N, K] row by row; where `riskFactors: true` asks for it. */
  readonly riskFactors?: Float32Array | Float64Array;
}

/** Scores the packed rows of one date. */
type Score = (selection: DateSelection) => Promise<{ predictions: Float32Array | Float64Array; riskFactors?: Float32Array | Float64Array | undefined }>;

/** Scores the dates of a selection that have rows one after the other, holding the scores of one date at a time; releases `neutral` at its end. */
export async function* predictEachDate({ dataset, dates }: DateSelection, score: Score, neutral: PredictionNeutraliser | undefined): AsyncGenerator<DatePrediction, void, undefined> {
  try {
    for (const t of dates) {
      const rows = dataset.rowStocks.subarray(dataset.rowOffsets[t], dataset.rowOffsets[t + 1]);
      if (rows.length === 0) continue;
      const selection = { dataset, dates: Int32Array.of(t) };
      const { predictions: scores, riskFactors } = await score(selection);
      const predictions = (await neutral?.residuals(selection, scores)) ?? scores;
      const tickers = Array.from(rows, (stock) => dataset.tickers[stock]!);
      yield { date: dataset.dates[t]!, tickers, predictions, ...(riskFactors === undefined ? {} : { riskFactors }) };
    }
  } finally {
    neutral?.release();
  }
}

/**
 * The dates of a selection from `from` on that have rows.
 *
 * @throws AstgnnError ERR_OPTION for what is no date, ERR_DATA where `from` has too little history before it or no date remains
 */
export function datesFrom({ dataset, dates }: DateSelection, from: string | undefined): DateSelection {
  const { dates: all, rowOffsets, requiredHistory, origin } = dataset;
  let first = 0;
  if (from !== undefined) {
    if (typeof from !== "string" || !isIsoDate(from)) throw invalidOption("from", "a date as YYYY-MM-DD", from);
    first = firstNotBefore(all, from);
    refuseEarlyDate({ option: "from", date: from, there: from < all[0]! ? 0 : first + 1, earliest: all[requiredHistory - 1] }, all, dataset);
  }
  const kept = dates.filter((t) => t >= first && rowOffsets[t + 1]! > rowOffsets[t]!);
  if (kept.length > 0) return { dataset, dates: kept };
  const file = typeof origin?.source === "string" ? origin.source : undefined;
  throw new AstgnnError("ERR_DATA", `No stock of ${file ?? "the dataset"} has a complete window of ${dataset.window} dates${from === undefined ? "" : ` on ${from} or later`}; its last date is ${all.at(-1)!}.`, {
    file,
    next: from !== undefined && from > all.at(-1)! ? "Give data up to that date, or score an earlier one." : "Give more history.",
  });
}
