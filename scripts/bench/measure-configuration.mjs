// One row of the tables: one configuration in one mode, every side in a process of its own that does nothing else.
import { alternate } from "./alternate.mjs";
import { COMPILED, EAGER, GRAPH, MALLOC, OURS, TF32 } from "./bench-context.mjs";
import { memoryAvailableMiB, waitUntilQuiet } from "./machine.mjs";
import { median, pairedRatio, summary } from "./statistics.mjs";
import { repeatedOperations, total, usefulBytes, usefulOperations } from "./useful-work.mjs";

const WARM_UP_STEPS = 2;
const BLOCK_ROUNDS = 5;
/** Steps between two looks at the clock: a GPU is given them all before it has done the first. */
const STEPS_PER_ROUND = { cpu: 1, cuda: 5 };
const BLOCKS = ["gru", "graphAttention", "relationalEmbedding"];

/** What eager holds at its peak: about 16 single-precision N x N matrices per date in training, 8 in inference, and the GRU's states. */
export function expectedPeerMiB({ n, t, b }, mode) {
  const training = mode === "train";
  return (4 * (training ? 16 : 8) * b * n * n + (training ? 2 : 1) * 2200 * b * n * t) / 2 ** 20;
}

/** Peers that fit into memory beside one another; the reason where none does. */
function peersFor(config, mode, settings, sides) {
  // The memory settings are those of the C library, which a GPU's tensors do not come from; only a GPU has TF32.
  const names = [EAGER, settings.device === "cpu" ? MALLOC : TF32, ...(settings.compile ? [COMPILED] : [])];
  const needed = names.length * expectedPeerMiB(config, mode);
  const available = sides.gpuMemoryMiB ?? memoryAvailableMiB();
  if (needed <= 0.7 * available) return { names };
  return { names: [], reason: `PyTorch would need about ${(needed / 1024).toFixed(0)} GiB for ${names.length} processes, ${(available / 1024).toFixed(0)} GiB are free` };
}

/**
 * @param config { n, t, f, b }
 * @param mode "train" | "infer"
 * @param options { rounds, budgetSeconds, blocks } where they differ from the context's settings
 */
export async function measureConfiguration(context, sides, config, mode, options = {}) {
  const { settings } = context;
  const { rounds = settings.steps, budgetSeconds = settings.budgetSeconds, blocks = settings.blocks } = options;
  if (settings.device === "cpu") await waitUntilQuiet({ force: settings.force, say: context.say });
  const peers = peersFor(config, mode, settings, sides);
  const own = settings.cudaGraph && mode === "train" ? [OURS, GRAPH] : [OURS];
  return context.with([...own, ...peers.names], async (started) => {
    const prepare = (each) => each.request("prepare", { ...config, mode, repeat: STEPS_PER_ROUND[settings.device], compile: each.name === COMPILED, cudaGraph: each.name === GRAPH });
    const prepared = [];
    const processes = [];
    let graphFailure;
    for (const each of started) {
      try {
        prepared.push(await prepare(each));
        if (each.name === GRAPH) await each.request("step");
        processes.push(each);
      } catch (error) {
        // No GPU has run them yet: the other sides are measured all the same.
        if (each.name !== GRAPH) throw error;
        graphFailure = error.message;
        context.say(`without CUDA graphs: ${graphFailure}`);
      }
    }
    const counts = new Set(prepared.map(({ parameters }) => parameters));
    if (counts.size !== 1) throw new Error(`The sides have different numbers of parameters: ${[...counts].join(", ")}.`);

    await alternate(processes, { rounds: WARM_UP_STEPS });
    const { answers, idleShare, foreignShare } = await alternate(processes, { rounds, budgetSeconds });
    const memory = {};
    for (const each of processes) memory[each.name] = (await each.request("memory")).peakMiB;
    const byBlock = blocks ? await measureBlocks(processes) : undefined;
    const eager = processes.find(({ name }) => name === EAGER);
    const peaks = settings.device === "cpu" ? context.peaks : await eager?.request("peaks");
    return row({ context, sides, config, mode, answers, memory, byBlock, peaks, parameters: prepared[0].parameters, idleShare, foreignShare, skipped: peers.reason, graphFailure });
  });
}

/** Medians per block and direction of the alternating profiled rounds; the rest is the step's own total less the blocks. */
async function measureBlocks(processes) {
  await alternate(processes, { rounds: 1, request: "blocks" });
  const { answers } = await alternate(processes, { rounds: BLOCK_ROUNDS, request: "blocks" });
  const times = {};
  for (const [name, rounds] of answers) {
    if (rounds.some(({ blocks }) => blocks === undefined)) throw new Error(`${name} gave no block times: is the core older than lib/? Run npm run build.`);
    const of = (block, direction) => median(rounds.map(({ blocks }) => blocks[block][direction] ?? 0));
    const directions = (block) => ({ forward: of(block, "forward"), backward: of(block, "backward") });
    times[name] = Object.fromEntries(BLOCKS.map((block) => [block, directions(block)]));
    const whole = directions("total");
    const rest = (direction) => whole[direction] - BLOCKS.reduce((sum, block) => sum + times[name][block][direction], 0);
    times[name].rest = { forward: rest("forward"), backward: rest("backward") };
  }
  return times;
}

