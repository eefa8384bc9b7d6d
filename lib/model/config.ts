import { z } from "zod";
import type { Dtype, NativeConfig } from "../binding/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { resolveOptions } from "../options.js";
import { withPreset, type PresetName } from "../presets.js";
import type { Device } from "./device.js";

/**
 * The architecture: the reference's `Config` in camelCase. Every option may be left out; the defaults are the published recommendation.
 *
 * @example
 * const model = new ASTGNNFactorModel({ sequentialInputSize: 20, relationalSkip: true, excludeSelf: true });
 */
export interface ModelOptions {
  /** Options by a name: those of `presets`, which the others override. */
  preset?: PresetName | undefined;
  /** F, features per stock and date. Whole, from 1; default 21. */
  sequentialInputSize?: number | undefined;
  /** H, width of the GRU. Whole, from 1; default 64. */
  gruHiddenSize?: number | undefined;
  /** Stacked GRU layers. Whole, from 1; default 2. Dropout acts between them. */
  gruNumLayers?: number | undefined;
  /** A * D, all attention heads together. Whole, a multiple of `gatNumHeads`; default 128. */
  gatHiddenSize?: number | undefined;
  /** A, attention heads. Whole, from 1; default 4. */
  gatNumHeads?: number | undefined;
  /** Slope of the LeakyReLU of attention scores below 0. From 0 (plain ReLU) to below 1 (1 would make the attention independent of the attending row); default 0.2. */
  gatNegativeSlope?: number | undefined;
  /** Connection around the attention: `"add"` W h + GAT(h) (default), `"subtract"` W h - GAT(h), `"none"` GAT(h) alone, which averages stocks away on a complete graph. */
  gatResidual?: "add" | "subtract" | "none" | undefined;
  /** Width of the residual block. Whole, from 1; default 128. */
  residualHiddenSize?: number | undefined;
  /** K, latent risk factors. Whole, from 2; default 32. */
  numRiskFactors?: number | undefined;
  /** What the graph convolution transforms: `"features"` of the last date (default), the GRU `"state"`, or `"both"`. */
  relationalInput?: "features" | "state" | "both" | undefined;
  /** Width of the TGC layers before the last. Whole, from 1; default 128. */
  tgcHiddenSize?: number | undefined;
  /** E, width of the last TGC layer. Whole, from 1; default 64. */
  tgcOutputSize?: number | undefined;
  /** TGC layers. Whole, from 1; default 2. */
  numTgcLayers?: number | undefined;
  /** Modes of the TGC layers, repeated as often as needed: `"add"` (I + A) X W + b, `"subtract"` (I - A) X W + b. Default `["add", "subtract"]`. */
  tgcModes?: readonly ("add" | "subtract")[] | undefined;
  /** Factor on M Mᵀ before the softmax: a number above 0 (default 1, the literal formula), `"sqrtK"` for 1/sqrt(K), or `"learned"`, which starts there. Small makes A the plain average, large the identity. */
  similarityScale?: number | "sqrtK" | "learned" | undefined;
  /** True: no stock is its own neighbour in A. Default false, the literal formula. */
  excludeSelf?: boolean | undefined;
  /**
   * Most similar stocks kept per row of A. Whole, from 0; 0 (default) keeps all. The largest products scale m_i · m_j are kept, before ReLU,
   * and every one that ties with the smallest kept. Products tie where they differ by no more than 2^-18 scale |m_i| max_j |m_j| (Euclidean
   * norms, j over the stocks of the date, or of the group): more than rounding, so that equal stocks tie on every processor.
   */
  topK?: number | undefined;
  /** Mask of A, the stocks that a row may link to: all stocks of the date (`"complete"`, default) or those of the same group (`"groups"`). */
  similarityGraph?: "complete" | "groups" | undefined;
  /** True: the head also sees the TGC's input, so that the graph can only add. Default false. */
  relationalSkip?: boolean | undefined;
  /** Widths of the head's hidden layers, each whole from 1; `[]` is a plain linear head. Default `[128, 64]`. */
  predictionHiddenSizes?: readonly number[] | undefined;
  /** P, predictions (factor units) per stock. Whole, from 1; default 1. */
  numPredictions?: number | undefined;
  /** `"layer"` (default): LayerNorm per stock. `"batch"`: BatchNorm over all rows of a step, so a date's output depends on its batch in training. */
  norm?: "layer" | "batch" | undefined;
  /** Share of units dropped in training. From 0 (off) to below 1; default 0.1. */
  dropout?: number | undefined;
  /** Added to variances in norms. Above 0; default 1e-5. */
  eps?: number | undefined;
}

