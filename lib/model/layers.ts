import { z } from "zod";
import { loadCore } from "../binding/load.js";
import type { Dtype, NativeLayerOptions } from "../binding/types.js";
import { invalidOption } from "../errors.js";
import { resolveOptions } from "../options.js";
import { initialisationShape, resolveModelOptions, type InitialisationOptions, type ModelOptions } from "./config.js";
import { resolveDevice } from "./device.js";
import { integers, type PackedRowMask } from "./row-mask.js";
import { attentionOf, forwardModule, Module, similarityOf } from "./module.js";
import type { Tensor } from "./tensor.js";

/** Options of a {@link TimeGraphConvolution}. */
export interface TimeGraphConvolutionOptions extends InitialisationOptions {
  /** `"add"`: similar stocks reinforce (default). `"subtract"`: what similar stocks share is taken out. */
  mode?: "add" | "subtract" | undefined;
  /** Factor on M Mᵀ before the softmax. Above 0; default 1, the literal formula. */
  similarityScale?: number | undefined;
  /** True: no stock is its own neighbour. Default false. */
  excludeSelf?: boolean | undefined;
  /** Most similar stocks kept per row, and those that tie with the last (see {@link ModelOptions.topK}). Whole, from 0; 0 (default) keeps all. */
  topK?: number | undefined;
  /** `"groups"`: only rows of the same group are similar, and forward needs `groups`. Default `"complete"`. */
  similarityGraph?: "complete" | "groups" | undefined;
}

const timeGraphConvolutionSchema = z.strictObject({
  ...initialisationShape,
  mode: z.enum(["add", "subtract"]).default("add").describe('"add" or "subtract"'),
  similarityScale: z.number().gt(0).default(1).describe("a number above 0"),
  excludeSelf: z.boolean().default(false).describe("true or false"),
  topK: z.int().min(0).default(0).describe("a whole number from 0"),
  similarityGraph: z.enum(["complete", "groups"]).default("complete").describe('"complete" or "groups"'),
});

/**
 * Temporal graph convolution: Z = (I + A) X W + b (`"add"`) or (I - A) X W + b (`"subtract"`) with A = row-softmax(ReLU(scale M Mᵀ))
 * over the stocks of a date. Weights: `weight` [inSize, outSize], `bias` [outSize].
 *
 * @example
 * using tgc = new TimeGraphConvolution(21, 128, { mode: "subtract" });
 * const z = await tgc.forward(Tensor.from(x, [n, 21]), Tensor.from(m, [n, 32])); // [n, 128]
 */
export class TimeGraphConvolution extends Module {
  constructor(inSize: number, outSize: number, options: TimeGraphConvolutionOptions = {}) {
    const { seed, dtype, device, ...layer } = resolveOptions(timeGraphConvolutionSchema, options, "TimeGraphConvolution");
    super(makeLayer("createTimeGraphConvolution", { inSize, outSize, ...layer }, dtype, seed, device));
  }

  /** x [R, inSize], m [R, K] -> z [R, outSize]. */
  async forward(x: Tensor, m: Tensor, mask: PackedRowMask = {}): Promise<Tensor> {
    return (await forwardModule(this, [["x", x], ["m", m]], mask))[0]!;
  }

  /** A of one date from m [N, K]: [N, N], rows sum to 1 or, without neighbours, to 0. `groups`: group of each row. */
  async similarity(m: Tensor, groups?: Int32Array | readonly number[]): Promise<Tensor> {
    return similarityOf(this, m, groups === undefined ? undefined : integers(groups, "groups"));
  }
}

/** Options of a {@link GraphAttention}. */
export interface GraphAttentionOptions extends InitialisationOptions {
  /** A, attention heads. A divisor of the output width; default 4. */
  heads?: number | undefined;
  /** Slope of the LeakyReLU below 0. From 0 to below 1; default 0.2. */
  negativeSlope?: number | undefined;
  /** Share of averaged values dropped in training. From 0 to below 1; default 0. */
  dropout?: number | undefined;
}

const graphAttentionSchema = z.strictObject({
  ...initialisationShape,
  heads: z.int().min(1).default(4).describe("a whole number from 1"),
  negativeSlope: z.number().min(0).lt(1).default(0.2).describe("a number from 0 to below 1"),
  dropout: z.number().min(0).lt(1).default(0).describe("a number from 0 to below 1"),
});

