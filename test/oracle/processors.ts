// Processors date by date: what the core's are held to, bit by bit.
import { AstgnnError } from "../../lib/errors.js";
import type { ResolvedProcessor } from "../../lib/data/dataset-options.js";
import { RankSorter } from "../../lib/data/ranks.js";

/** The grid that processors work on and the dates they may be fitted on. */
export interface ProcessorContext {
  readonly dates: number;
  readonly stocks: number;
  /** 1 where a stock counts: [dates * stocks]. */
  readonly universe: Uint8Array;
  /** First and last training date (indices, inclusive); undefined where there is none to fit on. */
  readonly fit: { readonly from: number; readonly to: number } | undefined;
}

/** A chain of processors and, after it ran over every feature, the statistics it was fitted with. */
export class ProcessorChain {
  /** Processors with their statistics, JSON-safe. */
  readonly fitted: readonly ResolvedProcessor[];
  readonly #context: ProcessorContext;
  readonly #cross: CrossSection;

  /** @throws AstgnnError ERR_OPTION where a processor names an unknown feature */
  constructor(processors: readonly ResolvedProcessor[], featureNames: readonly string[], context: ProcessorContext) {
    for (const { name, columns } of processors) {
      const unknown = columns?.find((column) => !featureNames.includes(column));
      if (unknown === undefined) continue;
      throw new AstgnnError("ERR_OPTION", `Processor ${name} names the unknown feature ${unknown}; the features are ${featureNames.join(", ")}.`, { option: "processors", column: unknown, next: "Correct its columns." });
    }
    this.fitted = processors.map((processor) => structuredClone(processor));
    this.#context = context;
    this.#cross = new CrossSection(context);
  }

  /** Runs the chain over one feature, in place: [dates * stocks], NaN where missing. */
  apply(feature: string, values: Float64Array): void {
    for (const processor of this.fitted) {
      if (processor.columns !== undefined && !processor.columns.includes(feature)) continue;
      switch (processor.name) {
        case "rank":
          this.#cross.rank(values);
          break;
        case "zscore":
          this.#cross.zscore(values);
          break;
        case "winsorize":
          this.#cross.winsorize(values, processor.k);
          break;
        case "standardize": {
          const statistics = (processor.statistics ??= {});
          statistics[feature] ??= this.#meanAndSd(feature, values);
          const { mean, sd } = statistics[feature]!;
          for (let i = 0; i < values.length; i++) values[i] = sd > 0 ? (values[i]! - mean) / sd : values[i]! * 0;
          break;
        }
        case "fill": {
          let value = processor.value;
          if (value === "median") value = (processor.statistics ??= {})[feature] ??= this.#median(feature, values);
          for (let i = 0; i < values.length; i++) if (values[i] !== values[i]) values[i] = value;
          break;
        }
      }
    }
  }

  /** Values of universe stocks on the training dates. */
  #training(feature: string, values: Float64Array, processor: string): Float64Array {
    const { fit, stocks, universe } = this.#context;
    if (fit === undefined) {
      throw new AstgnnError("ERR_OPTION", `Processor ${processor} has no statistics for feature ${feature} and there are no training dates to fit it on.`, { option: "processors", column: feature, next: "Give a split, or a description with statistics." });
    }
    const kept = new Float64Array((fit.to - fit.from + 1) * stocks);
    let count = 0;
    for (let i = fit.from * stocks; i < (fit.to + 1) * stocks; i++) if (universe[i] === 1 && values[i] === values[i]) kept[count++] = values[i]!;
    if (count === 0) {
      throw new AstgnnError("ERR_DATA", `Feature ${feature} has no value on any training date, so processor ${processor} cannot be fitted.`, { column: feature, next: "Leave the feature out or train on later dates." });
    }
    return kept.subarray(0, count);
  }

  #meanAndSd(feature: string, values: Float64Array): { mean: number; sd: number } {
    const training = this.#training(feature, values, "standardize");
    return meanAndSd(training, training.length, 1);
  }

  #median(feature: string, values: Float64Array): number {
    return sortedMedian(this.#training(feature, values, "fill").slice().sort());
  }
}

/**
 * Works date by date. The members of a date are the universe stocks that have a value; a stock outside the universe that has one is placed
 * among them and moves none of them: what a stock was before it joined is known data, and its later windows read it.
 */
export class CrossSection {
  readonly #stocks: number;
  readonly #universe: Uint8Array;
  readonly #sorter: RankSorter;
  readonly #index: Int32Array;
  readonly #members: Float64Array;
  readonly #result: Float64Array;