/** The complete architecture; what `model.config` returns and `run.json` stores. */
export type ModelConfig = Readonly<NativeConfig>;

/** How a model is made, beside its architecture. */
export interface InitialisationOptions {
  /** Seed of the initial weights. Whole, 0 to 2^32 - 1; default 0. */
  seed?: number | undefined;
  /** Where the weights live and all on them is computed. Default ASTGNN_DEVICE, else `"auto"`: the first GPU that can be used, else the CPU. */
  device?: Device | undefined;
  /** Number type of weights and arithmetic. Default `"float32"`; `"float64"` is for checks: twice the memory, several times slower. */
  dtype?: Dtype | undefined;
}

const size = (fallback: number, least = 1) => z.int().min(least).max(1_000_000).default(fallback).describe(`a whole number from ${least}`);
const flag = (fallback: boolean) => z.boolean().default(fallback).describe("true or false");
const oneOf = <const C extends readonly [string, ...string[]]>(choices: C, fallback: C[number]) =>
  z.enum(choices).default(fallback as never).describe(choices.map((choice) => `"${choice}"`).join(", ").replace(/, (?=[^,]*$)/, " or "));

/** Whole, 0 to 2^32 - 1: what the native generators take. */
export const seedSchema = z.int().min(0).max(0xffffffff).default(0).describe("a whole number from 0 to 4294967295");

/** The options that the model and every layer share. */
export const initialisationShape = {
  seed: seedSchema,
  dtype: oneOf(["float32", "float64"], "float32").meta({ help: "number type of weights and arithmetic", value: "type" }),
  device: z.string().optional().describe('"auto", "cpu", "cuda" or "cuda:<number>"').meta({ help: "where to compute", value: "device", byDefault: "ASTGNN_DEVICE, else auto, the first GPU that can be used, else the CPU" }),
};

/** The options of an architecture. */
const configShape = {
  sequentialInputSize: size(21),
  gruHiddenSize: size(64).meta({ help: "width of the GRU", value: "width" }),
  gruNumLayers: size(2).meta({ help: "stacked GRU layers", value: "count" }),
  gatHiddenSize: size(128).meta({ help: "width of the attention, all heads together", value: "width" }),
  gatNumHeads: size(4).meta({ help: "attention heads", value: "count" }),
  gatNegativeSlope: z.number().min(0).lt(1).default(0.2).describe("a number from 0 to below 1").meta({ help: "slope of the LeakyReLU below 0", value: "slope" }),
  gatResidual: oneOf(["add", "subtract", "none"], "add").meta({ help: "connection around the attention", value: "kind" }),
  residualHiddenSize: size(128).meta({ help: "width of the residual block", value: "width" }),
  numRiskFactors: size(32, 2).meta({ help: "latent risk factors", value: "count" }),
  relationalInput: oneOf(["features", "state", "both"], "features").meta({ help: "input of the graph convolution", value: "kind" }),
  tgcHiddenSize: size(128).meta({ help: "width of the graph convolutions before the last", value: "width" }),
  tgcOutputSize: size(64).meta({ help: "width of the last graph convolution", value: "width" }),
  numTgcLayers: size(2).meta({ help: "graph convolutions", value: "count" }),
  tgcModes: z.array(z.enum(["add", "subtract"]).describe('"add" or "subtract"')).min(1).default(["add", "subtract"]).describe('a list of "add" and "subtract", at least one').meta({ help: "modes of the graph convolutions, repeated as needed", value: "modes" }),
  similarityScale: z.union([z.number().gt(0), z.enum(["sqrtK", "learned"])]).default(1).describe('a number above 0, "sqrtK" or "learned"').meta({ help: "factor on M M' before the softmax", value: "scale" }),
  excludeSelf: flag(false).meta({ help: "no stock is its own neighbour" }),
  topK: size(0, 0).meta({ help: "most similar stocks kept per stock, 0 for all", value: "count" }),
  similarityGraph: oneOf(["complete", "groups"], "complete").meta({ help: "stocks that may be similar: all of the date, or those of the same group", value: "kind" }),
  relationalSkip: flag(false).meta({ help: "the head also sees the input of the graph convolution" }),
  predictionHiddenSizes: z.array(z.int().min(1).max(1_000_000).describe("a whole number from 1")).default([128, 64]).describe("a list of whole numbers from 1").meta({ help: "hidden layers of the head", value: "widths" }),
  numPredictions: size(1).meta({ help: "predictions per stock", value: "count" }),
  norm: oneOf(["layer", "batch"], "layer").meta({ help: "normalisation: of a stock alone, or over the rows of a step", value: "kind" }),
  dropout: z.number().min(0).lt(1).default(0.1).describe("a number from 0 to below 1").meta({ help: "share of units dropped in training", value: "share" }),
  eps: z.number().gt(0).default(1e-5).describe("a number above 0").meta({ help: "added to variances in norms", value: "value" }),
};

