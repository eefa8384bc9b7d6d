// What `npm run bench -- ...` was told. Pure: no file, clock or process.
import { parseArgs } from "node:util";

/** A mistake of whoever typed the command: message only, exit code 2. */
export class UsageError extends Error {}

/** N, T, F, B of the target table. */
export const TARGET_CONFIGS = Object.freeze(
  [[300, 20, 21, 4], [1000, 20, 21, 4], [1000, 60, 21, 2], [3000, 20, 21, 1], [5000, 20, 21, 1], [5000, 60, 21, 1]].map(([n, t, f, b]) => Object.freeze({ n, t, f, b })),
);

/** The same on a GPU, with enough dates per step to fill one. */
export const CUDA_CONFIGS = Object.freeze(
  [[300, 20, 21, 16], [1000, 20, 21, 16], [3000, 60, 21, 8], [5000, 60, 21, 8], [5000, 60, 158, 8]].map(([n, t, f, b]) => Object.freeze({ n, t, f, b })),
);

const PRECISIONS = ["highest", "high", "medium"];

export const GROWTH_STOCKS = Object.freeze([500, 1000, 2000, 4000, 8000, 16000]);

export const USAGE = `npm run bench [-- FLAGS]: our training step and inference beside PyTorch's, in alternating steps on this machine

Without flags: the six configurations of the target table, training and inference, then growth, load, dataset, epoch, boundary and co-movement.
On a GPU: five configurations, training and inference. A flag of the first group narrows the run to what is named.

  --config N,T,F,B   one configuration: N stocks, window T, F features, B dates per step; repeatable
  --infer            inference only (default: training and inference)
  --train            training only
  --growth           growth with N (T 20, F 21, B 1, training) and fitted exponents
  --load             reading a panel from Parquet: rows per second beside a plain DuckDB scan (and pandas, polars where installed)
  --dataset          features and ranks of a panel, beside the same in polars where installed
  --epoch            one epoch of the NASDAQ protocol beside the same loop in PyTorch, and beside Qlib's GATs
  --co-movement      what the loss coMovement adds to a step at 1,000 and 5,000 stocks
  --boundary         what crossing from JavaScript to the core costs per step
  --compare COMMIT   no PyTorch: this build beside that of another commit, in alternating steps

  --device NAME      cpu or cuda: where both sides compute; default cpu
  --precision NAME   highest, high or medium: what our products are computed in; default the device's own
  --reduction NAME   exact or fast: how our steps sum the gradients of their dates; default exact, on a GPU fast
  --cuda-graph       on a GPU, also our training steps as CUDA graphs
  --compile          also torch.compile (minutes of compilation)
  --allow-rnn        torch.compile with the GRU in its graph, step by step (longer still); without it the GRU stays eager
  --no-blocks        leave out the times per block, which a GPU does not give
  --threads K        compute threads of both sides; default 2
  --steps K          at most so many alternating rounds after 2 warm-up steps; default 15
  --budget SECONDS   stop a configuration's rounds after this long, 3 rounds at least; default 60
  --seconds K        begin no configuration after so long, and name those left out; default 0, no limit
  --growth-stocks L  comma-separated N of --growth; default ${GROWTH_STOCKS.join(",")}
  --epoch-dates K    training dates that --epoch measures, extrapolated to the epoch; 0 takes all; default 60
  --data FOLDER      real market data for --load, --dataset and --epoch; default ../shared/data
  --json FILE        also write the JSON there
  --out FOLDER       folder of the results; default test/bench/results
  --checks FILE      outcomes of scripts/gpu-check, for a table of their own
  --force            run on a busy machine; the result says so

ASTGNN_BENCH_PYTHON names the Python interpreter whose torch is measured; without it a scratch environment in the user cache is made.`;

const options = {
  config: { type: "string", multiple: true },
  infer: { type: "boolean", default: false },
  train: { type: "boolean", default: false },
  growth: { type: "boolean", default: false },
  load: { type: "boolean", default: false },
  dataset: { type: "boolean", default: false },
  epoch: { type: "boolean", default: false },
  boundary: { type: "boolean", default: false },
  "co-movement": { type: "boolean", default: false },
  compare: { type: "string" },
  device: { type: "string", default: "cpu" },
  precision: { type: "string" },
  reduction: { type: "string" },
  "cuda-graph": { type: "boolean", default: false },
  compile: { type: "boolean", default: false },
  "allow-rnn": { type: "boolean", default: false },
  "no-blocks": { type: "boolean", default: false },
  threads: { type: "string", default: "2" },
  steps: { type: "string", default: "15" },
  budget: { type: "string", default: "60" },
  seconds: { type: "string", default: "0" },
  "growth-stocks": { type: "string", default: GROWTH_STOCKS.join(",") },
  "epoch-dates": { type: "string", default: "60" },
  data: { type: "string", default: "../shared/data" },
  json: { type: "string" },
  checks: { type: "string" },
  out: { type: "string", default: "test/bench/results" },
  force: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
};

