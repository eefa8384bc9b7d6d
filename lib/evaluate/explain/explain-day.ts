import { z } from "zod";
import type { Dataset } from "../../data/types.js";
import { selectDates } from "../../model/predict.js";
import { resolveOptions } from "../../options.js";
import { explainRows, membersOf, settingsShape, type Explainable, type ExplainSettings } from "./explain.js";
import type { Explanation } from "./explanation.js";
import { requireDataset } from "../../data/given.js";

/** Which day to explain. */
export interface ExplainDayOptions extends ExplainSettings {
  /** YYYY-MM-DD. Default: the newest date on which a stock is in. */
  date?: string | undefined;
  /** Stocks of either end. Whole, from 1; default 5. */
  count?: number | undefined;
}

/** Why the stocks with the highest and the lowest scores of a date have these. */
export interface DayExplanation {
  readonly date: string;
  /** Highest score first. */
  readonly top: readonly Explanation[];
  /** Lowest score first; no stock of `top`. */
  readonly bottom: readonly Explanation[];
}

const OptionsSchema = z.strictObject({ date: z.string().optional().describe("a date as YYYY-MM-DD"), count: z.int().min(1).default(5).describe("a whole number from 1"), ...settingsShape });

/**
 * Explains the highest and the lowest scores of a date, as `explain` does each.
 *
 * @example
 * const { top, bottom } = await explainDay(model, dataset, { count: 3 });
 * @throws AstgnnError as `explain`
 */
export async function explainDay(model: Explainable, dataset: Dataset, options: ExplainDayOptions = {}): Promise<DayExplanation> {
  const { date, count, ...settings } = resolveOptions(OptionsSchema, options, "explainDay");
  membersOf(model);
  requireDataset(dataset);
  const selection = selectDates(date === undefined ? dataset : { dataset, dates: [date] });
  const t = selection.dates.at(-1)!;
  const { predictions } = await model.predict({ dataset, dates: Int32Array.of(t) }, { threads: settings.threads, signal: settings.signal });
  const stocks = dataset.rowStocks.subarray(dataset.rowOffsets[t]!, dataset.rowOffsets[t + 1]!);
  const width = predictions.shape[2] ?? 1;
  const score = (row: number): number => predictions.data[stocks[row]! * width + settings.prediction]!;
  const rows = Array.from(stocks.keys()).sort((a, b) => score(b) - score(a));
  const top = rows.slice(0, Math.min(count, Math.ceil(rows.length / 2)));
  const bottom = rows.slice(top.length).slice(-count).reverse();
  const explanations = await explainRows(model, dataset, t, [...top, ...bottom], settings);
  return { date: dataset.dates[t]!, top: explanations.slice(0, top.length), bottom: explanations.slice(top.length) };
}
