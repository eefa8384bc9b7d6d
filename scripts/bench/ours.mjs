// Our measured side: the protocol of measuring-process.mjs, over the core as `npm run build` made it.
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { loadCore } from "../../dist/binding/load.js";
import { resolveConfig } from "../../dist/model/config.js";
import { stepDates, syntheticPanel } from "./synthetic-panel.mjs";

const threads = Number(process.argv[2]);
const core = loadCore();
/** As the core calls it: cpu, cuda:0. */
const device = core.info().devices.find((name) => name.split(":")[0] === process.argv[3]);
if (device === undefined) throw new Error(`the core computes on ${core.info().devices.join(", ")}, not on ${process.argv[3]}`);
const precision = process.argv[4];
if (precision) core.setPrecision(precision);
if (precision && core.precisionOn(device) !== precision) throw new Error(`precision "${precision}" is not to be had on this machine's ${device}`);
/** Reads Parquet with DuckDB, which a machine that only computes need not have. */
const realData = () => import("./real-data.mjs");
const objective = [{ name: "ic", weight: 1, predictions: [0], horizons: [0], strength: 1, omega: 0.9, orthogonality: 0.05, ridge: 1e-6, horizonDays: 10 }];
/** torch.optim.AdamW's defaults, no clipping, no average of the weights. */
const sessionOptions = { objective, betas: [0.9, 0.999], adamEps: 1e-8, weightDecay: 0.01, clipNorm: 0, ema: 0, seed: 0, reduction: process.argv[5] ?? "exact" };

const statusMiB = (field) => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(readFileSync("/proc/self/status", "utf8"))[1]) / 1024;

/** Maximum RSS since `start` less the RSS at `start`. */
class Memory {
  constructor() {
    try {
      writeFileSync("/proc/self/clear_refs", "5"); // sets VmHWM back to VmRSS
      this.idle = statusMiB("VmRSS");
    } catch {
      this.idle = statusMiB("VmHWM");
    }
  }
  peakMiB() {
    return statusMiB("VmHWM") - this.idle;
  }
}

/** The same of the device's memory. */
class DeviceMemory {
  constructor() {
    this.idle = core.deviceMemory(device).allocated;
  }
  peakMiB() {
    return (core.deviceMemory(device).peak - this.idle) / 2 ** 20;
  }
}

const schedule = (dates, steps) => ({
  dates: Int32Array.from({ length: steps * dates.length }, (_, i) => dates[i % dates.length]),
  offsets: Int32Array.from({ length: steps + 1 }, (_, step) => step * dates.length),
  learningRates: new Float64Array(steps).fill(1e-3),
});

/** One step per date. */
const dailySchedule = (dates) => ({ dates: Int32Array.from(dates), offsets: Int32Array.from({ length: dates.length + 1 }, (_, i) => i), learningRates: new Float64Array(dates.length).fill(1e-3) });

async function clock(work) {
  const start = performance.now();
  const result = await work();
  return { ms: performance.now() - start, result };
}

/** One configuration in one mode. */
class Measured {
  constructor({ n, t, f, b, mode, repeat, cudaGraph }) {
    this.repeat = repeat;
    this.training = mode === "train";
    this.dates = stepDates({ t, b });
    // Kept, so that the memory of the arrays that the panel copied is not there to be reused unseen.
    this.source = syntheticPanel({ n, t, f, b });
    this.panel = core.createPanel(this.source, device);
    this.memory = device === "cpu" ? new Memory() : new DeviceMemory();
    this.model = core.createModel(resolveConfig({ sequentialInputSize: f }), "float32", 0, device);
    if (this.training) this.session = core.createSession(this.model, this.panel, { ...sessionOptions, cudaGraph, ...(cudaGraph ? { reduction: "fast" } : {}) });
    else this.model.eval();
    if (this.session?.notCaptured !== undefined) throw new Error(`steps are no CUDA graphs: ${this.session.notCaptured}`);
  }

  /** Per step: wall clock as JavaScript sees it, and the core's own. Training: all steps in one job. */
  async step() {
    const { repeat } = this;
    if (!this.training) {
      const { ms } = await clock(async () => {
        for (let i = 0; i < repeat; i++) await this.predict();
      });
      return { ms: ms / repeat };
    }
    let native = 0;
    const { ms } = await clock(() => this.session.run(schedule(this.dates, repeat), threads, (step) => (native += step.milliseconds)).done);
    return { ms: ms / repeat, nativeMs: native / repeat };
  }

  predict(options = {}) {
    return core.predict(this.model, this.panel, { dates: this.dates, riskFactors: true, threads, ...options }).done;
  }

  async blocks() {
    if (!this.training) return { blocks: (await this.predict({ profile: true })).blocks };
    this.profiled ??= core.createSession(this.model, this.panel, { ...sessionOptions, profile: true });
    let blocks;
    await this.profiled.run(schedule(this.dates, 1), threads, (step) => (blocks = step.blocks)).done;
    return { blocks };
  }
}

