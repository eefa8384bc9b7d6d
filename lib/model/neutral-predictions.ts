import { exposuresOf, type PanelExposures } from "../data/exposures.js";
import { DateNeutraliser } from "../data/neutral-to.js";
import { Pace } from "../data/pace.js";
import type { Dataset, DatasetDescription, Ledger } from "../data/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import type { DateSelection, Neutralise } from "./predict.js";

/** Takes out of packed predictions what exposures explain. */
export interface PredictionNeutraliser {
  /**
   * The residuals of [rows, P] over the rows of the dates in their order, in the same precision.
   *
   * @throws AstgnnError ERR_DATA for a date without exposures, or with too few stocks for them
   */
  residuals(selection: DateSelection, predictions: Float32Array | Float64Array): Promise<Float32Array | Float64Array>;
  /** The ledger with what was filled so far. */
  ledger(before: Ledger): Ledger;
  /** To be called once, when it is no longer used. */
  release(): void;
}

/**
 * @param trained what the model was trained on
 * @returns undefined where `neutralise` is
 * @throws AstgnnError ERR_OPTION, ERR_DATA for exposures that the dataset cannot make
 */
export async function predictionNeutraliser(
  neutralise: Neutralise | undefined, dataset: Dataset, trained: DatasetDescription | undefined, run: { readonly threads: number; readonly signal: AbortSignal | undefined },
): Promise<PredictionNeutraliser | undefined> {
  if (neutralise === undefined) return undefined;
  const names = neutralise === true ? trained?.labelTransform.neutralise : neutralise;
  if (names === undefined) {
    throw new AstgnnError("ERR_OPTION", "neutralise is true, but the model was not trained on labels made neutral to anything.", { option: "neutralise", next: 'Name exposures, such as ["loadings", "style"].' });
  }
  if (!Array.isArray(names) || names.length === 0 || names.some((name) => typeof name !== "string")) throw invalidOption("neutralise", 'true or a list of "loadings", "style", "groups" and column names', neutralise);
  const exposures = await exposuresOf(dataset, names as readonly string[], "neutralise", { ...run, onDates: () => {} });
  const date = new DateNeutraliser(dataset.tickers.length, { exposures, groups: exposures.groups });
  const values = new Float64Array(dataset.tickers.length);
  const pace = new Pace();
  let filled = 0;
  return {
    async residuals({ dates }, predictions) {
      const rows = Array.from(dates, (t) => dataset.rowOffsets[t + 1]! - dataset.rowOffsets[t]!);
      const width = predictions.length / Math.max(1, rows.reduce((sum, count) => sum + count, 0));
      const left = predictions.slice();
      let row = 0;
      for (const [i, t] of dates.entries()) {
        const count = rows[i]!;
        const stock = dataset.rowStocks.subarray(dataset.rowOffsets[t], dataset.rowOffsets[t + 1]);
        for (let p = 0; p < width && count > 0; p++) {
          for (let r = 0; r < count; r++) values[r] = predictions[(row + r) * width + p]!;
          const fit = date.take(t, values, stock, count);
          if (!fit.isFit) throw notNeutral(dataset, t, count, exposures);
          if (p === 0) filled += fit.filled;
          for (let r = 0; r < count; r++) left[(row + r) * width + p] = values[r]!;
        }
        row += count;
        await pace.step();
      }
      return left;
    },
    ledger: (before) => (filled === 0 ? before : { ...before, entries: [...before.entries, { stage: "rows", reason: "missing_exposure", text: "exposures that predictions are made neutral to are missing: each counts as the mean of its date", count: filled, unit: "values" }] }),
    release: () => exposures.release(),
  };
}

/** Scores a selection, makes the predictions neutral where they are to be, and releases `neutral`. */
export async function neutralPredictions<P extends { readonly predictions: Float32Array | Float64Array }>(
  neutral: PredictionNeutraliser | undefined, selection: DateSelection, score: () => Promise<P>,
): Promise<{ readonly packed: P; readonly left: Float32Array | Float64Array; readonly ledger: Ledger }> {
  const { ledger } = selection.dataset;
  try {
    const packed = await score();
    if (neutral === undefined) return { packed, left: packed.predictions, ledger };
    const left = await neutral.residuals(selection, packed.predictions);
    return { packed, left, ledger: neutral.ledger(ledger) };
  } finally {
    neutral?.release();
  }
}

function notNeutral(dataset: Dataset, t: number, stocks: number, exposures: PanelExposures): AstgnnError {
  const date = dataset.dates[t]!;
  if (!exposures.holds(t)) {
    return new AstgnnError("ERR_DATA", `Predictions of ${date} cannot be made neutral: its exposures need more history than the data have before it.`, { date, option: "neutralise", next: "Read more dates before it, or score later ones." });
  }
  const what = `${exposures.names.length} exposures${exposures.groups === undefined ? "" : " and the groups"}`;
  return new AstgnnError("ERR_DATA", `Predictions of ${date} cannot be made neutral to ${what}: its ${stocks} stocks are too few.`, { date, option: "neutralise", next: "Name fewer exposures, or score other dates." });
}