  constructor({ stocks, universe }: { readonly stocks: number; readonly universe: Uint8Array }) {
    this.#stocks = stocks;
    this.#universe = universe;
    this.#sorter = new RankSorter(stocks);
    this.#index = new Int32Array(stocks);
    this.#members = new Float64Array(stocks);
    this.#result = new Float64Array(stocks);
  }

  /**
   * (p - 0.5) * sqrt(12) with p = (members less + half of the members equal) / n: mean 0, sd about 1. For a member p is (average-tie rank - 0.5) / n.
   * Without a member the date is missing.
   */
  rank(values: Float64Array): void {
    this.#replace(values, (members, result) => {
      const n = members.length;
      this.#sorter.ranks(members, n, result);
      for (let i = 0; i < n; i++) result[i] = ((result[i]! - 0.5) / n - 0.5) * Math.sqrt(12);
      let sorted: Float64Array | undefined;
      return (x) => {
        sorted ??= members.slice().sort();
        return ((countBelow(sorted, x, false) + countBelow(sorted, x, true)) / (2 * n) - 0.5) * Math.sqrt(12);
      };
    });
  }

  /** (x - mean) / population sd of the members; 0 where sd is 0. Without a member the date is missing. */
  zscore(values: Float64Array): void {
    this.#replace(values, (members, result) => {
      const { mean, sd } = meanAndSd(members, members.length, 0);
      const standardized = (x: number): number => (sd > 0 ? (x - mean) / sd : 0);
      for (let i = 0; i < members.length; i++) result[i] = standardized(members[i]!);
      return standardized;
    });
  }

  /** Clips to median ± k * 1.4826 * MAD of the members; a date whose MAD is 0 stays as it is. */
  winsorize(values: Float64Array, k: number): void {
    for (let first = 0; first < values.length; first += this.#stocks) {
      const bounds = madBounds(this.#collect(values, first), k);
      if (bounds === undefined) continue;
      for (let i = first; i < first + this.#stocks; i++) values[i] = Math.min(bounds.high, Math.max(bounds.low, values[i]!));
    }
  }

  /** `transform` writes the members' results and returns what places another stock among them. */
  #replace(values: Float64Array, transform: (members: Float64Array, result: Float64Array) => (x: number) => number): void {
    for (let first = 0; first < values.length; first += this.#stocks) {
      const members = this.#collect(values, first);
      const place = members.length === 0 ? () => NaN : transform(members, this.#result);
      for (let i = first; i < first + this.#stocks; i++) if (this.#universe[i] !== 1 && values[i] === values[i]) values[i] = place(values[i]!);
      for (let i = 0; i < members.length; i++) values[first + this.#index[i]!] = this.#result[i]!;
    }
  }

  /** The members' values; their places are in #index. */
  #collect(values: Float64Array, first: number): Float64Array {
    let count = 0;
    for (let n = 0; n < this.#stocks; n++) {
      const value = values[first + n]!;
      if (this.#universe[first + n] !== 1 || value !== value) continue;
      this.#index[count] = n;
      this.#members[count++] = value;
    }
    return this.#members.subarray(0, count);
  }
}

/** How many of `sorted` are less than x, or with `orEqual` less or equal. */
function countBelow(sorted: Float64Array, x: number, orEqual: boolean): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < x || (orEqual && sorted[middle] === x)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** median ± k * 1.4826 * MAD, or undefined where the MAD is 0 or there is no value. */
export function madBounds(values: Float64Array, k: number): { low: number; high: number } | undefined {
  if (values.length === 0) return undefined;
  const centre = sortedMedian(values.slice().sort());
  const mad = sortedMedian(values.map((value) => Math.abs(value - centre)).sort());
  const reach = k * 1.4826 * mad;
  return mad > 0 ? { low: centre - reach, high: centre + reach } : undefined;
}

/** Two-pass mean and standard deviation of the first `count` values; `ddof` 0 population, 1 sample. Equal values have sd exactly 0. */
export function meanAndSd(values: Float64Array, count: number, ddof: 0 | 1): { mean: number; sd: number } {
  let sum = 0;
  let varies = false;
  for (let i = 0; i < count; i++) {
    sum += values[i]!;
    if (values[i] !== values[0]) varies = true;
  }
  if (!varies) return { mean: values[0]!, sd: 0 };
  const mean = sum / count;
  let squares = 0;
  for (let i = 0; i < count; i++) squares += (values[i]! - mean) ** 2;
  return { mean, sd: Math.sqrt(squares / (count - ddof)) };
}

function sortedMedian(sorted: Float64Array): number {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
