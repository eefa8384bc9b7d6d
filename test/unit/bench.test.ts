import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { resolveConfig } from "../../lib/model/config.js";

// The benchmark is plain JavaScript without declarations, hence the imports by address.
const load = async (name: string) => import(new URL(`../../scripts/bench/${name}.mjs`, import.meta.url).href);
const { parseBenchArguments, parseConfig, CUDA_CONFIGS, TARGET_CONFIGS, UsageError } = await load("arguments");
const { quantile, median, summary, fitExponent, localExponents, pairedRatio } = await load("statistics");
const { usefulBytes, usefulOperations, total } = await load("useful-work");
const { normalValues, syntheticPanel, stepDates } = await load("synthetic-panel");
const { renderMarkdown, table } = await load("markdown");
const { growthExponents, spreadChunks } = await load("sections");
const { expectedPeerMiB } = await load("measure-configuration");
const { shortCpuName } = await load("machine");
const { scratchFolder } = await load("peer-python");

describe("arguments", () => {
  it("measures everything without flags", () => {
    const settings = parseBenchArguments([]);
    expect(settings.sections).toEqual({ configs: true, growth: true, load: true, dataset: true, epoch: true, boundary: true, coMovement: true });
    expect(settings.configs).toEqual(TARGET_CONFIGS);
    expect(settings.modes).toEqual(["train", "infer"]);
    expect(settings.force).toBe(false);
  });

  it("narrows to what is named", () => {
    const sections = (...argv: string[]) => Object.entries(parseBenchArguments(argv).sections).filter(([, on]) => on).map(([name]) => name);
    expect(sections("--config", "100,8,5,2")).toEqual(["configs"]);
    expect(sections("--infer")).toEqual(["configs"]);
    expect(sections("--growth")).toEqual(["growth"]);
    expect(sections("--config", "100,8,5,2", "--load")).toEqual(["configs", "load"]);
    expect(sections("--force", "--steps", "3", "--compile")).toEqual(["configs", "growth", "load", "dataset", "epoch", "boundary", "coMovement"]);
  });

  it("takes several configurations in their order", () => {
    expect(parseBenchArguments(["--config", "100,8,5,2", "--config", "7,1,1,1", "--infer"])).toMatchObject({
      configs: [{ n: 100, t: 8, f: 5, b: 2 }, { n: 7, t: 1, f: 1, b: 1 }],
      modes: ["infer"],
    });
  });

  it("measures on a GPU what a GPU has", () => {
    const settings = parseBenchArguments(["--device", "cuda", "--compile"]);
    expect(settings).toMatchObject({ device: "cuda", configs: CUDA_CONFIGS, compile: true, blocks: false });
    expect(settings.sections).toEqual({ configs: true, growth: false, load: false, dataset: false, epoch: false, boundary: false, coMovement: false });
    expect([settings.cudaGraph, parseBenchArguments(["--device", "cuda", "--cuda-graph"]).cudaGraph]).toEqual([false, true]);
    expect(() => parseBenchArguments(["--cuda-graph"])).toThrow("--cuda-graph needs --device cuda");
    expect(() => parseBenchArguments(["--device", "cuda", "--load"])).toThrow("--load is measured on the cpu");
  });

  it("compares two builds by configurations alone", () => {
    expect(parseBenchArguments(["--compare", "abc123", "--infer"])).toMatchObject({ compare: "abc123", configs: TARGET_CONFIGS, modes: ["infer"] });
    expect(parseBenchArguments([]).compare).toBeUndefined();
    expect(() => parseBenchArguments(["--compare", "abc123", "--epoch"])).toThrow("--compare measures configurations alone");
  });

  it.each(["100,8,5", "100,8,5,2,1", "100,8,5,x", "1,8,5,2", "100,0,5,2", "100,8,5,1.5", "100,,5,2"])("refuses the configuration %j", (text) => {
    expect(() => parseConfig(text)).toThrow(UsageError);
  });

  it.each([["--steps", "0"], ["--threads", "two"], ["--epoch-dates", "-1"], ["--growth-stocks", "500,"], ["--device", "tpu"], ["--precision", "fp8"], ["--fast"], ["stray"]])("refuses %j", (...argv) => {
    expect(() => parseBenchArguments(argv)).toThrow(UsageError);
  });
});