/** Milliseconds per step that are not the core's: fifty steps in one job, and one job per step. */
async function boundary(steps) {
  const shape = { n: 8, t: 2, f: 4, b: 1 };
  const panel = core.createPanel(syntheticPanel(shape));
  const model = core.createModel(resolveConfig({ sequentialInputSize: shape.f, gruHiddenSize: 16, gatHiddenSize: 16, residualHiddenSize: 16 }), "float32", 0);
  const session = core.createSession(model, panel, sessionOptions);
  const dates = stepDates(shape);
  await session.run(schedule(dates, 50), threads, () => {}).done;
  const outside = async (count) => {
    let native = 0;
    const { ms } = await clock(() => session.run(schedule(dates, count), threads, (step) => (native += step.milliseconds)).done);
    return (ms - native) / count;
  };
  const [together, single] = [[], []];
  for (let i = 0; i < steps; i++) {
    if (i % 50 === 0) together.push(await outside(50));
    single.push(await outside(1));
  }
  return { togetherMs: together, singleMs: single };
}

/** Milliseconds of training steps with the loss ic, and with coMovement beside it, one after the other in turn on one date. */
async function coMovement({ n, steps }) {
  const shape = { n, t: 20, f: 21, b: 1, after: 10 };
  const panel = core.createPanel(syntheticPanel(shape));
  const [ic] = objective;
  const objectives = { ic: [ic], both: [ic, { ...ic, name: "coMovement", weight: 0.5, predictions: [], horizons: [] }] };
  const sessions = Object.values(objectives).map((terms) => {
    const model = core.createModel(resolveConfig({ sequentialInputSize: shape.f, similarityScale: "learned" }), "float32", 0);
    return core.createSession(model, panel, { ...sessionOptions, objective: terms });
  });
  const times = sessions.map(() => []);
  for (let round = -2; round < steps; round++) {
    for (const [i, session] of sessions.entries()) {
      await session.run(schedule(stepDates(shape), 1), threads, ({ milliseconds, undefinedDates }) => {
        if (undefinedDates.some((count) => count > 0)) throw new Error("the term is undefined");
        if (round >= 0) times[i].push(milliseconds);
      }).done;
    }
  }
  return { icMs: times[0], bothMs: times[1] };
}

/** Largest differences to what the peer predicted from the same weights and windows. */
async function compare({ n, t, f, state, features, predictions, riskFactors }) {
  const model = core.createModel(resolveConfig({ sequentialInputSize: f }), "float32", 0, device);
  const tensors = Object.fromEntries(Object.entries(state).map(([name, { shape, data }]) => [name, core.tensor(Float32Array.from(data), shape)]));
  model.loadStateDict(tensors);
  model.eval();
  const panel = core.createPanel(syntheticPanel({ n, t, f, b: 1 }, Float32Array.from(features)), device);
  const own = await core.predict(model, panel, { dates: stepDates({ t, b: 1 }), riskFactors: true, threads }).done;
  const difference = (a, b) => a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), a.length === b.length ? 0 : Infinity);
  return { predictions: difference(own.predictions, predictions), riskFactors: difference(own.riskFactors, riskFactors) };
}

/** What the core computes with; its own word where it gives one. */
function describe() {
  const { builtAgainst, cpu } = core.info();
  return { builtAgainst, isa: cpu.isa, precision: core.precisionOn(device), reduction: sessionOptions.reduction, model: resolveConfig({}) };
}

let measured;
let protocol;
const commands = {
  describe,
  prepare: (request) => {
    measured = new Measured(request);
    return { parameters: measured.model.parameterCount };
  },
  step: () => measured.step(),
  memory: () => ({ peakMiB: measured.memory.peakMiB() }),
  blocks: () => measured.blocks(),
  boundary: ({ steps }) => boundary(steps),
  coMovement,
  compare,
  epoch: async ({ data, folder }) => {
    const opened = await (await realData()).openProtocol(data, folder);
    const panel = core.createPanel(opened.native);
    const config = resolveConfig({ sequentialInputSize: opened.native.featureCount, relationalInput: "state", relationalSkip: true, excludeSelf: true });
    const model = core.createModel(config, "float32", 0);
    protocol = { panel, model, session: core.createSession(model, panel, { ...sessionOptions, weightDecay: 0 }) };
    return { ...opened.description, parameters: model.parameterCount };
  },
  train: async ({ dates }) => ({ ms: (await clock(() => protocol.session.run(dailySchedule(dates), threads, () => {}).done)).ms }),
  predict: async ({ dates }) => ({ ms: (await clock(() => core.predict(protocol.model, protocol.panel, { dates: Int32Array.from(dates), riskFactors: false, threads }).done)).ms }),
  panel: async ({ file }) => (await realData()).timePanel(file),
  datasets: async ({ file, rounds }) => (await realData()).timeDatasets(file, threads, rounds),
  scan: async ({ file, columns }) => (await realData()).scanTable(file, columns),
};

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const request = JSON.parse(line);
    answer = await commands[request.command](request);
  } catch (error) {
    answer = { error: error.stack ?? String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
