import type { FlagGroup } from "./flags.js";

/** Flags of `train`. */
export const trainFlags: FlagGroup = {
  title: "Training",
  flags: [
    { flags: "--loss <name>", option: "loss", kind: "json", help: 'mse, ic, pairwiseRank, rankIc, risk, vif, turnover, or JSON such as \'{"terms": [{"name": "ic"}, {"name": "risk", "weight": 0.3}]}\' (default: ic)' },
    { flags: "--epochs <count>", option: "epochs", kind: "scalar", help: "passes over the training dates (default: 4)" },
    { flags: "--learning-rate <rate>", option: "learningRate", kind: "scalar", help: "rate after warm-up (default: 0.001)" },
    { flags: "--min-learning-rate <rate>", option: "minLearningRate", kind: "scalar", help: "lowest rate of cosine and plateau (default: 0)" },
    { flags: "--schedule <name>", option: "schedule", kind: "text", help: "constant, cosine or plateau (default: constant)" },
    { flags: "--warmup-steps <count>", option: "warmupSteps", kind: "scalar", help: "steps over which the rate rises from 0 (default: 50)" },
    { flags: "--plateau-factor <factor>", option: "plateauFactor", kind: "scalar", help: "factor of each cut, plateau only (default: 0.5)" },
    { flags: "--plateau-patience <epochs>", option: "plateauPatience", kind: "scalar", help: "epochs without improvement before a cut, plateau only (default: 1)" },
    { flags: "--betas <two>", option: "betas", kind: "scalars", help: "AdamW's decay of gradient mean and square (default: 0.9,0.999)" },
    { flags: "--adam-eps <value>", option: "adamEps", kind: "scalar", help: "AdamW's eps (default: 1e-8)" },
    { flags: "--weight-decay <rate>", option: "weightDecay", kind: "scalar", help: "AdamW's decoupled weight decay (default: 0)" },
    { flags: "--clip-norm <norm>", option: "clipNorm", kind: "scalar", help: "largest gradient norm, 0 for no limit (default: 1)" },
    { flags: "--dates-per-step <count>", option: "datesPerStep", kind: "scalar", help: "dates per step (default: 1)" },
    { flags: "--ema <decay>", option: "ema", kind: "scalar", help: "decay of the moving average of the weights, 0 turns it off (default: 0.998)" },
    { flags: "--patience <epochs>", option: "patience", kind: "scalar", help: "epochs without improvement before training stops, 0 for never (default: 0)" },
    { flags: "--monitor <metric>", option: "monitor", kind: "text", help: "validation metric that chooses the best epoch (default: ic)" },
    { flags: "--seed <number>", option: "seed", kind: "scalar", help: "seed of initial weights, date order and dropout (default: 0)" },
    { flags: "--seeds <numbers>", option: "seeds", kind: "scalars", help: "train an ensemble, one member per seed, e.g. 0,1,2" },
    { flags: "--cuda-graph", option: "cudaGraph", kind: "switch", help: "launch each step on a GPU as one CUDA graph; no GPU has run it yet" },
    { flags: "--threads <count>", option: "threads", kind: "scalar", help: "compute threads (default: ASTGNN_THREADS, else the physical cores)" },
    { flags: "--out <folder>", option: "out", kind: "text", help: "run folder; without it nothing is kept" },
    { flags: "--resume", option: "resume", kind: "switch", help: "continue the run in the folder, or an interrupted --overwrite; harmless where it is empty or finished" },
    { flags: "--overwrite", option: "overwrite", kind: "switch", help: "replace the run in the folder; it stays whole until the new one is finished" },
    { flags: "--checkpoint-steps <count>", option: "checkpointSteps", kind: "scalar", help: "steps between checkpoints within an epoch, 0 for none (default: 250)" },
  ],
};