describe("statistics", () => {
  it("interpolates quantiles between the values around them", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(quantile([1, 2, 3, 4, 5], 0.25)).toBe(2);
    expect(quantile([10], 0.75)).toBe(10);
    expect(summary([5, 1, 3])).toEqual({ median: 3, q1: 2, q3: 4, min: 1, max: 5, count: 3 });
    expect(() => median([])).toThrow(RangeError);
  });

  it("recovers the exponent of a power law", () => {
    const points = [500, 1000, 2000, 4000].map((n) => [n, 3e-5 * n ** 1.7]);
    const { exponent, factor } = fitExponent(points);
    expect(exponent).toBeCloseTo(1.7, 10);
    expect(factor).toBeCloseTo(3e-5, 12);
    expect(localExponents(points)).toHaveLength(3);
    expect(localExponents([[1, 1], [2, 2], [4, 8]])).toEqual([1, 2]);
    expect(fitExponent([[1, 1]])).toBeUndefined();
  });

  it("pairs rounds before it takes the ratio", () => {
    // A machine that slows down in the second half leaves the paired ratio at 2.
    expect(pairedRatio([2, 2, 20, 20], [1, 1, 10, 10])).toMatchObject({ median: 2, min: 2, max: 2 });
    expect(() => pairedRatio([1], [1, 2])).toThrow(RangeError);
  });

  it("leaves sizes out of a fit on which a side did not run", () => {
    const row = (n: number, torchMs: number | null) => ({ config: { n }, oursMs: n, torchMs, torchMallocMs: null, oursPeakMiB: 0, torchPeakMiB: null });
    const exponents = growthExponents([row(500, 1), row(1000, 4), row(16000, null)]);
    expect(exponents.oursMs.overall).toBeCloseTo(1, 10);
    expect(exponents.torchMs).toMatchObject({ local: [2], stocks: [500, 1000] });
    expect(Object.keys(exponents)).toEqual(["oursMs", "torchMs"]);
  });
});

describe("useful work", () => {
  const model = resolveConfig({});

  it("counts the GRU and the similarity as the kernel notes do", () => {
    const [infer, train] = ["infer", "train"].map((mode) => usefulOperations(model, { n: 1, t: 1, f: 21, b: 1 }, mode));
    expect(infer.gru).toBe(81_792);
    // Forward, weight gradients, and input gradients without those of the features.
    expect(train.gru).toBe(2 * 81_792 + 73_728);
    expect(infer.similarity).toBe(448);
    expect(train.similarity).toBe(1344);
    expect(train.dense).toBe(3 * infer.dense);
  });

  it("counts every weight of the dense layers once per row", () => {
    // 2 operations per weight: GAT 64x128 twice, its scores, residual 128x128 twice, M, TGC, head.
    const weights = 2 * 64 * 128 + 2 * 128 + 2 * 128 * 128 + 128 * 32 + (21 * 128 + 128 * 64) + (64 * 128 + 128 * 64 + 64);
    expect(usefulOperations(model, { n: 10, t: 20, f: 21, b: 3 }, "infer").dense).toBe(2 * weights * 30);
  });

  it("moves the features once per direction, and weights as often as AdamW looks at them", () => {
    const [small, large] = [10, 20].map((n) => usefulBytes(model, { n, t: 20, f: 21, b: 3 }, "infer", 0));
    expect(large).toBe(2 * small);
    // GRU state, GAT output, M, embedding and prediction, written and read.
    expect(small).toBe(4 * (22 * 10 * 21 + 2 * 30 * (64 + 128 + 32 + 64 + 1)));
    const weights = (mode: string) => usefulBytes(model, { n: 1, t: 1, f: 1, b: 1 }, mode, 1000) - usefulBytes(model, { n: 1, t: 1, f: 1, b: 1 }, mode, 0);
    expect([weights("infer"), weights("train")]).toEqual([4000, 40_000]);
  });

  it("grows with the square of N only in the similarity", () => {
    const at = (n: number) => usefulOperations(model, { n, t: 20, f: 21, b: 1 }, "train");
    expect(at(2000).similarity).toBe(4 * at(1000).similarity);
    expect(at(2000).gru).toBe(2 * at(1000).gru);
    expect(total(at(1000))).toBe(at(1000).gru + at(1000).similarity + at(1000).dense);
  });
});

