import { spawn, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, openPanel, readSafetensors, train, type DatasetOptions, type ModelOptions, type TrainOptions } from "../../lib/index.js";
import { hasEmulatedGpu } from "../emulated-gpu.js";

const script = fileURLToPath(new URL("./rank-training.mjs", import.meta.url));
const recipe = JSON.parse(readFileSync(new URL("./rank-recipe.json", import.meta.url), "utf8")) as { samples: DatasetOptions; model: ModelOptions; training: TrainOptions };
const folder = mkdtempSync(join(tmpdir(), "astgnn-ranks-"));
const csv = join(folder, "table.csv");
const everyLoss: TrainOptions = { datesPerStep: 6, loss: { terms: ["mse", "ic", "pairwiseRank", "rankIc", "risk", "vif"].map((name) => ({ name, weight: 0.2 })) as never } };

beforeAll(() => {
  expect(existsSync(fileURLToPath(new URL("../../dist/index.js", import.meta.url))), "dist/ is missing: run npm run build").toBe(true);
  const rows = ["date,ticker,x0,x1,y"];
  for (let t = 0; t < 60; t++) {
    const date = new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10);
    // Some dates have too few labels for some of the losses, one has none.
    const labelled = t % 7 === 3 ? 4 : t === 20 ? 0 : 13;
    for (let n = 0; n < 13; n++) rows.push(`${date},S${n},${Math.sin(3 * t + 5 * n)},${Math.cos(7 * t * n)},${n < labelled ? 0.01 * Math.sin(3 * t + 5 * n + 0.5) : ""}`);
  }
  writeFileSync(csv, rows.join("\n"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A rank, while it runs. */
interface Rank {
  child: ChildProcess;
  port: number;
  said: string;
  /** When it has said so many steps. */
  steps(count: number): Promise<void>;
  ended: Promise<{ said: string; code: number | null }>;
}

function startRank(rank: number, size: number, port: number, options: TrainOptions, env: Record<string, string> = {}, data = csv): Rank {
  const blocks = env["ASTGNN_TEST_BLOCKS"];
  const [command, before] = blocks === undefined ? [process.execPath, []] : ["sh", ["-c", `ulimit -f ${blocks}; exec "$@"`, "sh", process.execPath]];
  const child = spawn(command, [...before, script, data, JSON.stringify(options)], {
    env: { ...process.env, RANK: String(rank), WORLD_SIZE: String(size), MASTER_ADDR: "127.0.0.1", MASTER_PORT: String(port), ...env }, stdio: ["ignore", "pipe", "pipe"],
  });
  const started: Rank = {
    child, port, said: "",
    steps: (count) => new Promise((resolve) => {
      const look = (): void => void ((started.said.match(/^step/gm)?.length ?? 0) >= count && resolve());
      child.stdout!.on("data", look);
      look();
    }),
    ended: new Promise((resolve) => child.on("close", (code) => resolve({ said: started.said, code }))),
  };
  child.stdout!.on("data", (data: Buffer) => (started.said += data.toString()));
  child.stderr!.on("data", (data: Buffer) => (started.said += data.toString()));
  return started;
}

const freePort = async (): Promise<{ port: number; server: Server }> => new Promise((resolve) => {
  const server = createServer();
  server.listen(0, "127.0.0.1", () => resolve({ port: (server.address() as { port: number }).port, server }));
});

async function startRanks(size: number, options: TrainOptions, env: (rank: number) => Record<string, string> = () => ({}), data: (rank: number) => string = () => csv): Promise<Rank[]> {
  const { port, server } = await freePort();
  await new Promise((resolve) => server.close(resolve));
  return Array.from({ length: size }, (_, rank) => startRank(rank, size, port, options, env(rank), data(rank)));
}

const endOf = async (ranks: readonly Rank[]): Promise<{ said: string; code: number | null }[]> => Promise.all(ranks.map(({ ended }) => ended));

/** By so many ranks; by one: in this process, which has no start to pay for. */
async function trainRanks(size: number, options: TrainOptions): Promise<void> {
  if (size > 1) {
    for (const { said, code } of await endOf(await startRanks(size, options))) expect(code, said).toBe(0);
    return;
  }
  using model = new ASTGNNFactorModel({ ...recipe.model, device: "cpu" });
  using dataset = await (await openPanel(csv)).dataset(recipe.samples);
  await train(model, dataset, { ...recipe.training, ...options, onWarning: () => {} });
}

/** SHA-256 of weights, averages, moments and best weights, of what is known of each epoch, and of the results. */
function hashesOf(out: string): Record<string, string> {
  const hash = (...bytes: (string | Uint8Array)[]): string => bytes.reduce((sum, part) => sum.update(part), createHash("sha256")).digest("hex");
  const { tensors } = readSafetensors(readFileSync(join(out, "last.safetensors")));
  return {
    state: hash(...Object.entries(tensors).flatMap(([name, { data }]) => [name, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)])),
    model: hash(readFileSync(join(out, "model.safetensors"))),
    epochs: hash(readFileSync(join(out, "metrics.jsonl"), "utf8").replace(/"seconds":[^,}]+/g, "")),
    report: hash(readFileSync(join(out, "report.json"))),
  };
}

describe("ranks", () => {
  it("end with the bits of one process: weights, averages, moments, metrics and report, with every loss and undefined dates", async () => {
    // Two: below, where they go on with what others have begun.
    for (const size of [1, 3, 4]) await trainRanks(size, { ...everyLoss, out: join(folder, `of-${size}`) });
    const alone = hashesOf(join(folder, "of-1"));
    for (const size of [3, 4]) expect(hashesOf(join(folder, `of-${size}`)), `${size} ranks`).toEqual(alone);
  });

  it("fast: near the bits of one process", async () => {
    for (const size of [1, 2]) await trainRanks(size, { datesPerStep: 4, epochs: 1, reduction: "fast", out: join(folder, `fast-${size}`) });
    const [alone, both] = [1, 2].map((size) => readSafetensors(readFileSync(join(folder, `fast-${size}`, "model.safetensors"))).tensors);
    for (const [name, { data }] of Object.entries(alone!)) expect(Math.max(...Array.from(data as Float32Array, (value, i) => Math.abs(value - Number(both![name]!.data[i])))), name).toBeLessThan(1e-3);
  });

  it("compare turnover within whole blocks", async () => {
    const options: TrainOptions = { datesPerStep: 3, epochs: 1, loss: { terms: [{ name: "ic" }, { name: "turnover", weight: 0.1 }] } };
    for (const size of [1, 2]) await trainRanks(size, { ...options, out: join(folder, `turnover-${size}`) });
    expect(hashesOf(join(folder, "turnover-2"))).toEqual(hashesOf(join(folder, "turnover-1")));
  });
});

if (!hasEmulatedGpu) console.log("Ranks on a GPU are not tested: the emulated GPU is not built; `npm test` builds it.");
describe.skipIf(!hasEmulatedGpu && process.env["CI"] === undefined)("ranks on a GPU (emulated)", () => {
  const gpu = { ASTGNN_EMULATED_GPU: "1", ASTGNN_DEVICE: "cuda:0" };
  const gpuOf = (rank: number): Record<string, string> => ({ ...gpu, ASTGNN_EMULATED_GPU_BUS: `0000:0${rank}:00.0` });

  it("end with the bits of one process there, over the hosts where they share it and by NCCL where each has its own", async () => {
    const run = async (size: number, out: string, env = (_: number): Record<string, string> => gpu): Promise<string> => {
      const ends = await endOf(await startRanks(size, { ...everyLoss, epochs: 1, out: join(folder, out) }, env));
      for (const { said, code } of ends) expect(code, said).toBe(0);
      return ends[0]!.said;
    };
    await run(1, "gpu");
    const alone = hashesOf(join(folder, "gpu"));
    expect(await run(2, "shared")).toMatch(/^warning no_nccl/m);
    expect(hashesOf(join(folder, "shared"))).toEqual(alone);
    expect(await run(3, "nccl", gpuOf)).not.toMatch(/no_nccl/);
    expect(hashesOf(join(folder, "nccl"))).toEqual(alone);
    expect(JSON.parse(readFileSync(join(folder, "nccl", "run.json"), "utf8"))).toMatchObject({ device: "cuda:0" });
  });

  it("end where one of them is killed, though a GPU that waits does not notice", async () => {
    const ranks = await startRanks(2, { datesPerStep: 1, epochs: 50 }, gpuOf);
    await ranks[0]!.steps(1);
    ranks[1]!.child.kill("SIGKILL");
    expect((await ranks[0]!.ended).said).toMatch(/^ERR_RANK_LOST: Rank 1 does not answer \((no sign of life for 5 s|Connection)/m); // the latter between two epochs
  });

  it("meet a loss that is not finite at the same step, though some steps are under way by then", async () => {
    const ranks = await startRanks(2, { datesPerStep: 4, learningRate: 1e38, warmupSteps: 0, clipNorm: 0, reduction: "fast" }, () => gpu);
    const [first, second] = await endOf(ranks);
    expect(first!.said).toMatch(/^ERR_NOT_FINITE: .* at step \d+/m);
    expect(second!.said.match(/^ERR_NOT_FINITE.*/m)![0]).toBe(first!.said.match(/^ERR_NOT_FINITE.*/m)![0]);
  });
});

describe("astgnn train", () => {
  const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
  const sizes = ["gru-hidden-size", "gat-hidden-size", "residual-hidden-size", "tgc-hidden-size", "tgc-output-size", "prediction-hidden-sizes"].flatMap((name) => [`--${name}`, "8"]);
  const samples = ["--data", csv, "--features", "x0,x1", "--window", "3", "--label-column", "y", "--label-horizon", "0", "--max-dropped", "0.5"];
  const flags = (out: string, data = samples): string[] => [
    main, "train", ...data, "--train-end", "2020-02-05", "--valid-end", "2020-02-20", "--shuffle", "chunks",
    ...sizes, "--gat-num-heads", "2", "--num-risk-factors", "4", "--epochs", "1", "--dates-per-step", "4", "--threads", "1", "--out", join(folder, out),
  ];
  const run = async (command: string, argv: readonly string[], env: Record<string, string> = {}): Promise<{ code: number | null; said: string }> => new Promise((resolve) => {
    const child = spawn(command, argv, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (data: Buffer) => (said += data.toString()));
    child.on("error", (error) => resolve({ code: null, said: error.message }));
    child.on("close", (code) => resolve({ code, said }));
  });
  const weightsOf = (out: string): unknown => ({ ...hashesOf(join(folder, out)), report: undefined });

  it("--ranks starts them and says each thing once", async () => {
    const [alone, both] = [await run(process.execPath, flags("cli-1")), await run(process.execPath, [...flags("cli-2"), "--ranks", "2"])];
    expect(alone.code, alone.said).toBe(0);
    expect(both.code, both.said).toBe(0);
    expect(both.said.match(/epoch 1\/1/g)).toHaveLength(1);
    expect(weightsOf("cli-2")).toEqual(weightsOf("cli-1"));
    const refused = await run(process.execPath, [...flags("cli-3"), "--ranks", "2", "--seeds", "0,1"]);
    expect(refused).toMatchObject({ code: 2, said: expect.stringContaining("Ranks train one model together") as string });
    // Before any process is started.
    const batch = await run(process.execPath, [...flags("cli-3"), "--ranks", "2", "--norm", "batch"]);
    expect(batch).toMatchObject({ code: 2, said: expect.stringMatching(/^astgnn train: norm "batch" normalises over all dates of a step, which ranks share\. Use norm "layer"/) as string });
  });

  // By srun where a Slurm runs on this machine, else with the variables that it sets.
  it("is started by Slurm, whose first host is where the ranks meet, and reads a packed dataset", async () => {
    const packed = join(folder, "table.pack");
    const pack = await run(process.execPath, [main, "pack", ...samples, "--out", packed]);
    expect(pack.code, pack.said).toBe(0);
    const { port, server } = await freePort();
    await new Promise((resolve) => server.close(resolve));
    const own = { MASTER_PORT: String(port) };
    const ranked = [...flags("slurm", ["--data", packed]), "--ranks", "2"];
    const isThere = (await run("srun", ["--immediate=5", "--ntasks", "2", "--overcommit", "true"])).code === 0;
    const ends = isThere
      ? [await run("srun", ["--ntasks", "2", "--overcommit", process.execPath, ...ranked], own)]
      : await Promise.all([0, 1].map((rank) => run(process.execPath, ranked, { ...own, SLURM_PROCID: String(rank), SLURM_NTASKS: "2", SLURM_LOCALID: String(rank), SLURM_JOB_NODELIST: "localhost" })));
    for (const { code, said } of ends) expect(code, said).toBe(0);
    expect(ends.map(({ said }) => said).join("").match(/epoch 1\/1/g)).toHaveLength(1);
    expect(weightsOf("slurm")).toEqual(weightsOf("cli-1"));
  });

  it("is started by torchrun --no-python", async ({ skip }) => {
    const found = await run("torchrun", ["--help"]);
    if (found.code !== 0) skip(`torchrun is not there: ${found.said.split("\n")[0]}`);
    const { code, said } = await run("torchrun", ["--no-python", "--standalone", "--nproc-per-node", "2", process.execPath, ...flags("torchrun")]);
    expect(code, said).toBe(0);
    expect(weightsOf("torchrun")).toEqual(weightsOf("cli-1"));
  });
});

describe("a rank", () => {
  it("that is killed ends the others, who name it, and --resume with another number of ranks gives the bits of an undisturbed run", async () => {
    const out = join(folder, "killed");
    const ranks = await startRanks(3, { ...everyLoss, out });
    await ranks[0]!.steps(5);
    ranks[2]!.child.kill("SIGKILL");
    for (const { said, code } of (await endOf(ranks)).slice(0, 2)) {
      expect(said).toMatch(/^ERR_RANK_LOST: Rank 2 does not answer .*Start all ranks again, with resume/m);
      expect(code).toBe(1);
    }
    await trainRanks(2, { ...everyLoss, out, resume: true });
    expect(hashesOf(out)).toEqual(hashesOf(join(folder, "of-1")));
  });

  // The first has the store, whom the others would ask: they must not wait for its answer.
  it("that stands still is named after the time that a step may take, and if it is the first ends the others as one whose machine is gone", async () => {
    const stopped = async (which: number): Promise<string> => {
      const ranks = await startRanks(2, { datesPerStep: 2, epochs: 50, rankStepSeconds: 3 });
      await ranks[1 - which]!.steps(2);
      ranks[which]!.child.kill("SIGSTOP");
      const { said } = await ranks[1 - which]!.ended;
      ranks[which]!.child.kill("SIGKILL");
      return said;
    };
    const [first, second] = await Promise.all([stopped(0), stopped(1)]);
    expect(first).toMatch(/^ERR_RANK_LOST: Rank 0 or the launcher does not answer \(nothing came for 3/m);
    expect(second).toMatch(/^ERR_RANK_LOST: Rank 1 does not answer \(nothing came for 3/m);
  });

  it("that never starts is named after the time that the start may take", async () => {
    const { port, server } = await freePort();
    await new Promise((resolve) => server.close(resolve));
    const alone = startRank(0, 2, port, { rankStartSeconds: 0.5 });
    expect((await alone.ended).said).toMatch(/^ERR_RANK_LOST: Rank 1 of 2 did not start within 0\.5 s\./m);
  });

  it("with other data or instructions is refused by all, naming rank and field", async () => {
    const other = join(folder, "other.csv");
    writeFileSync(other, readFileSync(csv, "utf8").replace("2020-01-09,S3", "2020-01-09,S33"));
    for (const { said } of await endOf(await startRanks(2, {}, undefined, (rank) => (rank === 1 ? other : csv)))) expect(said).toMatch(/^ERR_DATA: Rank 1 has fingerprint "[0-9a-f]+", rank 0 has "[0-9a-f]+"\./m);
    const isa = await startRanks(2, {}, (rank) => ({ ASTGNN_ISA: rank === 1 ? "scalar" : "avx2" }));
    for (const { said } of await endOf(isa)) expect(said).toMatch(/^ERR_OPTION: Rank 1 has machine\.isa "scalar", rank 0 has "avx2"\./m);
  });

  it("that is interrupted ends all after the same step, and they can go on", async () => {
    const out = join(folder, "interrupted");
    const ranks = await startRanks(2, { ...everyLoss, out });
    await ranks[0]!.steps(3);
    ranks[1]!.child.kill("SIGINT");
    const ends = await endOf(ranks);
    const last = ends.map(({ said }) => said.match(/^step \d+$/gm)?.at(-1));
    expect(last[0]).toBe(last[1]);
    expect(ends[0]!.said).toMatch(/^ERR_ABORTED: The training was stopped by another rank\./m);
    expect(ends[1]!.said).toMatch(/^ERR_ABORTED/m);
    await trainRanks(1, { ...everyLoss, out, resume: true });
    expect(hashesOf(out)).toEqual(hashesOf(join(folder, "of-1")));
  });

  it("that cannot write ends the others with its reason", async () => {
    const out = join(folder, "full");
    // No file may grow beyond 12 or 24 KiB, as if the disk were full.
    const ranks = await startRanks(2, { ...everyLoss, out }, (rank) => (rank === 0 ? { ASTGNN_TEST_BLOCKS: "24" } : {}));
    const [first, second] = await endOf(ranks);
    expect(first!.said).toMatch(/EFBIG: file too large/);
    expect(second!.said).toMatch(/^ERR_RANK_LOST: Rank 0 has ended: .*EFBIG: file too large/m);
  });

  it("meets a loss that is not finite at the step of all others, and strangers at its door do no harm", async () => {
    const ranks = await startRanks(2, { datesPerStep: 4, learningRate: 1e38, warmupSteps: 0, clipNorm: 0 });
    await ranks[1]!.steps(1);
    connect(ranks[0]!.port, "127.0.0.1").on("error", () => undefined).end("GET / HTTP/1.1\r\n\r\n");
    const [first, second] = await endOf(ranks);
    expect(first!.said).toMatch(/^ERR_NOT_FINITE: .* at step \d+/m);
    expect(second!.said.match(/^ERR_NOT_FINITE.*/m)![0]).toBe(first!.said.match(/^ERR_NOT_FINITE.*/m)![0]);
  });

  it("whose port is taken says so", async () => {
    const { port, server } = await freePort();
    expect((await startRank(0, 2, port, { rankStartSeconds: 5 }).ended).said).toMatch(new RegExp(`ERR_OPTION: Port ${port} of 127\\.0\\.0\\.1 cannot be listened on`, "m"));
    server.close();
  });

  it("is a process, not a worker thread", async () => {
    const group = new URL("../../dist/train/ranks/group.js", import.meta.url).href;
    const code = `import("${group}").then(({ joinedRanks }) => joinedRanks(undefined, { startSeconds: 1, stepSeconds: 1 })).catch(({ code, message }) => require("node:worker_threads").parentPort.postMessage({ code, message }))`;
    const worker = new Worker(code, { eval: true, env: { ...process.env, RANK: "0", WORLD_SIZE: "2", MASTER_ADDR: "127.0.0.1" } });
    expect(await new Promise((resolve) => worker.on("message", resolve))).toMatchObject({ code: "ERR_OPTION", message: expect.stringContaining("worker thread") as string });
    await worker.terminate();
  });
});
