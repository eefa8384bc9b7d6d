import type { Ledger, PanelValues } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { averagePredictions } from "../metrics/average-predictions.js";
import type { ASTGNNFactorModel } from "../model/model.js";
import type { GraphStatistics, PredictInput, PredictOptions } from "../model/predict.js";

/** What an ensemble returns: the mean of its members' z-scores and no risk factors, which stay per member. */
export interface EnsemblePrediction {
  /** [dates, stocks] for P = 1, else [dates, stocks, P]; NaN where a stock is not in. */
  readonly predictions: PanelValues;
  /** Means over members. */
  readonly graph: GraphStatistics;
  /** What was dropped, filled or left out of the dataset that was scored. */
  readonly ledger: Ledger;
}

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

  /** @throws AstgnnError ERR_OPTION without a member */
  constructor(members: readonly ASTGNNFactorModel[]) {
    if (!Array.isArray(members) || members.length === 0) throw new AstgnnError("ERR_OPTION", "An ensemble needs at least one model.", { option: "members" });
    this.members = members;
  }

  /** Scores with every member in turn; options as for `ASTGNNFactorModel.predict`, without `riskFactors`. */
  async predict(input: PredictInput, options: Omit<PredictOptions, "riskFactors"> = {}): Promise<EnsemblePrediction> {
    const predictions: PanelValues[] = [];
    const graphs: GraphStatistics[] = [];
    const ledgers: Ledger[] = [];
    for (const member of this.members) {
      const one = await member.predict(input, { ...options, riskFactors: false });
      predictions.push(one.predictions);
      graphs.push(one.graph);
      ledgers.push(one.ledger);
    }
    const mean = (name: keyof GraphStatistics): number => graphs.reduce((sum, graph) => sum + graph[name], 0) / graphs.length;
    return {
      predictions: averagePredictions(predictions),
      graph: { effectiveNeighbours: mean("effectiveNeighbours"), selfWeight: mean("selfWeight"), emptyShare: mean("emptyShare") },
      ledger: ledgers[0]!,
    };
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