describe("memory of the peer", () => {
  it("is expected near what eager was measured to take", () => {
    // KERNELS notes, MB over the idle process: 2010 at (5000,20,21,1), 635 at (1000,20,21,4); training, then 818 in inference.
    expect(expectedPeerMiB({ n: 5000, t: 20, b: 1 }, "train") / 2010).toBeCloseTo(1, 0);
    expect(expectedPeerMiB({ n: 1000, t: 20, b: 4 }, "train") / 635).toBeCloseTo(1, 0);
    expect(expectedPeerMiB({ n: 5000, t: 20, b: 1 }, "infer") / 818).toBeCloseTo(1, 0);
    expect(expectedPeerMiB({ n: 16000, t: 20, b: 1 }, "train")).toBeGreaterThan(15_000);
  });
});

describe("synthetic panel", () => {
  it("has rows on the dates of a step only, and standard normal values", () => {
    const panel = syntheticPanel({ n: 31, t: 20, f: 3, b: 2 });
    expect(panel.dates).toBe(21);
    expect([...panel.rowOffsets.slice(17)]).toEqual([0, 0, 0, 31, 62]);
    expect([...stepDates({ t: 20, b: 2 })]).toEqual([19, 20]);
    const values: Float32Array = normalValues(20_001, 7);
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length;
    // Five standard errors of the mean (0.007) and of the variance (0.01).
    expect(Math.abs(mean)).toBeLessThan(0.036);
    expect(Math.abs(variance - 1)).toBeLessThan(0.05);
    expect(normalValues(5, 7)).toEqual(values.slice(0, 5));
  });
});

describe("epoch sample", () => {
  it("spreads chunks of neighbouring dates over the split", () => {
    const dates = Array.from({ length: 756 }, (_, i) => i);
    const chunks: number[][] = spreadChunks(dates, 60 / 756);
    expect(chunks.flat()).toHaveLength(60);
    expect(chunks.at(-1)![0]).toBeGreaterThan(600);
    expect(spreadChunks(dates, 1).flat()).toEqual(dates);
    expect(spreadChunks([5], 0.01)).toEqual([[5]]);
  });
});