/** @returns the complete settings; `sections` says which tables are measured */
export function parseBenchArguments(argv) {
  const flags = parse(argv);
  const named = { growth: flags.growth, load: flags.load, dataset: flags.dataset, epoch: flags.epoch, boundary: flags.boundary, coMovement: flags["co-movement"] };
  const configs = flags.config?.map(parseConfig);
  const { device, precision } = flags;
  if (device !== "cpu" && device !== "cuda") throw new UsageError(`Expected cpu or cuda for --device but received "${device}".`);
  if (precision !== undefined && !PRECISIONS.includes(precision)) throw new UsageError(`Expected ${PRECISIONS.join(", ")} for --precision but received "${precision}".`);
  const reduction = flags.reduction ?? (device === "cuda" ? "fast" : "exact");
  if (reduction !== "exact" && reduction !== "fast") throw new UsageError(`Expected exact or fast for --reduction but received "${reduction}".`);
  if (flags.compare !== undefined && Object.values(named).some(Boolean)) throw new UsageError("--compare measures configurations alone: leave out --growth, --load, --dataset, --epoch, --boundary and --co-movement.");
  const onlyOnCpu = ["load", "dataset", "epoch", "boundary", "coMovement"].find((section) => named[section]);
  if (device !== "cpu" && onlyOnCpu !== undefined) throw new UsageError(`--${onlyOnCpu === "coMovement" ? "co-movement" : onlyOnCpu} is measured on the cpu, not on ${device}.`);
  if (device !== "cuda" && flags["cuda-graph"]) throw new UsageError("--cuda-graph needs --device cuda.");
  const anySection = Object.values(named).some(Boolean);
  if (flags.infer && flags.train) throw new UsageError("--infer and --train exclude each other: leave both out for both.");
  const everything = configs === undefined && !flags.infer && !flags.train && !anySection;
  return {
    help: flags.help,
    device,
    precision,
    reduction,
    compare: flags.compare,
    sections: everything && device === "cpu" ? { configs: true, growth: true, load: true, dataset: true, epoch: true, boundary: true, coMovement: true } : { configs: configs !== undefined || !anySection || flags.infer || flags.train, ...named },
    configs: configs ?? (device === "cpu" ? TARGET_CONFIGS : CUDA_CONFIGS),
    modes: flags.infer ? ["infer"] : flags.train ? ["train"] : ["train", "infer"],
    cudaGraph: flags["cuda-graph"],
    compile: flags.compile || flags["allow-rnn"],
    allowRnn: flags["allow-rnn"],
    blocks: device === "cpu" && !flags["no-blocks"],
    threads: wholeNumber("--threads", flags.threads, 1),
    steps: wholeNumber("--steps", flags.steps, 1),
    budgetSeconds: wholeNumber("--budget", flags.budget, 1),
    seconds: wholeNumber("--seconds", flags.seconds, 0),
    growthStocks: flags["growth-stocks"].split(",").map((part) => wholeNumber("--growth-stocks", part, 2)),
    epochDates: wholeNumber("--epoch-dates", flags["epoch-dates"], 0),
    data: flags.data,
    json: flags.json,
    checks: flags.checks,
    out: flags.out,
    force: flags.force,
  };
}

function parse(argv) {
  try {
    return parseArgs({ args: argv, options, strict: true }).values;
  } catch (cause) {
    throw new UsageError(cause.message);
  }
}

/** "N,T,F,B" -> { n, t, f, b } */
export function parseConfig(text) {
  const parts = text.split(",");
  if (parts.length !== 4) throw new UsageError(`Expected N,T,F,B for --config but received "${text}".`);
  // An IC needs two stocks.
  const [n, t, f, b] = parts.map((part, i) => wholeNumber("--config", part, i === 0 ? 2 : 1));
  return { n, t, f, b };
}

function wholeNumber(flag, text, least) {
  const value = Number(text);
  if (text.trim() === "" || !Number.isInteger(value) || value < least) throw new UsageError(`Expected a whole number from ${least} for ${flag} but received "${text}".`);
  return value;
}
