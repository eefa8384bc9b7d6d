import { AstgnnError } from "../errors.js";
import { checkDataset } from "../model/compatibility.js";
import type { ASTGNNFactorModel } from "../model/model.js";
import { nativeModule } from "../model/module.js";
import { neutralPredictions, predictionNeutraliser } from "../model/neutral-predictions.js";
import { datesFrom, predictEachDate, type DatePrediction, type PredictDatesOptions } from "../model/predict-dates.js";
import { alignToPanel, averageStatistics, selectDates, type Prediction, type PredictInput, type PredictOptions } from "../model/predict.js";
import { resolveThreads } from "../binding/threads.js";
import { ensembleScorer } from "./scoring.js";

/**
 * What an ensemble returns: the mean of its members' z-scores, and the graph's statistics as means over members. Risk factors stay per
 * member.
 */
export type EnsemblePrediction = Omit<Prediction, "riskFactors">;

/** The mean of the members' z-scores on one date. */
export type EnsembleDatePrediction = Omit<DatePrediction, "riskFactors">;

/**
 * Several models that score together: the mean over members of per-date, per-prediction z-scores over that date's rows
 * (population standard deviation; a member that is constant on a date adds 0 there).
 *
 * @example
 * const run = await train(model, dataset, { seeds: [0, 1, 2] });
 * const { predictions } = await run.ensemble!.predict(dataset.test);
 */
export class Ensemble {
  readonly members: readonly ASTGNNFactorModel[];

  /** @throws AstgnnError ERR_OPTION without a member, ERR_SHAPE where members differ in their number of predictions */
  constructor(members: readonly ASTGNNFactorModel[]) {
    if (!Array.isArray(members) || members.length === 0) throw new AstgnnError("ERR_OPTION", "An ensemble needs at least one model.", { option: "members" });
    for (const [i, { config }] of members.entries()) {
      const expected = members[0]!.config.numPredictions;
      if (config.numPredictions !== expected) throw new AstgnnError("ERR_SHAPE", `Member 1 has ${expected} predictions but member ${i + 1} has ${config.numPredictions}.`, { option: "members" });
    }
    this.members = members;
  }

  /** Scores with every member in turn; options as for `ASTGNNFactorModel.predict`, without `riskFactors`. */
  async predict(input: PredictInput, options: Omit<PredictOptions, "riskFactors"> = {}): Promise<EnsemblePrediction> {
    const selection = selectDates(input);
    for (const member of this.members) checkDataset(member, selection.dataset);
    const scorer = ensembleScorer(this.members.map((member) => nativeModule(member)));
    const request = { riskFactors: false, threads: resolveThreads(options.threads), signal: options.signal };
    const neutral = await predictionNeutraliser(options.neutralise, selection.dataset, this.members[0]!.dataset, request);
    const { packed, left, ledger } = await neutralPredictions(neutral, selection, () => scorer(selection, request));
    return { predictions: alignToPanel(selection, left, this.members[0]!.config.numPredictions), similarity: averageStatistics(packed.statistics), ledger };
  }

  /** Scores date by date, as `ASTGNNFactorModel.predictDates` does, without `riskFactors`. */
  async *predictDates(input: PredictInput, { from, neutralise, threads, signal }: Omit<PredictDatesOptions, "riskFactors"> = {}): AsyncGenerator<EnsembleDatePrediction, void, undefined> {
    const selection = datesFrom(selectDates(input), from);
    for (const member of this.members) checkDataset(member, selection.dataset);
    const scorer = ensembleScorer(this.members.map((member) => nativeModule(member)));
    const request = { riskFactors: false, threads: resolveThreads(threads), signal };
    const neutral = await predictionNeutraliser(neutralise, selection.dataset, this.members[0]!.dataset, request);
    yield* predictEachDate(selection, (date) => scorer(date, request), neutral);
  }

  /** Frees every member. */
  dispose(): void {
    for (const member of this.members) member.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose();
  }
}