/**
 * Multi-head graph attention (Velickovic et al. 2018): per head v = W h, e_ij = LeakyReLU(a_source . v_i + a_target . v_j), softmax over the
 * stocks j that i may see, out_i = sum_j alpha_ij v_j; heads side by side. Weights: `linear.weight` [outSize, inSize],
 * `attention_source` and `attention_target` [A, outSize / A].
 *
 * @example
 * using gat = new GraphAttention(64, 128, { heads: 4 });
 * const out = await gat.forward(Tensor.from(h, [n, 64]), { groups: industry }); // [n, 128]
 */
export class GraphAttention extends Module {
  constructor(inSize: number, outSize: number, options: GraphAttentionOptions = {}) {
    const { seed, dtype, device, ...layer } = resolveOptions(graphAttentionSchema, options, "GraphAttention");
    checkSize(outSize, "outSize");
    if (outSize % layer.heads !== 0) throw invalidOption("heads", `a divisor of outSize (${outSize})`, layer.heads);
    super(makeLayer("createGraphAttention", { inSize, outSize, ...layer }, dtype, seed, device));
  }

  /** h [R, inSize] -> out [R, outSize]. */
  async forward(h: Tensor, mask: PackedRowMask = {}): Promise<Tensor> {
    return (await forwardModule(this, [["h", h]], mask))[0]!;
  }

  /** The coefficients alpha of one date: h [N, inSize] -> [A, N, N]; rows sum to 1. */
  async attention(h: Tensor, mask: PackedRowMask = {}): Promise<Tensor> {
    return attentionOf(this, h, mask);
  }
}

/**
 * Sequences -> GRU -> GAT -> residual block -> Linear, LayerNorm, tanh: the risk factors M. Takes the model's options and uses those of its part.
 * Weights carry the reference's names without the `factor_extractor.` in front.
 *
 * @example
 * using extractor = new FactorExtractor({ sequentialInputSize: 21, numRiskFactors: 32 });
 * const { riskFactors } = await extractor.forward(Tensor.from(sequences, [16, n, 21])); // [n, 32], entries in (-1, 1)
 */
export class FactorExtractor extends Module {
  constructor(options: ModelOptions & InitialisationOptions = {}) {
    const { config, seed, dtype, device } = resolveModelOptions(options);
    super(loadCore().createFactorExtractor(config, dtype, seed, resolveDevice(device)));
  }

  /** sequences [T, R, F] -> riskFactors [R, K], state [R, H] (the last hidden state of the GRU). */
  async forward(sequences: Tensor, mask: PackedRowMask = {}): Promise<{ riskFactors: Tensor; state: Tensor }> {
    const [riskFactors, state] = await forwardModule(this, [["sequences", sequences]], mask);
    return { riskFactors: riskFactors!, state: state! };
  }

  /** The GAT's coefficients of one date, from the GRU state h [N, H]: [A, N, N]. */
  async attention(h: Tensor, mask: PackedRowMask = {}): Promise<Tensor> {
    return attentionOf(this, h, mask);
  }
}

/**
 * A stack of TGC layers that share A(M); modes alternate, ReLU and dropout between layers, none after the last. Takes the model's options
 * and uses those of its part. Weights: `layers.<i>.weight`, `layers.<i>.bias`, and `log_scale` where the scale is learned.
 *
 * @example
 * using embedding = new RelationalEmbedding({ sequentialInputSize: 21, excludeSelf: true });
 * const z = await embedding.forward(Tensor.from(x, [n, 21]), Tensor.from(m, [n, 32])); // [n, 64]
 */
export class RelationalEmbedding extends Module {
  constructor(options: ModelOptions & InitialisationOptions = {}) {
    const { config, seed, dtype, device } = resolveModelOptions(options);
    super(loadCore().createRelationalEmbedding(config, dtype, seed, resolveDevice(device)));
  }

  /** x [R, X], m [R, K] -> embedding [R, E]; X is F, H or F + H by `relationalInput`. */
  async forward(x: Tensor, m: Tensor, mask: PackedRowMask = {}): Promise<Tensor> {
    return (await forwardModule(this, [["x", x], ["m", m]], mask))[0]!;
  }

  /** A of one date from m [N, K]: [N, N]. */
  async similarity(m: Tensor, groups?: Int32Array | readonly number[]): Promise<Tensor> {
    return similarityOf(this, m, groups === undefined ? undefined : integers(groups, "groups"));
  }
}

function makeLayer(create: "createGraphAttention" | "createTimeGraphConvolution", options: NativeLayerOptions, dtype: Dtype, seed: number, device: string | undefined) {
  checkSize(options.inSize, "inSize");
  checkSize(options.outSize, "outSize");
  return loadCore()[create](options, dtype, seed, resolveDevice(device));
}

function checkSize(value: number, name: string): void {
  if (!Number.isInteger(value) || value < 1) throw invalidOption(name, "a whole number from 1", value);
}
