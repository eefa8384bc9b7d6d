import { z } from "zod";

/** How to demonstrate. */
export interface DemonstrationOptions {
  /** One simulated market and one initial model per seed: whole, 0 to 2^32 - 1. Default [0]. */
  seeds?: readonly number[] | undefined;
  /** Passes over the training dates. Whole, from 1; default 3. */
  epochs?: number | undefined;
  /** Compute threads. Whole, from 1; default 1: these batches are too small to share. */
  threads?: number | undefined;
  /** Keep the simulated markets as CSV in this folder. Default: they are deleted. */
  keep?: string | undefined;
  signal?: AbortSignal | undefined;
  /** Called as each of the trainings proceeds: which one it is, and the share done from 0 to 1. */
  onProgress?: ((progress: DemonstrationProgress) => void) | undefined;
}

/** Where a demonstration stands. */
export interface DemonstrationProgress {
  readonly market: MarketName;
  readonly graph: boolean;
  readonly seed: number;
  /** Of all trainings, 0 to 1. */
  readonly done: number;
}

/** `planted`: news moves industry peers a day later. `null`: hidden shocks do instead, all else equal. */
export type MarketName = "planted" | "null";

/** The options of a demonstration. */
export const demonstrationSchema = z.strictObject({
  seeds: z.array(z.int().min(0).max(0xffffffff).describe("a whole number from 0 to 4294967295")).min(1).default([0]).describe("a list of whole numbers from 0 to 4294967295").meta({ help: "seeds of the simulated markets and of the models", value: "numbers" }),
  epochs: z.int().min(1).default(3).describe("a whole number from 1").meta({ help: "passes over the training dates", value: "count" }),
  threads: z.int().min(1).max(4096).default(1).describe("a whole number from 1 to 4096").meta({ help: "compute threads, few for small batches", value: "count" }),
  keep: z.string().min(1).optional().describe("the path of a folder").meta({ help: "keep the simulated markets as CSV in this folder", value: "folder" }),
  signal: z.custom<AbortSignal>((value) => value instanceof AbortSignal).optional().describe("an AbortSignal"),
  onProgress: z.custom<(progress: DemonstrationProgress) => void>((value) => typeof value === "function").optional().describe("a function"),
});

/** How to demonstrate the way from prices to portfolios. */
export interface PortfolioDemonstrationOptions extends Pick<DemonstrationOptions, "epochs" | "threads" | "signal"> {
  /** Of the simulated market and of the model: whole, 0 to 2^32 - 1. Default 0. */
  seed?: number | undefined;
  /** Keep the simulated market, the run and its report in this folder. Default: a temporary one, which stays too. */
  keep?: string | undefined;
  /** Called as it proceeds: what is done, and how much of a training, 0 to 1. */
  onProgress?: ((progress: { readonly phase: string; readonly done: number }) => void) | undefined;
}

/** The options of a demonstration of portfolios. */
export const portfolioDemonstrationSchema = z.strictObject({
  ...demonstrationSchema.omit({ seeds: true, onProgress: true }).shape,
  seed: demonstrationSchema.shape.seeds.unwrap().element.default(0),
  onProgress: z.custom<(progress: { readonly phase: string; readonly done: number }) => void>((value) => typeof value === "function").optional().describe("a function"),
});
