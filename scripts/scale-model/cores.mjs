// How the kernels cut a step of one date into tasks, and how long so many cores take for them. Pure. The cuts are those of native/ops/cpu: gru_kernel.cpp
// (each_block), similarity_partition.h, graph_attention_kernel.cpp (each_task), norm_activation_kernel.cpp (each_row_range); they depend on the number of rows alone.

/** Milliseconds for which cores wait for one another at the end of a parallel region: assumed, per doubling of the cores. */
const BARRIER_MS = 0.0015;
/** Parallel regions of a date's forward and backward: ops of the model, counted roughly. */
const REGIONS = 80;
/** Of the TGC's backward, what is dM (vector operations per pair: 257 of 467). */
const GRADIENT_SHARE = 0.55;

const ceil = (a, b) => Math.ceil(a / b);

/** Sizes of the GRU's tasks: 32 ranges of blocks of 48 rows, or of 12 where there are few rows. */
export function gruTasks(rows) {
  const size = rows >= 4 * 48 ? 48 : 12;
  const blocks = ceil(rows, size);
  return Array.from({ length: 32 }, (_, slot) => Math.floor(((slot + 1) * blocks) / 32) - Math.floor((slot * blocks) / 32)).filter((count) => count > 0);
}

/** Sizes of the TGC's tasks of a pass over pairs: stretches of rows, at least 2^15 pairs together. */
export function similarityTasks(rows) {
  const step = Math.min(288, Math.max(48, ceil(rows / 32, 48) * 48));
  const tasks = [];
  let open = 0;
  for (let row = 0; row < rows; row += step) {
    open += Math.min(step, rows - row);
    if (open * rows < 2 ** 15) continue;
    tasks.push(open);
    open = 0;
  }
  return open > 0 ? [...tasks, open] : tasks;
}

/** Sizes of the tasks of dM: up to 16 sums. */
export function gradientTasks(rows) {
  const slots = Math.min(16, Math.max(1, ceil(rows, 96)));
  const together = Math.max(1, ceil(2 ** 15, (rows * rows) / (2 * slots)));
  return Array.from({ length: ceil(slots, together) }, (_, k) => Math.min(together, slots - k * together));
}

/** Phases of a date's step, `ms` of each on one core as measured or fitted: tasks in the order in which they are handed out. */
export function phases(rows, ms, heads = 4) {
  const rest = Array.from({ length: ceil(rows, 256) }, () => 1);
  const all = [
    ["gru forward", ms.gruForward, gruTasks(rows)],
    ["gru backward", ms.gruBackward, gruTasks(rows)],
    ["attention forward", ms.attentionForward, Array(heads).fill(1)],
    ["attention backward", ms.attentionBackward, Array(heads).fill(1)],
    ["similarity forward", ms.similarityForward, similarityTasks(rows)],
    ["similarity backward", (1 - GRADIENT_SHARE) * ms.similarityBackward, similarityTasks(rows)],
    ["similarity dM", GRADIENT_SHARE * ms.similarityBackward, gradientTasks(rows)],
    ["linear, norm, loss", ms.rest, rest],
    ["dispatch, optimiser", ms.serial, [1]],
  ];
  return all.map(([name, time, tasks]) => ({ name, ms: time, tasks }));
}

/** When the last of the cores is done where each takes the next task once it is free. */
export function makespan(tasks, cores) {
  const free = new Float64Array(Math.min(cores, tasks.length));
  for (const task of tasks) {
    let first = 0;
    for (let k = 1; k < free.length; k++) if (free[k] < free[first]) first = k;
    free[first] += task;
  }
  return free.reduce((most, time) => Math.max(most, time), 0);
}

/** Milliseconds of a step of one date on so many cores. */
export function stepOn(cores, work) {
  const waiting = cores === 1 ? 0 : REGIONS * BARRIER_MS * Math.log2(cores);
  return work.reduce((sum, { ms, tasks }) => sum + (ms * makespan(tasks, cores)) / tasks.reduce((a, b) => a + b), 0) + waiting;
}

/** Share of the cores' time that is work: one training, and `count` at once with equal parts of the cores. */
export function efficiency(cores, work, count = 1) {
  const many = Math.min(count, cores);
  const each = Math.floor(cores / many);
  return (many * stepOn(1, work)) / (cores * stepOn(each, work));
}

/** The same of a prediction of many dates, a date on each core. */
export function predictionEfficiency(cores, dates) {
  return makespan(Array(dates).fill(1), 1) / (cores * makespan(Array(dates).fill(1), cores));
}
