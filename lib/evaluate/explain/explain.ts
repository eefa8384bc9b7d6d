import { z } from "zod";
import { finished } from "../../binding/job.js";
import { loadCore } from "../../binding/load.js";
import { resolveThreads } from "../../binding/threads.js";
import type { NativeExplanations } from "../../binding/types.js";
import { nativePanel } from "../../data/native-panel.js";
import type { Dataset } from "../../data/types.js";
import { AstgnnError, invalidOption } from "../../errors.js";
import { checkDataset } from "../../model/compatibility.js";
import { ASTGNNFactorModel } from "../../model/model.js";
import { nativeModule } from "../../model/module.js";
import { findRow } from "../../model/peers.js";
import { notFinite, selectDates } from "../../model/predict.js";
import { resolveOptions } from "../../options.js";
import { Ensemble } from "../../run/ensemble.js";
import { LoadedRun } from "../../run/load.js";
import { explanationOf, sharesOf, type Explanation } from "./explanation.js";

/** How an explanation is computed. */
export interface ExplainSettings {
  /** Which of the model's predictions. Whole, from 0 (default) to below P. */
  prediction?: number | undefined;
  /** Compute threads. Whole, from 1; default ASTGNN_THREADS, else the physical cores. */
  threads?: number | undefined;
  /** Stops within a fraction of a second; the promise rejects with ERR_ABORTED. */
  signal?: AbortSignal | undefined;
  /** Told again and again what share of the work is done, from 0 to 1. */
  onProgress?: ((done: number) => void) | undefined;
}

/** Which score to explain. */
export interface ExplainOptions extends ExplainSettings {
  /** YYYY-MM-DD */
  date: string;
  ticker: string;
}

/** What can be explained. */
export type Explainable = ASTGNNFactorModel | Ensemble | LoadedRun;

export const settingsShape = {
  prediction: z.int().min(0).default(0).describe("a whole number from 0"),
  threads: z.int().min(1).optional().describe("a whole number from 1"),
  signal: z.instanceof(AbortSignal).optional().describe("an AbortSignal"),
  onProgress: z.custom<(done: number) => void>((value) => typeof value === "function").optional().describe("a function"),
};
const OptionsSchema = z.strictObject({ date: z.string().describe("a date as YYYY-MM-DD"), ticker: z.string().describe("a ticker of the panel"), ...settingsShape });

/**
 * Says why a stock has its score on a date: what is the stock's own, what comes from each peer through A and through the attention, and which features
 * and dates make the difference to the date's median stock. Both sums are exact to 1e-6. It is computed on the CPU in float64.
 *
 * @param model a model, an ensemble or a loaded run; of an ensemble the mean over members is explained
 * @example
 * const { score, own, peers, features } = await explain(model, dataset, { date: "2017-01-05", ticker: "S7" });
 * @throws AstgnnError ERR_DATA where the date or the stock is not in or the data were prepared otherwise than those of the training, ERR_OPTION for
 *   an unknown ticker or prediction, ERR_ABORTED
 */
export async function explain(model: Explainable, dataset: Dataset, options: ExplainOptions): Promise<Explanation> {
  const { date, ticker, ...settings } = resolveOptions(OptionsSchema, options, "explain");
  const members = membersOf(model);
  for (const member of members) checkDataset(member, dataset);
  selectDates({ dataset, dates: [date] }); // says where a date has too little history
  const { t, row } = findRow(dataset, date, ticker);
  const [explanation] = await explainRows(model, dataset, t, [row], settings);
  return explanation!;
}

/** Explains rows of one date. */
export async function explainRows(model: Explainable, dataset: Dataset, t: number, rows: readonly number[], { prediction = 0, threads, signal, onProgress }: ExplainSettings): Promise<Explanation[]> {
  const members = membersOf(model);
  const { numPredictions } = members[0]!.config;
  if (prediction >= numPredictions) throw invalidOption("prediction", `a whole number from 0 to ${numPredictions - 1}`, prediction);
  const failed = new AbortController();
  const stop = signal === undefined ? failed.signal : AbortSignal.any([signal, failed.signal]);
  const natives: NativeExplanations[] = [];
  try {
    for (const [m, member] of members.entries()) {
      const report = (done: number): void => {
        try {
          onProgress?.((m + done) / members.length);
        } catch (error) {
          failed.abort(error);
        }
      };
      const native = nativeModule(member);
      const start = () => loadCore().explain(native, nativePanel(dataset, "cpu"), { date: t, rows: [...rows], prediction, threads: resolveThreads(threads) }, report);
      const explained = await finished(start, stop, "The explanation");
      const wrong = explained.predictions.findIndex((score) => !Number.isFinite(score));
      if (wrong >= 0) throw notFinite(dataset.tickers[dataset.rowStocks[dataset.rowOffsets[t]! + wrong]!]!, dataset.dates[t]!);
      natives.push(explained);
    }
  } catch (error) {
    throw failed.signal.aborted ? failed.signal.reason : error;
  }
  const shares = sharesOf(natives, isEnsemble(model));
  return rows.map((row, i) => explanationOf(dataset, t, row, i, shares));
}

/** The models whose scores make the one that is explained. */
export function membersOf(model: Explainable): readonly ASTGNNFactorModel[] {
  if (model instanceof ASTGNNFactorModel) return [model];
  if (model instanceof Ensemble) return model.members;
  if (model instanceof LoadedRun) return model.models;
  throw new AstgnnError("ERR_OPTION", "Expected a model, an ensemble or a loaded run to explain.", { option: "model", next: "Pass what loadRun or new ASTGNNFactorModel returns." });
}

function isEnsemble(model: Explainable): boolean {
  return model instanceof Ensemble || (model instanceof LoadedRun && model.ensemble !== undefined);
}
