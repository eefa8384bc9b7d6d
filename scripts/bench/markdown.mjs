// The results as a Markdown page. Pure.
import { COMPILED, EAGER, MALLOC, OURS } from "./bench-context.mjs";

const COLUMNS = [OURS, EAGER, MALLOC, COMPILED];
const BLOCK_NAMES = { gru: "GRU", graphAttention: "GAT", relationalEmbedding: "TGC", rest: "rest" };

const number = (value, digits) => (value === null || value === undefined ? "-" : value.toFixed(digits));
/** Three significant digits, no exponent. */
export const figure = (value) => (value === null || value === undefined ? "-" : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
const shapeOf = ({ n, t, f, b }) => `${n},${t},${f},${b}`;

/** @param rows arrays of cells, the first one the header */
export function table([header, ...rows]) {
  return [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

const spread = (values) => (values === null || values === undefined ? "-" : `${figure(values.median)} (${figure(values.min)}-${figure(values.max)})`);

/** @param results { environment, rows, checks?, leftOut?, growth?, load?, dataset?, epoch?, boundary?, coMovement? } */
export function renderMarkdown(results) {
  const { environment, rows } = results;
  const parts = ["# Benchmark", describe(environment)];
  if (results.checks !== undefined) parts.push("## Checks before it", checks(results.checks));
  for (const mode of ["train", "infer"]) {
    const own = rows.filter((row) => row.mode === mode);
    if (own.length > 0) parts.push(`## ${mode === "train" ? "Training step" : "Inference"}`, configurations(own));
  }
  if (results.leftOut !== undefined) parts.push(`Left out for want of time: ${results.leftOut.map(({ config, mode }) => `${shapeOf(config)} ${mode}`).join("; ")}.`);
  for (const row of rows.filter(({ oursGraphFailed }) => oursGraphFailed !== undefined)) parts.push(`${shapeOf(row.config)} without CUDA graphs: ${row.oursGraphFailed.split("\n")[0]}`);
  const profiled = rows.filter((row) => row.blocks !== undefined);
  if (profiled.length > 0) parts.push("## Blocks", blockNote, blocks(profiled));
  if (results.growth !== undefined) parts.push("## Growth with N", growth(results.growth));
  if (results.load !== undefined) parts.push("## Reading a panel", load(results.load));
  if (results.dataset !== undefined) parts.push("## Features and ranks", dataset(results.dataset));
  if (results.epoch !== undefined) parts.push("## One epoch of the NASDAQ protocol", epoch(results.epoch));
  if (results.boundary !== undefined) parts.push("## Crossing the boundary", boundary(results.boundary));
  if (results.coMovement !== undefined) parts.push("## The co-movement term", coMovement(results.coMovement));
  return `${parts.join("\n\n")}\n`;
}

function describe(e) {
  const onGpu = e.gpu !== undefined;
  const lines = [
    ...(onGpu ? [`- GPU: ${e.gpu}, ${Math.round(e.gpuMemoryMiB / 1024)} GiB; PyTorch's CUDA ${e.cuda}`] : []),
    `- machine: ${e.cpu}, ${e.cores} cores, ${e.memoryGiB} GiB, Linux ${e.kernel}; ${e.threads} compute threads on both sides`,
    `- date ${e.date}, commit ${e.commit}`,
    `- ours: LibTorch ${e.libtorch}, Node.js ${e.node}, precision ${e.precision}, reduction ${e.reduction ?? "fast"}, instructions ${e.isa}; peer: PyTorch ${e.torch}, Python ${e.python}, float32`,
    `- same weights and windows give outputs that differ by at most ${Math.max(e.agreement.predictions, e.agreement.riskFactors).toExponential(1)}`,
    ...(onGpu ? GPU_NOTES : CPU_NOTES),
  ];
  if (e.forced) lines.push(`- **forced (--force)${e.busyReason === undefined ? "" : `: ${e.busyReason}`}**: not a result to quote`);
  return lines.join("\n");
}

const CPU_NOTES = [
  "- medians (minimum-maximum) in milliseconds of rounds in which every side makes one step in turn, after two warm-up steps; a ratio above 1 means that ours is faster",
  "- memory: maximum RSS less the RSS once the data are resident, in a process that did only this",
  "- GFLOP/s: operations of the formulas (neither recomputation nor an N x N attention) per second; roofline: share of the time in which the cores would do those operations as float32 multiply-adds in registers and move the bytes that a step cannot do without at the pace of a large copy, whichever takes longer; in brackets with what ours computes again in the backward pass",
];

const GPU_NOTES = [
  "- medians (minimum-maximum) in milliseconds per step of rounds in which every side makes five steps in turn, after two rounds to warm up: ours as one job, the peer's between two `torch.cuda.synchronize()`; a ratio above 1 means that ours is faster; ours brings its outputs to the host, the peer leaves them on the GPU",
  "- memory: most that the pool of LibTorch or PyTorch had given out at once, less what it had once the data were resident",
  "- GFLOP/s: operations of the formulas (neither recomputation nor an N x N attention) per second; bytes: float32 features under the windows, rows from block to block, weights, gradients and moments, each as often as a step cannot do without",
  "- roofline: share of the time in which PyTorch's best float32 8192 x 8192 x 8192 product (no TF32) and its best copy would do those operations and move those bytes, whichever takes longer",
];

function checks(outcomes) {
  return table([["step", "outcome", "seconds"], ...outcomes.map(({ step, ok, seconds, note }) => [step, `${ok ? "ok" : "**failed**"}: ${note.replaceAll("|", "/")}`, seconds.toFixed(0)])]);
}

function configurations(rows) {
  const malloc = rows.some((row) => row.torchMallocMs !== null);
  const tf32 = rows.some((row) => row.torchTf32Ms !== undefined);
  const compiled = rows.some((row) => row.torchCompileMs !== undefined);
  const graph = rows.some((row) => row.oursGraphMs !== undefined);
  const header = ["N,T,F,B", "ours ms", ...(graph ? ["as CUDA graphs ms"] : []), "eager ms", ...(malloc ? ["with memory settings ms"] : []), ...(tf32 ? ["eager, TF32 ms"] : []), ...(compiled ? ["torch.compile ms"] : []), "ratio", ...(graph ? ["ratio, graphs"] : []), ...(malloc ? ["ratio, memory settings"] : []), ...(tf32 ? ["ratio, TF32"] : []), ...(compiled ? ["ratio, compile"] : []), "ours MiB", "eager MiB", "memory ratio", "GFLOP/s ours / eager", "roofline ours / eager", "rounds", "others' CPU"];
  return table([
    header,
    ...rows.map((row) => [
      shapeOf(row.config),
      spread(row.spread.ours),
      ...(graph ? [spread(row.spread.oursGraph)] : []),
      spread(row.spread.torch),
      ...(malloc ? [spread(row.spread.torchMalloc)] : []),
      ...(tf32 ? [spread(row.spread.torchTf32)] : []),
      ...(compiled ? [spread(row.spread.torchCompile)] : []),
      ratioCell(row.ratio, row.ratioSpread?.ratio),
      ...(graph ? [number(row.ratioGraph, 2)] : []),
      ...(malloc ? [ratioCell(row.ratioMalloc, row.ratioSpread?.ratioMalloc)] : []),
      ...(tf32 ? [number(row.ratioTf32, 2)] : []),
      ...(compiled ? [number(row.ratioCompile, 2)] : []),
      number(row.oursPeakMiB, 0),
      number(row.torchPeakMiB, 0),
      row.oursPeakMiB > 0 && row.torchPeakMiB !== null ? number(row.torchPeakMiB / row.oursPeakMiB, 1) : "-",
      `${figure(row.gflops.ours)} / ${figure(row.gflops.torch)}`,
      row.roofline === null ? "-" : `${percent(row.roofline.ours)}${row.roofline.oursWithRepeated === undefined ? "" : ` (${percent(row.roofline.oursWithRepeated)})`} / ${percent(row.roofline.torch)} of ${roof(row)}`,
      String(row.rounds),
      percent(row.disturbance.others),
    ]),
  ]);
}

/** What was reached elsewhere: operations, and bytes where they may bound too. */
const roof = ({ peakGflops, bandwidthGBs }) => `${figure(peakGflops)} GFLOP/s and ${figure(bandwidthGBs)} GB/s`;
const percent = (share) => `${(100 * share).toFixed(0)} %`;
const ratioCell = (ratio, paired) => (paired === undefined || ratio === null ? number(ratio, 2) : `${ratio.toFixed(2)} (${paired.q1.toFixed(2)}-${paired.q3.toFixed(2)})`);

const blockNote =
  "Milliseconds forward + backward (forward alone in inference), medians. Ours: inside the step, by the core's profile of its ops; PyTorch's: each block alone on the same shapes. " +
  "GAT and TGC begin after their linear inputs; the rest is model and loss less the blocks, without the optimizer; in inference, ours also sums up the graph's statistics. Ratio: eager with memory settings to ours.";

function blocks(rows) {
  const names = COLUMNS.filter((name) => rows.some((row) => row.blocks[name] !== undefined));
  const cell = (mode, { forward, backward }) => (mode === "train" ? `${figure(forward)} + ${figure(backward)}` : figure(forward));
  const lines = rows.flatMap((row) =>
    Object.entries(BLOCK_NAMES).map(([block, title]) => {
      const both = (name) => row.blocks[name][block].forward + row.blocks[name][block].backward;
      const ratio = row.blocks[MALLOC] === undefined || both(OURS) <= 0 ? "-" : number(both(MALLOC) / both(OURS), 1);
      return [row.mode, shapeOf(row.config), title, ...names.map((name) => (row.blocks[name] === undefined ? "-" : cell(row.mode, row.blocks[name][block]))), ratio];
    }),
  );
  return table([["mode", "N,T,F,B", "block", ...names, "ratio"], ...lines]);
}

function growth({ rows, exponents }) {
  const measured = table([
    ["N", "ours ms", "eager ms", "with memory settings ms", "ratio", "ratio, memory settings", "ours MiB", "eager MiB"],
    ...rows.map((row) => [String(row.config.n), figure(row.oursMs), figure(row.torchMs), figure(row.torchMallocMs), number(row.ratio, 2), number(row.ratioMalloc, 2), number(row.oursPeakMiB, 0), number(row.torchPeakMiB, 0)]),
  ]);
  const titles = { oursMs: "ours, time", torchMs: "eager, time", torchMallocMs: "eager with memory settings, time", oursPeakMiB: "ours, memory", torchPeakMiB: "eager, memory" };
  const fitted = table([
    ["series", "exponent of N, all", "between neighbours", "N"],
    ...Object.entries(exponents).map(([series, { overall, local, stocks }]) => [titles[series], overall.toFixed(2), local.map((value) => value.toFixed(2)).join(", "), stocks.join(", ")]),
  ]);
  const skipped = rows.filter((row) => row.torchSkipped !== undefined).map((row) => `N = ${row.config.n}: ${row.torchSkipped}.`);
  return ["Training, T = 20, F = 21, B = 1; least squares of the logarithms.", measured, fitted, ...skipped].join("\n\n");
}

function load({ rows, columns, dates, stocks, readers, missing, peakBytes, residentBytes, delayMs }) {
  const absent = Object.keys(missing);
  const lines = table([["reader", "seconds", "million rows per second"], ...readers.map(({ name, seconds, rowsPerSecond }) => [name, seconds.toFixed(2), (rowsPerSecond / 1e6).toFixed(2)])]);
  const note = `${rows} rows (${dates} dates, ${stocks} stocks), columns ${columns.join(", ")}; medians of five, the file in the page cache. openPanel also sorts, checks, lays out the dates x stocks grid and takes its fingerprint; DuckDB alone only decodes.`;
  const cost = peakBytes === undefined ? [] : [`The panel keeps ${mebibytes(residentBytes)} MiB; opening it takes ${mebibytes(peakBytes)} MiB at its peak, DuckDB's buffers included, and delays the event loop by ${delayMs.toFixed(0)} ms at most.`];
  return [note, lines, ...cost, ...(absent.length === 0 ? [] : [`Not measured, the interpreter has no ${absent.join(" and no ")}.`])].join("\n\n");
}

function dataset({ sides, missing, peakBytes, residentBytes, dates, stocks, rows, delayMs }) {
  const note = `The 20 features \`ohlcv\` and their ranks per date, from prices in memory: ${rows} rows (${dates} dates, ${stocks} stocks), medians of five (polars: three). panel.dataset also finds the rows, makes labels and targets and counts what is missing.`;
  const lines = table([["", "seconds", "processor seconds", "ratio of processor seconds"], ...sides.map(({ name, seconds, cpuSeconds }) => [name, seconds.toFixed(2), cpuSeconds.toFixed(2), (cpuSeconds / sides[0].cpuSeconds).toFixed(1)])]);
  const cost = `Training keeps ${mebibytes(residentBytes)} MiB of features and targets; from the file to the dataset it takes ${mebibytes(peakBytes)} MiB at the peak, with the panel. The event loop is delayed by ${delayMs.toFixed(0)} ms at most.`;
  return [note, lines, cost, ...(missing === undefined ? [] : [`polars was not measured: ${missing}.`])].join("\n\n");
}

const mebibytes = (bytes) => Math.round(bytes / 2 ** 20);

function epoch(e) {
  const whole = e.measuredTrainDates === e.trainDates && e.measuredValidDates === e.validDates;
  const note =
    `${e.trainDates} training dates, one per step, and ${e.validDates} validation dates, T = ${e.window}, F = ${e.features}, up to ${e.stocks} stocks, complete graph, loss -IC, AdamW, no clipping, no average. ` +
    (whole ? "All dates measured." : `Measured on ${e.measuredTrainDates} and ${e.measuredValidDates} dates spread over the splits, extrapolated to all.`);
  const lines = Object.entries(e.seconds).map(([name, seconds]) => [name, seconds.toFixed(1), e.trainMsPerDate[name].toFixed(1), (seconds / e.seconds[OURS]).toFixed(2)]);
  return [note, table([["", "seconds per epoch", "ms per training step", "ratio to ours"], ...lines])].join("\n\n");
}

function coMovement(rows) {
  const lines = rows.map(({ n, icMs, bothMs, ratio }) => [String(n), figure(icMs), figure(bothMs), ratio.toFixed(2)]);
  return ["Training, T = 20, F = 21, B = 1, learned scale, 10 days ahead; medians of steps with and without the term in turn.", table([["N", "ic, ms", "ic + coMovement, ms", "ratio"], ...lines])].join("\n\n");
}

function boundary({ togetherMicroseconds, singleMicroseconds }) {
  return `A step costs ${togetherMicroseconds.toFixed(0)} microseconds outside the core where fifty steps are one job (how training runs), and ${singleMicroseconds.toFixed(0)} where each step is a job of its own (medians, a model of 8 stocks; wall clock in JavaScript less the core's milliseconds).`;
}
