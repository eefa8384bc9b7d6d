/** Baselines that this package makes. */
export const BASELINES = ["reversal1", "reversal20", "momentum", "ridge", "no-graph"] as const;

/** Name of a baseline. */
export type BaselineName = (typeof BASELINES)[number];
