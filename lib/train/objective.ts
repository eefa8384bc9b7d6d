import { z } from "zod";
import type { NativeTerm, TermName } from "../binding/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { PEER_DAYS } from "../model/peers.js";
import { resolveOptions } from "../options.js";

/**
 * Name of a loss: on predictions `"mse"`, `"ic"` (minus the Pearson correlation per date), `"pairwiseRank"` (RSR, Feng et al. 2019),
 * `"rankIc"` (minus a soft Spearman, Blondel et al. 2020) and `"decorrelation"` (mean squared correlation between the P predictions, so that
 * each becomes a factor unit of its own); on the risk factors M `"risk"` (Deep Risk Model, Lin et al. 2021),
 * `"vif"` (mean variance inflation), `"turnover"` (mean squared change between neighbouring dates) and `"coMovement"`: minus the correlation of
 * stocks' returns on the coming days with those of their peers in A, so that A learns who moves with whom.
 */
export type LossName = TermName;

/** One term of a weighted objective. */
export interface LossTerm {
  name: LossName;
  /** Factor of the term in the total. Above 0; default 1. */
  weight?: number | undefined;
  /** Index of the prediction, 0 to P - 1; prediction terms only. Default: see {@link Loss}. */
  prediction?: number | undefined;
  /** Index of the label horizon, 0 to L - 1; prediction terms only. Default: see {@link Loss}. */
  horizon?: number | undefined;
  /** `rankIc`: softness of the ranks. Above 0, default 1; near 0 gives exact ranks and no gradient, large gives the plain IC. */
  strength?: number | undefined;
  /** `risk`: weight of horizon h is omega^h. Above 0, at most 1; default 0.9. */
  omega?: number | undefined;
  /** `risk`: weight of the mean squared correlation between factors. From 0; default 0.05. */
  orthogonality?: number | undefined;
  /** `risk`, `vif`: ridge of the regression or correlation matrix. From 0; default 1e-6. */
  ridge?: number | undefined;
  /**
   * `coMovement`: how many days ahead the peers must move alike, in panel dates. Whole, from 1; default 10. A date that has fewer before the
   * end of its split is left out of the term and counted.
   */
  horizonDays?: number | undefined;
}

/**
 * What training minimises: one loss by name or a weighted sum of terms. Without indices a prediction term pairs prediction 0 with
 * horizon 0 (P = 1) or is the mean over p of the pairs (p, p) (P = L); any other P must name both. `risk` takes all horizons.
 */
export type Loss = LossName | { terms: readonly LossTerm[] };

const PREDICTION_TERMS: readonly string[] = ["mse", "ic", "pairwiseRank", "rankIc"];
const NAMES = ["mse", "ic", "pairwiseRank", "rankIc", "risk", "vif", "turnover", "coMovement", "decorrelation"] as const;
/** Options that only some terms have. */
const OWNERS: Record<string, readonly string[]> = {
  prediction: PREDICTION_TERMS,
  horizon: PREDICTION_TERMS,
  strength: ["rankIc"],
  omega: ["risk"],
  orthogonality: ["risk"],
  ridge: ["risk", "vif"],
  horizonDays: ["coMovement"],
};

const index = z.int().min(0).optional().describe("a whole number from 0");
const termSchema = z.strictObject({
  name: z.enum(NAMES).describe(NAMES.map((name) => `"${name}"`).join(", ")),
  weight: z.number().gt(0).default(1).describe("a number above 0"),
  prediction: index,
  horizon: index,
  strength: z.number().gt(0).optional().describe("a number above 0"),
  omega: z.number().gt(0).max(1).optional().describe("a number above 0, at most 1"),
  orthogonality: z.number().min(0).optional().describe("a number from 0"),
  ridge: z.number().min(0).optional().describe("a number from 0"),
  horizonDays: z.int().min(1).max(65536).optional().describe("a whole number from 1 to 65536"),
});

/** In its place, so that messages name the whole path. */
const termsSchema = z.strictObject({ loss: z.strictObject({ terms: z.array(termSchema) }) });

/** Shape of `loss`, for the schema of the training options. */
export const lossSchema = z
  .union([z.enum(NAMES), z.strictObject({ terms: z.array(z.unknown()).min(1) })])
  .default("ic")
  .describe(`${NAMES.map((name) => `"${name}"`).join(", ")} or { terms: [{ name, weight, ... }] }`)
  .meta({ help: `${NAMES.join(", ")}, or JSON such as '{"terms": [{"name": "ic"}, {"name": "risk", "weight": 0.3}]}'`, value: "name", kind: "json", byDefault: "ic" });