const configSchema = z.strictObject(configShape);
/** The options of a model. */
export const modelSchema = z.strictObject({ ...configShape, ...initialisationShape });

/** Names of all architecture options, in the reference's order. */
export const configNames = Object.keys(configShape) as (keyof ModelConfig)[];

/**
 * Completes and checks what `new ASTGNNFactorModel` was given.
 *
 * @throws AstgnnError ERR_OPTION naming the option
 */
export function resolveModelOptions(options: ModelOptions & InitialisationOptions = {}): { config: ModelConfig; seed: number; dtype: Dtype; device: string | undefined } {
  const { seed, dtype, device, ...config } = resolveOptions(modelSchema, withPreset("model", options), "the model");
  return { config: checkHeads(config), seed, dtype, device };
}

/**
 * Completes and checks an architecture alone.
 *
 * @throws AstgnnError ERR_OPTION naming the option
 */
export function resolveConfig(options: ModelOptions = {}): ModelConfig {
  return checkHeads(resolveOptions(configSchema, withPreset("model", options), "the model"));
}

/** The config under the reference's names, so that Python's `Config(**json)` takes it. */
export function toReferenceConfig(config: ModelConfig): Record<string, unknown> {
  return Object.fromEntries(configNames.map((name) => [snakeCase(name), config[name]]));
}

/**
 * The inverse of {@link toReferenceConfig}. Names left out take the reference's defaults, as in Python.
 *
 * @throws AstgnnError ERR_CHECKPOINT for a name or value that the reference's Config does not have
 */
export function fromReferenceConfig(json: unknown, file?: string): ModelConfig {
  const where = file === undefined ? {} : { file };
  if (json === null || typeof json !== "object" || Array.isArray(json)) {
    throw new AstgnnError("ERR_CHECKPOINT", "The checkpoint's config is not a JSON object.", where);
  }
  const known = new Map(configNames.map((name) => [snakeCase(name), name]));
  const options: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(json)) {
    const name = known.get(key);
    if (name === undefined) throw new AstgnnError("ERR_CHECKPOINT", `The checkpoint's config has an unknown name ${JSON.stringify(key)}.`, where);
    options[name] = value;
  }
  try {
    return resolveConfig(options as ModelOptions);
  } catch (cause) {
    throw new AstgnnError("ERR_CHECKPOINT", `The checkpoint's config is not usable: ${(cause as Error).message}`, { ...where, cause });
  }
}

/** Rows of A may only link stocks of one group: such a model needs groups in its dataset. */
export function needsGroups(config: ModelConfig): boolean {
  return config.similarityGraph === "groups";
}

function checkHeads(config: ModelConfig): ModelConfig {
  if (config.gatHiddenSize % config.gatNumHeads !== 0) {
    throw invalidOption("gatNumHeads", `a divisor of gatHiddenSize (${config.gatHiddenSize})`, config.gatNumHeads);
  }
  return config;
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
