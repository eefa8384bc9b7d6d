import type { NativeExplanation, NativeExplanations } from "../../binding/types.js";
import type { Dataset } from "../../data/types.js";

/** What a peer contributes to a stock's score. */
export interface PeerPart {
  readonly ticker: string;
  /** Both parts together. */
  readonly part: number;
  /** Through A: what the graph convolutions take over from it. */
  readonly throughSimilarity: number;
  /** Through the attention: how it changes the stock's risk factors, and with them whom A leans on. */
  readonly throughAttention: number;
  /** The peer's weight in the stock's row of A; the mean over members of an ensemble. */
  readonly weight: number;
  /** The attention that the stock pays it; the mean over heads and members. */
  readonly attention: number;
}

/** What a feature contributes to the difference between a stock and the date's median stock. Arrays follow `dates`. */
export interface FeaturePart {
  readonly name: string;
  /** Sum over the dates of the window. */
  readonly part: number;
  readonly parts: readonly number[];
  /** As the model sees them, after processors. */
  readonly values: readonly number[];
  /** Median over the stocks that are in on the date. */
  readonly medians: readonly number[];
}

/** Why a stock has its score on a date; docs/explain.md has the formulas. */
export interface Explanation {
  readonly date: string;
  readonly ticker: string;
  /** In float64, so that it differs from a prediction by the rounding of float32. Of an ensemble: the mean of z-scores. */
  readonly score: number;
  /** Score without any message of another stock. `score` = `own` + the parts of all peers. */
  readonly own: number;
  /** Stocks that send a message, largest part first. */
  readonly peers: readonly PeerPart[];
  /** Score of the date's median stock in this stock's place. `score` = `score` of the baseline + the parts of all features. */
  readonly baseline: {
    /** The other stocks send what they send to the stock itself. */
    readonly score: number;
    /** The other stocks react to the median stock: what `predict` gives for such data. */
    readonly scoreWhereOthersReact: number;
  };
  /** Dates of the window, the last one `date`. */
  readonly dates: readonly string[];
  /** Largest part first. */
  readonly features: readonly FeaturePart[];
  /** What the sums above miss: below 1e-6. */
  readonly gaps: { readonly peers: number; readonly features: number };
}

/** What a member of an ensemble, or a single model, made of the rows of a date. */
export interface MemberShare {
  readonly native: NativeExplanations;
  /** Its scores enter as (score - shift) * factor. */
  readonly shift: number;
  readonly factor: number;
}

/** The scores of a single model are as they are; those of a member are z-scores among the rows of the date, over the number of members. */
export function sharesOf(members: readonly NativeExplanations[], isEnsemble: boolean): MemberShare[] {
  return members.map((native) => {
    if (!isEnsemble) return { native, shift: 0, factor: 1 };
    const { predictions: scores } = native;
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
    const deviation = Math.sqrt(scores.reduce((sum, score) => sum + (score - mean) ** 2, 0) / scores.length);
    // As averagePredictions: a member that is constant adds 0.
    const isConstant = scores.every((score) => score === scores[0]) || !(deviation > 0);
    return { native, shift: mean, factor: isConstant ? 0 : 1 / (deviation * members.length) };
  });
}

/** Puts the explanation of the `i`-th row that was asked for together: `t` is its date, `row` which of the date's rows it is. */
export function explanationOf(dataset: Dataset, t: number, row: number, i: number, shares: readonly MemberShare[]): Explanation {
  const rows = dataset.rowStocks.subarray(dataset.rowOffsets[t]!, dataset.rowOffsets[t + 1]!);
  const tickerAt = (r: number): string => dataset.tickers[rows[r]!]!;
  const of = (value: (native: NativeExplanation) => number): number => shares.reduce((sum, { native, factor }) => sum + factor * value(native.rows[i]!), 0);
  const scoreOf = (value: (native: NativeExplanation) => number): number => shares.reduce((sum, { native, shift, factor }) => sum + factor * (value(native.rows[i]!) - shift), 0);
  const meanOf = (value: (native: NativeExplanation) => number): number => shares.reduce((sum, { native }) => sum + value(native.rows[i]!), 0) / shares.length;

  const peers = Array.from(rows, (_, r): PeerPart => {
    const [throughSimilarity, throughAttention] = [of((native) => native.similarityParts[r]!), of((native) => native.attentionParts[r]!)];
    return { ticker: tickerAt(r), part: throughSimilarity + throughAttention, throughSimilarity, throughAttention, weight: meanOf((native) => native.weights[r]!), attention: meanOf((native) => native.attention[r]!) };
  }).filter(({ weight, attention }, r) => r !== row && (weight > 0 || attention > 0));

  const { featureNames, window: T } = dataset;
  const F = featureNames.length;
  const days = Array.from({ length: T }, (_, day) => day);
  const { medians } = shares[0]!.native;
  const features = featureNames.map((name, f): FeaturePart => {
    const parts = days.map((day) => of((native) => native.featureParts[day * F + f]!));
    return { name, part: parts.reduce((sum, part) => sum + part, 0), parts, values: days.map((day) => shares[0]!.native.rows[i]!.window[day * F + f]!), medians: days.map((day) => medians[day * F + f]!) };
  });
  return {
    date: dataset.dates[t]!,
    ticker: tickerAt(row),
    score: scoreOf((native) => native.score),
    own: scoreOf((native) => native.own),
    peers: largestFirst(peers),
    baseline: { score: scoreOf((native) => native.baseline), scoreWhereOthersReact: scoreOf((native) => native.baselineReacting) },
    dates: dataset.dates.slice(t - T + 1, t + 1),
    features: largestFirst(features),
    gaps: { peers: of((native) => native.peerGap), features: of((native) => native.featureGap) },
  };
}

function largestFirst<P extends { readonly part: number }>(parts: P[]): P[] {
  return parts.sort((a, b) => Math.abs(b.part) - Math.abs(a.part));
}
