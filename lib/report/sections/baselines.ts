import type { Maybe } from "../format.js";

/** A baseline on the rows of the report's split, and what ours has more than it. */
export interface BaselineNumbers {
  readonly name: string;
  readonly ic: Maybe;
  readonly rankIc: Maybe;
  readonly icir: Maybe;
  /** HAC t of `ic`. */
  readonly icT: Maybe;
  /** Mean daily IC less the baseline's, and its HAC t. */
  readonly difference: { readonly mean: Maybe; readonly t: Maybe };
}