function row({ context, sides, config, mode, answers, memory, byBlock, peaks, parameters, idleShare, foreignShare, skipped, graphFailure }) {
  const ms = (name) => answers.get(name)?.map((answer) => answer.ms);
  const [ours, graph, eager, malloc, tf32, compiled] = [OURS, GRAPH, EAGER, MALLOC, TF32, COMPILED].map(ms);
  const medianOf = (values) => (values === undefined ? null : round(median(values)));
  const spreadOf = (values) => (values === undefined ? null : roundAll(summary(values)));
  const ratioTo = (values) => (values === undefined ? null : round(median(values) / median(ours), 4));
  const memoryOf = (name) => (memory[name] === undefined ? null : round(memory[name], 1));
  const model = { ...sides.model, sequentialInputSize: config.f };
  const operations = usefulOperations(model, config, mode);
  const bytes = usefulBytes(model, config, mode, parameters);
  const least = (count) => Math.max(count / peaks.gflops, bytes / peaks.bandwidthGBs) / 1e6;
  const leastMs = peaks === undefined ? undefined : least(total(operations));
  const again = context.settings.device === "cpu" ? repeatedOperations(model, config, mode) : 0;
  const share = (values) => (values === undefined ? null : round(leastMs / median(values), 3));
  const gflops = (values) => (values === undefined ? null : round(total(operations) / median(values) / 1e6, 1));
  const native = answers.get(OURS).map((answer) => answer.nativeMs).filter((value) => value !== undefined);
  return {
    config,
    mode,
    device: context.settings.device,
    precision: sides.precision,
    isa: sides.isa,
    oursMs: medianOf(ours),
    torchMs: medianOf(eager),
    torchMallocMs: medianOf(malloc),
    ratio: ratioTo(eager),
    ratioMalloc: ratioTo(malloc),
    oursPeakMiB: memoryOf(OURS),
    torchPeakMiB: memoryOf(EAGER),
    torchMallocPeakMiB: memoryOf(MALLOC),
    ...(graph === undefined ? {} : { oursGraphMs: medianOf(graph), ratioGraph: eager === undefined ? null : round(median(eager) / median(graph), 4), oursGraphPeakMiB: memoryOf(GRAPH) }),
    ...(tf32 === undefined ? {} : { torchTf32Ms: medianOf(tf32), ratioTf32: ratioTo(tf32) }),
    ...(compiled === undefined ? {} : { torchCompileMs: medianOf(compiled), ratioCompile: ratioTo(compiled), torchCompilePeakMiB: memoryOf(COMPILED) }),
    ...(native.length === 0 ? {} : { oursNativeMs: medianOf(native) }),
    rounds: ours.length,
    spread: { ours: spreadOf(ours), torch: spreadOf(eager), torchMalloc: spreadOf(malloc), ...(graph === undefined ? {} : { oursGraph: spreadOf(graph) }), ...(tf32 === undefined ? {} : { torchTf32: spreadOf(tf32) }), ...(compiled === undefined ? {} : { torchCompile: spreadOf(compiled) }) },
    ratioSpread: eager === undefined ? null : { ratio: roundAll(pairedRatio(eager, ours)), ...(malloc === undefined ? {} : { ratioMalloc: roundAll(pairedRatio(malloc, ours)) }) },
    usefulGflop: round(total(operations) / 1e9, 3),
    gflops: { ours: gflops(ours), torch: gflops(eager), torchMalloc: gflops(malloc) },
    peakGflops: peaks === undefined ? null : round(peaks.gflops, 1),
    ...(peaks === undefined ? {} : { usefulMiB: round(bytes / 2 ** 20, 1), bandwidthGBs: round(peaks.bandwidthGBs, 1) }),
    roofline: leastMs === undefined ? null : { ours: share(ours), ...(again === 0 ? {} : { oursWithRepeated: round(least(total(operations) + again) / median(ours), 3) }), torch: share(eager), torchMalloc: share(malloc) },
    ...(byBlock === undefined ? {} : { blocks: Object.fromEntries(Object.entries(byBlock).map(([name, blocks]) => [name, roundBlocks(blocks)])) }),
    ...(skipped === undefined ? {} : { torchSkipped: skipped }),
    ...(graphFailure === undefined ? {} : { oursGraphFailed: graphFailure }),
    threads: context.settings.threads,
    disturbance: { idleProcesses: round(idleShare, 3), others: round(foreignShare, 3) },
    forced: context.settings.force,
  };
}

const round = (value, digits = 3) => Number(value.toFixed(digits));
const roundAll = (record) => Object.fromEntries(Object.entries(record).map(([key, value]) => [key, round(value)]));
const roundBlocks = (blocks) => Object.fromEntries(Object.entries(blocks).map(([block, times]) => [block, roundAll(times)]));
