// Measures this machine for scale-model.mjs: the parts of a step on one thread, whole steps on one and two, and steps of ranks.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { stepDates, syntheticPanel } from "../bench/synthetic-panel.mjs";

const objective = [{ name: "ic", weight: 1, predictions: [0], horizons: [0], strength: 1, omega: 0.9, orthogonality: 0.05, ridge: 1e-6, horizonDays: 10 }];
export const sessionOptions = { objective, betas: [0.9, 0.999], adamEps: 1e-8, weightDecay: 0, clipNorm: 1, ema: 0.998, seed: 0, reduction: "exact" };
/** Window, features. */
export const SHAPE = { t: 20, f: 21 };
const SIZES = [16, 300, 1000, 3000, 5000];
/** Far beyond what is fitted: a check of the growth. */
const FAR = 15_000;
/** Stocks, dates of a step, ranks. */
const RANKED = [[16, 4, [1, 2, 4]], [1000, 4, [1, 2, 4]], [3000, 4, [1, 2]]];

export const scheduleOf = (dates, steps) => ({
  dates: Int32Array.from({ length: steps * dates.length }, (_, i) => dates[i % dates.length]),
  offsets: Int32Array.from({ length: steps + 1 }, (_, step) => step * dates.length),
  learningRates: new Float64Array(steps).fill(1e-3),
});

const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Everything, as JSON keeps it. `say` is told what is being measured. */
export async function measureHere(say) {
  const { loadCore } = await import("../../dist/binding/load.js");
  const { resolveConfig } = await import("../../dist/model/config.js");
  const core = loadCore();
  const config = resolveConfig({ sequentialInputSize: SHAPE.f });
  const sizes = [];
  for (const n of SIZES) {
    say(`${n} stocks`);
    const panel = core.createPanel(syntheticPanel({ n, ...SHAPE, b: 4 }));
    const [date] = stepDates({ ...SHAPE, b: 4 });
    const steps = Math.max(4, Math.min(25, Math.round(2e4 / (n + 1000))));
    const run = async (threads, profile) => {
      const model = core.createModel(config, "float32", 0);
      const session = core.createSession(model, panel, { ...sessionOptions, profile });
      await session.run(scheduleOf([date], 2), threads, () => {}).done;
      const told = [];
      await session.run(scheduleOf([date], steps), threads, (step) => told.push(step)).done;
      session.dispose();
      return told;
    };
    // In turns, so that what else the machine does falls on all alike.
    const [one, two, profiled, predicted] = [[], [], [], []];
    const model = core.createModel(config, "float32", 0);
    for (let round = 0; round < 3; round++) {
      one.push(...(await run(1, false)).map(({ milliseconds }) => milliseconds));
      two.push(...(await run(2, false)).map(({ milliseconds }) => milliseconds));
      profiled.push(...(await run(1, true)));
      const started = performance.now();
      await core.predict(model, panel, { dates: stepDates({ ...SHAPE, b: 4 }), riskFactors: false, threads: 1 }).done;
      predicted.push((performance.now() - started) / 4);
    }
    const part = (of) => middle(profiled.map(({ blocks }) => of(blocks)));
    const blocks = ["gru", "graphAttention", "relationalEmbedding"];
    const total = part(({ total: all }) => all.forward + all.backward);
    const inBlocks = part((times) => blocks.reduce((sum, name) => sum + times[name].forward + times[name].backward, 0));
    const whole = middle(one);
    sizes.push({
      n, oneMs: whole, twoMs: middle(two),
      parts: {
        gruForward: part(({ gru }) => gru.forward), gruBackward: part(({ gru }) => gru.backward),
        attentionForward: part(({ graphAttention }) => graphAttention.forward), attentionBackward: part(({ graphAttention }) => graphAttention.backward),
        similarityForward: part(({ relationalEmbedding }) => relationalEmbedding.forward), similarityBackward: part(({ relationalEmbedding }) => relationalEmbedding.backward),
        outside: whole - inBlocks, profiledTotal: total, predict: middle(predicted),
      },
    });
  }
  say(`${FAR} stocks`);
  const farPanel = core.createPanel(syntheticPanel({ n: FAR, ...SHAPE, b: 1 }));
  const farSession = core.createSession(core.createModel(config, "float32", 0), farPanel, sessionOptions);
  const far = [];
  await farSession.run(scheduleOf(stepDates({ ...SHAPE, b: 1 }), 4), 1, ({ milliseconds }) => far.push(milliseconds)).done;
  // What a step of next to no stocks takes outside of the blocks is what no thread can share.
  const serial = sizes[0].parts.outside;
  for (const { parts } of sizes) Object.assign(parts, { serial, rest: Math.max(0, parts.outside - serial) });
  const ranked = [];
  for (const [n, b, counts] of RANKED) {
    for (const ranks of counts) {
      say(`${ranks} ranks, ${n} stocks, ${b} dates a step`);
      ranked.push({ n, b, ranks, ...(await runRanks(ranks, { n, b, ...SHAPE, steps: n > 1000 ? 6 : 15 })) });
    }
  }
  const parameters = Object.values(core.createModel(config, "float32", 0).stateDict()).reduce((sum, tensor) => sum + tensor.shape.reduce((a, b) => a * b, 1), 0);
  return { cpu: cpus()[0].model, cores: cpus().length, isa: core.info().cpu.isa, precision: core.precisionOn("cpu"), ...SHAPE, parameters, smallMs: sizes[0].oneMs, sizes: sizes.slice(1), far: { n: FAR, oneMs: middle(far.slice(1)) }, ranked };
}

async function runRanks(ranks, configuration) {
  const port = await freePort();
  const file = fileURLToPath(new URL("rank.mjs", import.meta.url));
  const ends = Array.from({ length: ranks }, (_, rank) => new Promise((resolve, reject) => {
    const env = { ...process.env, RANK: String(rank), WORLD_SIZE: String(ranks), MASTER_ADDR: "127.0.0.1", MASTER_PORT: String(port) };
    const child = spawn(process.execPath, [file, JSON.stringify(configuration)], { env, stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    child.stdout.on("data", (text) => (said += text));
    child.once("close", (code) => (code === 0 ? resolve(said) : reject(new Error(`rank ${rank} ended with ${code}`))));
  }));
  return JSON.parse((await Promise.all(ends))[0]);
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
