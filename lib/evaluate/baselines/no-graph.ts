import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { DatasetOptions } from "../../data/dataset-options.js";
import type { Panel } from "../../data/panel.js";
import { AstgnnError } from "../../errors.js";
import { ASTGNNFactorModel } from "../../model/model.js";
import type { RunDescription, WalkForwardDescription } from "../../run/description.js";
import { BEFORE_REDUCTION } from "../../run/folder.js";
import type { TrainEvents } from "../../train/events.js";
import type { TrainOptions } from "../../train/options.js";
import { train } from "../../train/train.js";
import { walkForward } from "../walk-forward/walk-forward.js";

/** How a baseline is trained. */
export interface NoGraphOptions {
  readonly threads: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly events: TrainEvents;
}

function noGraphFolder(folder: string): string {
  return join(folder, "baselines", "no-graph");
}

/** Whether a run has a graph that it could go without. */
export function hasGraph({ dataset }: Pick<RunDescription, "dataset">): boolean {
  return dataset["graph"] !== "none";
}

/**
 * The folder, in that of a run, of what the run is without a graph: trained now or before. One that belongs to a run which has been replaced is removed.
 */
export async function withoutGraph(folder: string, description: RunDescription | WalkForwardDescription, panel: Panel, options: NoGraphOptions): Promise<string> {
  try {
    return await trainWithoutGraph(folder, description, panel, options);
  } catch (error) {
    if (!(error instanceof AstgnnError) || error.code !== "ERR_CHECKPOINT") throw error;
    await rm(noGraphFolder(folder), { recursive: true, force: true });
    return await trainWithoutGraph(folder, description, panel, options);
  }
}

/**
 * Trains what the run has trained, with the same data, dates, options and seeds, but every stock on its own in attention and in A; nothing where it is there
 * already. A walk-forward gets one of its own. Returns its folder.
 */
async function trainWithoutGraph(folder: string, description: RunDescription | WalkForwardDescription, panel: Panel, { threads, signal, events }: NoGraphOptions): Promise<string> {
  const out = noGraphFolder(folder);
  const { extremeReturns: _, ...options } = description.dataset;
  const dataset = { ...options, graph: "none" };
  const model = { ...description.config, similarityGraph: "groups", excludeSelf: true, dtype: description.dtype } as const;
  const recipe = { ...BEFORE_REDUCTION, ...description.training, ...events, threads } as TrainOptions;
  if (description.kind === "walkForward") {
    const { sequentialInputSize: __, ...architecture } = model;
    const { train: trainLength, valid, step, mode, start } = description.walkForward;
    const seeds = Array.isArray(description.seeds) ? { seeds: description.seeds as readonly number[] } : { seed: description.seeds as number };
    const rule = { train: trainLength, step, mode, ...(valid === null ? {} : { valid }), ...(start === null ? {} : { start }) };
    await walkForward(panel, { ...rule, dataset: dataset as never, model: architecture, training: { ...recipe, ...seeds }, out, signal });
    return out;
  }
  const { seed: ___, ...shared } = recipe as TrainOptions & { seed?: number };
  const { model: initial, train: trained } = description.seeds;
  const seeds = Array.isArray(trained) ? { seeds: trained as readonly number[] } : { seed: trained as number };
  using cut = await panel.dataset({ ...dataset, threads, signal } as unknown as DatasetOptions);
  using untrained = new ASTGNNFactorModel({ ...model, seed: initial ?? seeds.seed ?? 0 });
  const { members = [] } = await train(untrained, cut, { ...shared, ...seeds, out, resume: true, signal });
  for (const member of members) member.model.dispose();
  return out;
}