/**
 * Resolves a loss against the model's P predictions and the dataset's L horizons.
 *
 * @throws AstgnnError ERR_OPTION naming the term's option
 */
export function resolveLoss(loss: Loss | z.output<typeof lossSchema>, predictions: number, horizons: number, datesPerStep: number): NativeTerm[] {
  const { terms } = resolveOptions(termsSchema, { loss: typeof loss === "string" ? { terms: [{ name: loss }] } : loss }, "train").loss;
  return terms.map((term, i) => {
    const at = typeof loss === "string" ? "loss" : `loss.terms.${i}`;
    for (const [option, owners] of Object.entries(OWNERS)) {
      if (term[option as keyof typeof term] === undefined || owners.includes(term.name)) continue;
      throw new AstgnnError("ERR_OPTION", `${at}.${option} belongs to ${owners.join(", ")}, not to ${term.name}.`, { option: `${at}.${option}`, next: "Leave it out." });
    }
    if (term.name === "turnover" && datesPerStep < 2) {
      throw new AstgnnError("ERR_OPTION", "The turnover term compares neighbouring dates of one step, so it needs datesPerStep of at least 2.", {
        option: "datesPerStep",
        next: "Set datesPerStep: 2 or more.",
      });
    }
    if (term.name === "decorrelation" && predictions < 2) {
      throw new AstgnnError("ERR_OPTION", `${at}: decorrelation compares the predictions of a model with one another, and this one has a single prediction.`, {
        option: "numPredictions",
        next: "Set numPredictions: 2 or more, or leave the term out.",
      });
    }
    const pairs = PREDICTION_TERMS.includes(term.name) ? pairsOf(term, at, predictions, horizons) : [];
    return {
      name: term.name,
      weight: term.weight,
      predictions: pairs.map(([p]) => p),
      // Empty for terms on M; the core gives risk every horizon of the panel.
      horizons: pairs.map(([, h]) => h),
      strength: term.strength ?? 1,
      omega: term.omega ?? 0.9,
      orthogonality: term.orthogonality ?? 0.05,
      ridge: term.ridge ?? 1e-6,
      horizonDays: term.horizonDays ?? PEER_DAYS,
    };
  });
}

/**
 * The (prediction, horizon) pairs that validation metrics are about: of the first prediction term and of those of its name that train other
 * predictions, else the default pairing, else (0, 0).
 */
export function evaluationPairs(objective: readonly NativeTerm[], predictions: number, horizons: number): [number, number][] {
  const first = objective.find(({ name }) => PREDICTION_TERMS.includes(name));
  const pairs = objective.filter(({ name }) => name === first?.name).flatMap(({ predictions: columns, horizons: labels }) => columns.map((p, k): [number, number] => [p, labels[k]!]));
  if (pairs.length > 0) return pairs.filter(([p], k) => pairs.findIndex(([other]) => other === p) === k);
  return predictions === horizons ? diagonal(predictions) : [[0, 0]];
}

/** Names of the terms as metrics call them: the loss's name, numbered from the second of a kind on (`ic`, `ic2`). */
export function termLabels(objective: readonly NativeTerm[]): string[] {
  const seen = new Map<string, number>();
  return objective.map(({ name }) => {
    const count = (seen.get(name) ?? 0) + 1;
    seen.set(name, count);
    return count === 1 ? name : `${name}${count}`;
  });
}

function pairsOf(term: { prediction?: number | undefined; horizon?: number | undefined }, at: string, predictions: number, horizons: number): [number, number][] {
  const { prediction, horizon } = term;
  for (const [name, value, limit] of [["prediction", prediction, predictions], ["horizon", horizon, horizons]] as const) {
    if (value !== undefined && value >= limit) throw invalidOption(`${at}.${name}`, `a whole number from 0 to ${limit - 1}`, value);
  }
  if (prediction !== undefined && horizon !== undefined) return [[prediction, horizon]];
  if (predictions === 1) return [[0, horizon ?? 0]];
  if (predictions !== horizons) {
    throw new AstgnnError("ERR_OPTION", `${at} cannot pair ${predictions} predictions with ${horizons} label horizon${horizons === 1 ? "" : "s"} by itself.`, {
      option: at,
      next: "Name both: { terms: [{ name, prediction: 0, horizon: 0 }, ...] }.",
    });
  }
  const same = prediction ?? horizon;
  return same === undefined ? diagonal(predictions) : [[same, same]];
}

function diagonal(length: number): [number, number][] {
  return Array.from({ length }, (_, p) => [p, p]);
}
