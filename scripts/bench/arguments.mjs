// What `npm run bench -- ...` was told. Pure: no file, clock or process.
import { parseArgs } from "node:util";

/** A mistake of whoever typed the command: message only, exit code 2. */
export class UsageError extends Error {}

/** N, T, F, B of the target table. */
export const TARGET_CONFIGS = Object.freeze(
  [[300, 20, 21, 4], [1000, 20, 21, 4], [1000, 60, 21, 2], [3000, 20, 21, 1], [5000, 20, 21, 1], [5000, 60, 21, 1]].map(([n, t, f, b]) => Object.freeze({ n, t, f, b })),
);

export const GROWTH_STOCKS = Object.freeze([500, 1000, 2000, 4000, 8000, 16000]);

export const USAGE = `npm run bench [-- FLAGS]: our training step and inference beside PyTorch's, in alternating steps on this machine

Without flags: the six configurations of the target table, training and inference, then growth, load, epoch and boundary.
A flag of the first group narrows the run to what is named.

  --config N,T,F,B   one configuration: N stocks, window T, F features, B dates per step; repeatable
  --infer            inference only (default: training and inference)
  --growth           growth with N (T 20, F 21, B 1, training) and fitted exponents
  --load             reading a panel from Parquet: rows per second beside a plain DuckDB scan (and pandas, polars where installed)
  --epoch            one epoch of the NASDAQ protocol beside the same loop in PyTorch
  --boundary         what crossing from JavaScript to the core costs per step

  --compile          also torch.compile (minutes of compilation)
  --no-blocks        leave out the times per block
  --threads K        compute threads of both sides; default 2
  --steps K          at most so many alternating rounds after 2 warm-up steps; default 15
  --budget SECONDS   stop a configuration's rounds after this long, 3 rounds at least; default 60
  --growth-stocks L  comma-separated N of --growth; default ${GROWTH_STOCKS.join(",")}
  --epoch-dates K    training dates that --epoch measures, extrapolated to the epoch; 0 takes all; default 60
  --data FOLDER      real market data for --load and --epoch; default ../shared/data
  --json FILE        also write the JSON there
  --out FOLDER       folder of the results; default test/bench/results
  --force            run on a busy machine; the result says so

ASTGNN_BENCH_PYTHON names the Python interpreter whose torch is measured; without it a scratch environment in the user cache is made.`;

const options = {
  config: { type: "string", multiple: true },
  infer: { type: "boolean", default: false },
  growth: { type: "boolean", default: false },
  load: { type: "boolean", default: false },
  epoch: { type: "boolean", default: false },
  boundary: { type: "boolean", default: false },
  compile: { type: "boolean", default: false },
  "no-blocks": { type: "boolean", default: false },
  threads: { type: "string", default: "2" },
  steps: { type: "string", default: "15" },
  budget: { type: "string", default: "60" },
  "growth-stocks": { type: "string", default: GROWTH_STOCKS.join(",") },
  "epoch-dates": { type: "string", default: "60" },
  data: { type: "string", default: "../shared/data" },
  json: { type: "string" },
  out: { type: "string", default: "test/bench/results" },
  force: { type: "boolean", default: false },
  help: { type: "boolean", default: false },
};

/** @returns the complete settings; `sections` says which tables are measured */
export function parseBenchArguments(argv) {
  const flags = parse(argv);
  const named = { growth: flags.growth, load: flags.load, epoch: flags.epoch, boundary: flags.boundary };
  const configs = flags.config?.map(parseConfig);
  const anySection = Object.values(named).some(Boolean);
  const everything = configs === undefined && !flags.infer && !anySection;
  return {
    help: flags.help,
    sections: everything ? { configs: true, growth: true, load: true, epoch: true, boundary: true } : { configs: configs !== undefined || !anySection || flags.infer, ...named },
    configs: configs ?? TARGET_CONFIGS,
    modes: flags.infer ? ["infer"] : ["train", "infer"],
    compile: flags.compile,
    blocks: !flags["no-blocks"],
    threads: wholeNumber("--threads", flags.threads, 1),
    steps: wholeNumber("--steps", flags.steps, 1),
    budgetSeconds: wholeNumber("--budget", flags.budget, 1),
    growthStocks: flags["growth-stocks"].split(",").map((part) => wholeNumber("--growth-stocks", part, 2)),
    epochDates: wholeNumber("--epoch-dates", flags["epoch-dates"], 0),
    data: flags.data,
    json: flags.json,
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
