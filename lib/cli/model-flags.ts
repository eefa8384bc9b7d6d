import type { FlagGroup } from "./flags.js";

/** Flags of `new ASTGNNFactorModel`. The number of input features comes from the data. */
export const modelFlags: FlagGroup = {
  title: "Model",
  flags: [
    { flags: "--gru-hidden-size <width>", option: "gruHiddenSize", kind: "scalar", help: "width of the GRU (default: 64)" },
    { flags: "--gru-num-layers <count>", option: "gruNumLayers", kind: "scalar", help: "stacked GRU layers (default: 2)" },
    { flags: "--gat-hidden-size <width>", option: "gatHiddenSize", kind: "scalar", help: "width of the attention, all heads together (default: 128)" },
    { flags: "--gat-num-heads <count>", option: "gatNumHeads", kind: "scalar", help: "attention heads (default: 4)" },
    { flags: "--gat-negative-slope <slope>", option: "gatNegativeSlope", kind: "scalar", help: "slope of the LeakyReLU below 0, 0 to below 1 (default: 0.2)" },
    { flags: "--gat-residual <kind>", option: "gatResidual", kind: "text", help: "connection around the attention: add, subtract or none (default: add)" },
    { flags: "--residual-hidden-size <width>", option: "residualHiddenSize", kind: "scalar", help: "width of the residual block (default: 128)" },
    { flags: "--num-risk-factors <count>", option: "numRiskFactors", kind: "scalar", help: "latent risk factors, from 2 (default: 32)" },
    { flags: "--relational-input <kind>", option: "relationalInput", kind: "text", help: "input of the graph convolution: features, state or both (default: features)" },
    { flags: "--tgc-hidden-size <width>", option: "tgcHiddenSize", kind: "scalar", help: "width of the graph convolutions before the last (default: 128)" },
    { flags: "--tgc-output-size <width>", option: "tgcOutputSize", kind: "scalar", help: "width of the last graph convolution (default: 64)" },
    { flags: "--num-tgc-layers <count>", option: "numTgcLayers", kind: "scalar", help: "graph convolutions (default: 2)" },
    { flags: "--tgc-modes <modes>", option: "tgcModes", kind: "texts", help: "add or subtract per layer, repeated as needed (default: add,subtract)" },
    { flags: "--similarity-scale <scale>", option: "similarityScale", kind: "scalar", help: "factor on M M' before the softmax: a number above 0, sqrtK or learned (default: 1)" },
    { flags: "--exclude-self", option: "excludeSelf", kind: "switch", help: "no stock is its own neighbour" },
    { flags: "--top-k <count>", option: "topK", kind: "scalar", help: "most similar stocks kept per stock; 0 keeps all (default: 0)" },
    { flags: "--similarity-graph <kind>", option: "similarityGraph", kind: "text", help: "who may be similar: complete or groups (default: complete)" },
    { flags: "--relational-skip", option: "relationalSkip", kind: "switch", help: "the head also sees the input of the graph convolution" },
    { flags: "--prediction-hidden-sizes <widths>", option: "predictionHiddenSizes", kind: "scalars", help: "hidden layers of the head (default: 128,64)" },
    { flags: "--num-predictions <count>", option: "numPredictions", kind: "scalar", help: "predictions per stock (default: 1)" },
    { flags: "--norm <kind>", option: "norm", kind: "text", help: "layer or batch (default: layer)" },
    { flags: "--dropout <share>", option: "dropout", kind: "scalar", help: "share of units dropped in training, 0 to below 1 (default: 0.1)" },
    { flags: "--eps <value>", option: "eps", kind: "scalar", help: "added to variances in norms, above 0 (default: 1e-5)" },
    { flags: "--device <device>", option: "device", kind: "text", help: "cpu, cuda, cuda:1 ... or auto (default: ASTGNN_DEVICE, else auto, the first GPU that can be used, else the CPU)" },
    { flags: "--dtype <type>", option: "dtype", kind: "text", help: "float32 or float64 (default: float32)" },
  ],
};