describe("report", () => {
  const spread = { median: 20, q1: 19, q3: 21, min: 18, max: 25, count: 7 };
  const row = {
    config: { n: 300, t: 20, f: 21, b: 4 }, mode: "train", precision: "highest", isa: "avx512", oursMs: 10, torchMs: 20, torchMallocMs: 18, ratio: 2, ratioMalloc: 1.8,
    oursPeakMiB: 10, torchPeakMiB: 150, rounds: 7, spread: { ours: spread, torch: spread, torchMalloc: spread }, ratioSpread: { ratio: spread, ratioMalloc: spread },
    gflops: { ours: 100, torch: 50, torchMalloc: 60 }, peakGflops: 200, bandwidthGBs: 20, roofline: { ours: 0.5, torch: 0.25, torchMalloc: 0.3 }, disturbance: { others: 0.01 },
  };
  const skipped = { ...row, config: { ...row.config, n: 16000 }, torchMs: null, torchMallocMs: null, ratio: null, ratioMalloc: null, torchPeakMiB: null, ratioSpread: null, roofline: null, peakGflops: null, spread: { ours: spread, torch: null, torchMalloc: null }, gflops: { ours: 100, torch: null, torchMalloc: null }, torchSkipped: "PyTorch would need about 30 GiB" };
  const environment = {
    cpu: "Some CPU", cores: 2, memoryGiB: 8, kernel: "6", threads: 2, date: "2026-01-02T03:04:05Z", commit: "abc", libtorch: "2.15.0", node: "20", precision: "highest", isa: "avx512",
    torch: "2.15.0+cpu", python: "3.11", agreement: { predictions: 1e-6, riskFactors: 2e-6 }, forced: false,
  };

  it("gives every line as many cells as the header", () => {
    const lines = table([["a", "b"], ["1", "2"]]).split("\n");
    expect(lines).toEqual(["| a | b |", "| --- | --- |", "| 1 | 2 |"]);
    const pages = renderMarkdown({ environment, rows: [row, { ...skipped, mode: "infer" }], growth: { rows: [row, skipped], exponents: growthExponents([row, skipped]) } });
    for (const block of pages.split("\n\n").filter((part: string) => part.startsWith("|"))) {
      expect(new Set(block.trim().split("\n").map((line: string) => line.split("|").length)).size).toBe(1);
    }
    expect(pages).toContain("| 300,20,21,4 |");
    expect(pages).toContain("N = 16000: PyTorch would need about 30 GiB.");
    expect(pages).not.toMatch(/undefined|NaN|null/);
  });

  it("sets features and ranks beside polars', or says why it was not there", () => {
    const own = { name: "panel.dataset", seconds: 1, cpuSeconds: 2 };
    const dataset = { sides: [own, { name: "polars 2.1.0", seconds: 6, cpuSeconds: 12 }], peakBytes: 2 ** 29, residentBytes: 2 ** 28, dates: 10, stocks: 5, rows: 50, delayMs: 7 };
    expect(renderMarkdown({ environment, rows: [], dataset })).toContain("| polars 2.1.0 | 6.00 | 12.00 | 6.0 |");
    expect(renderMarkdown({ environment, rows: [], dataset: { ...dataset, sides: [own], missing: "No module named 'polars'" } })).toContain("polars was not measured: No module named 'polars'.");
  });

  it("says when it was forced, and why that matters", () => {
    expect(renderMarkdown({ environment, rows: [] })).not.toContain("forced");
    expect(renderMarkdown({ environment: { ...environment, forced: true, busyReason: "others use 40 % of 2 cores" }, rows: [] })).toContain("forced (--force): others use 40 % of 2 cores");
  });

  it("says on a GPU what it ran on, what was checked before and what there was no time for", () => {
    const gpu = { ...row, device: "cuda", torchMallocMs: null, ratioMalloc: null, oursPeakMiB: null, ratioSpread: { ratio: spread }, spread: { ours: spread, torch: spread, torchMalloc: null }, bandwidthGBs: 4000, roofline: { ours: 0.5, torch: 0.25, torchMalloc: null } };
    const page = renderMarkdown({
      environment: { ...environment, gpu: "NVIDIA H200", gpuMemoryMiB: 143_771, cuda: "13.0" },
      rows: [gpu],
      checks: [{ step: "sanitize", ok: false, seconds: 61.2, note: "memcheck: 3" }],
      leftOut: [{ config: row.config, mode: "infer" }],
    });
    expect(page).toContain("- GPU: NVIDIA H200, 140 GiB; PyTorch's CUDA 13.0");
    expect(page).toContain("| sanitize | **failed**: memcheck: 3 | 61 |");
    expect(page).toContain("50 % / 25 % of 200 GFLOP/s and 4000 GB/s");
    expect(page).toContain("Left out for want of time: 300,20,21,4 infer.");
    expect(page).not.toMatch(/undefined|NaN|null|memory settings/);
  });

  it("prints a column for torch.compile only where it was measured", () => {
    expect(renderMarkdown({ environment, rows: [row] })).not.toContain("torch.compile ms");
    expect(renderMarkdown({ environment, rows: [{ ...row, torchCompileMs: 15, ratioCompile: 1.5, spread: { ...row.spread, torchCompile: spread } }] })).toContain("torch.compile ms");
  });

  it("prints columns for CUDA graphs only where they were measured, and why they were not", () => {
    expect(renderMarkdown({ environment, rows: [row] })).not.toContain("graphs");
    const page = renderMarkdown({ environment, rows: [{ ...row, oursGraphMs: 10, ratioGraph: 1.25, spread: { ...row.spread, oursGraph: spread } }] });
    expect(page).toMatch(/as CUDA graphs ms .* ratio, graphs/);
    expect(page).toContain("| 1.25 |");
    expect(renderMarkdown({ environment, rows: [{ ...row, oursGraphFailed: "refused\nwith a stack" }] })).toContain("300,20,21,4 without CUDA graphs: refused\n");
  });
});

describe("surroundings", () => {
  it("names the result's file after the processor", () => {
    expect(shortCpuName("Intel(R) Xeon(R) Processor")).toBe("intel-xeon");
    expect(shortCpuName("AMD EPYC 7763 64-Core Processor")).toBe("amd-epyc-7763");
    expect(shortCpuName("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz")).toBe("intel-core-i7-8550u");
  });

  it("keeps the scratch environment in the user's cache, one per PyTorch release", () => {
    expect(scratchFolder("2.15.0", { XDG_CACHE_HOME: "/somewhere" })).toBe("/somewhere/astgnn/bench-torch-2.15.0");
    expect(scratchFolder("2.15.0", {})).toMatch(/\.cache\/astgnn\/bench-torch-2\.15\.0$/);
  });

  const copy = new URL("../../scripts/reference/astgnn_pytorch.py", import.meta.url);
  const original = new URL("../../../shared/reference/astgnn_pytorch.py", import.meta.url);
  it.skipIf(!existsSync(original))("runs the same peer from the repository alone (skipped without ../shared)", () => {
    expect(readFileSync(copy, "utf8")).toBe(readFileSync(original, "utf8"));
  });
});
