import { spawnSync } from "node:child_process";
import { closeSync, copyFileSync, mkdtempSync, openSync, readFileSync, readdirSync, renameSync, statSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, clusters, explain, openPack, openPanel, pack, train, type Dataset, type DatasetOptions, type ModelOptions, type TrainOptions } from "../../lib/index.js";
import { CHUNK_DATES, readHeader } from "../../lib/data/pack/format.js";
import { labelExposures } from "../../lib/data/exposures.js";
import { basisOf } from "../../lib/data/loadings.js";
import { nativePanel } from "../../lib/data/native-panel.js";
import { csv, Folder, priceRows, weekdays } from "../unit/data-tables.js";
import { astgnn } from "./cli-capture.js";
import { weightsOf } from "./weights-of.js";

const folder = new Folder();
afterAll(() => folder.remove());

const DAYS = 320;
const days = weekdays(DAYS);
/** Tickers of which some leave and others join. */
const rows = priceRows({ days: DAYS, stocks: 24 }).filter(({ ticker, date }) => Number(ticker.slice(1)) % 3 === 0 || (Number(ticker.slice(1)) % 3 === 1 ? date < days[170]! : date >= days[172]!));
const groups = { file: folder.write("groups.csv", `ticker,group\n${Array.from({ length: 24 }, (_, n) => `S${String(n).padStart(3, "0")},g${n % 4}`).join("\n")}\n`) };
const edges = { file: folder.write("edges.csv", "ticker,neighbor\nS000,S003\nS003,S006\nS004,S000\n") };
const prices = folder.write("prices.csv", csv(rows));
const quiet = { onWarning: () => {} };
const panel = await openPanel(prices, { groups, edges, ...quiet });
const samples = { window: 5, label: { horizonDays: [1, 3], lagDays: 1 }, maxDropped: 0.5, graph: "groups", maxMissingDates: 1 } as const satisfies Partial<DatasetOptions>;
const split = { trainEnd: days[260]!, validEnd: days[290]! };
const small: ModelOptions = { sequentialInputSize: 20, gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], numPredictions: 2, similarityScale: 4 };
const file = join(folder.path, "market.pack");
const packed = await pack(panel, { ...samples, out: file });

/** All that a training takes from a dataset. */
function contentsOf(dataset: Dataset) {
  const { dates, tickers, featureNames, window, requiredHistory, horizons, lagDays, features, rowOffsets, rowStocks, labels, targets, returns, graph, groups, groupNames, edges, fingerprint, digests } = dataset;
  const targetsOfRows = dates.map((_, t) => Array.from(rowStocks.subarray(rowOffsets[t], rowOffsets[t + 1]), (n) => [...targets.subarray((t * tickers.length + n) * horizons.length, (t * tickers.length + n + 1) * horizons.length)]));
  const splits = [dataset.train, dataset.valid, dataset.test, dataset.unlabelled].map(({ dateIndices, dates, labels }) => ({ dateIndices, dates, labels }));
  return { dates, tickers, featureNames, window, requiredHistory, horizons, lagDays, features, rowOffsets, rowStocks, labels, targetsOfRows, returns, graph, groups, groupNames, edges, fingerprint, digests, splits, options: dataset.options, splitSummary: dataset.splitSummary, description: dataset.describe() };
}

async function trained(dataset: Dataset, options: TrainOptions = {}) {
  const model = new ASTGNNFactorModel({ ...small, sequentialInputSize: dataset.featureNames.length });
  const stepped: number[] = [];
  await train(model, dataset, { epochs: 2, threads: 1, seed: 5, loss: { terms: [{ name: "ic" }, { name: "coMovement", weight: 0.1, horizonDays: 3 }] }, ...quiet, onStep: ({ loss }) => void stepped.push(loss), ...options });
  const { predictions, riskFactors } = await model.predict(dataset.test, { threads: 1, riskFactors: true });
  return { weights: weightsOf(model), stepped, predictions, riskFactors };
}

describe("a packed dataset", () => {
  it("is the panel's dataset with any split, its features in the file", async () => {
    expect(packed).toMatchObject({ file, dates: DAYS, stocks: 24, slots: 16, features: 20, bytes: statSync(file).size });
    const opened = await openPack(file);
    for (const more of [{ split }, { split: { fractions: [0.5, 0.25, 0.25] as const, start: days[200]! }, embargo: 2 }, { split: { trainEnd: days[280]!, testEnd: days[300]! } }]) {
      const [own, same] = [await opened.dataset(more), await panel.dataset({ ...samples, ...more })];
      const [found, expected] = [contentsOf(own), contentsOf(same)];
      for (const name of Object.keys(expected) as (keyof typeof expected)[]) expect({ [name]: found[name] }).toEqual({ [name]: expected[name] });
      expect(own.ledger.rowsRead).toBe(same.ledger.rowsRead);
      own.dispose();
    }
    expect(readdirSync(folder.path).filter((name) => name.includes("partial"))).toEqual([]);
  });

  it("in 16-bit ranks is the same dataset in half the space, and trains to the same bits", async () => {
    const out = join(folder.path, "ranks.pack");
    const size = async (path: string): Promise<number> => (await readHeader(path)).sections.features!.shape.reduce((a, b) => a * b);
    expect((await pack(panel, { ...samples, store: "rank16", out })).bytes).toBe(statSync(out).size);
    expect(statSync(file).size - statSync(out).size).toBeGreaterThan(1.9 * (await size(out)) - 4 * DAYS * 20 - 4096);
    const opened = await openPack(out);
    const [own, same] = [await opened.dataset({ split }), await (await openPack(file)).dataset({ split })];
    expect(contentsOf(own)).toEqual(contentsOf(same));
    // Dates of a step that are apart, and windows that overlap.
    for (const options of [{}, { datesPerStep: 3 }, { datesPerStep: 3, reduction: "fast" as const }]) expect(await trained(own, options)).toEqual(await trained(same, options));
    // Those that read windows and features of a date by themselves.
    using model = new ASTGNNFactorModel(small);
    const date = days[290]!;
    const asked = async (dataset: Dataset): Promise<unknown> => [await explain(model, dataset, { date, ticker: "S003" }), await clusters(model, dataset, { date, onWarning: () => {} })];
    expect(await asked(own)).toEqual(await asked(same));
  });

  it("in 16-bit ranks moves what labels are neutral to, and refuses features that are no ranks", async () => {
    const out = join(folder.path, "neutral-ranks.pack");
    const options = { ...samples, features: "ohlcv", labelTransform: { neutralise: ["style"] }, maxDropped: 1 } as const;
    await pack(panel, { ...options, store: "rank16", out });
    await pack(panel, { ...options, out: `${out}.float.pack` });
    const [own, same] = [await (await openPack(out)).dataset({ split }), await (await openPack(`${out}.float.pack`)).dataset({ split })];
    expect(contentsOf(own)).toEqual(contentsOf(same));
    expect(labelExposures(own)!.native!.toTypedArray()).toEqual(labelExposures(same)!.native!.toTypedArray());
    await expect(pack(panel, { ...samples, processors: ["zscore", { name: "fill", value: 0 }], store: "rank16", out })).rejects.toMatchObject({
      code: "ERR_DATA", option: "store", column: expect.any(String) as string, message: expect.stringMatching(/^Feature \S+ on 20\d\d-\d\d-\d\d is not made of ranks among at most 32,767 stocks/) as string,
    });
    await expect(pack(panel, { ...samples, store: "rank8" as never, out })).rejects.toMatchObject({ code: "ERR_OPTION", option: "store" });
    expect(readdirSync(folder.path).filter((name) => name.includes("partial"))).toEqual([]);
  });

  it("is the same file where the panel lies in files too, which are gone then", async () => {
    const scratched = await openPanel(prices, { groups, edges, scratch: folder.path, ...quiet });
    expect(readdirSync(folder.path).filter((name) => name.includes("scratch"))).toEqual([]);
    expect(scratched.fingerprint).toBe(panel.fingerprint);
    for (const features of ["ohlcv", ["volume", "style", "ohlcv"]] as const) {
      const [a, b] = [join(folder.path, "a.pack"), join(folder.path, "b.pack")];
      await pack(panel, { ...samples, features, maxDropped: 1, out: a });
      await pack(scratched, { ...samples, features, maxDropped: 1, out: b });
      expect(readFileSync(b).equals(readFileSync(a))).toBe(true);
    }
    await expect(openPanel(prices, { scratch: join(folder.path, "nowhere"), ...quiet })).rejects.toMatchObject({ code: "ERR_DATA", option: "scratch", message: expect.stringContaining("No such file") as string });
  });

  it("holds what was fitted on training dates, for these alone", async () => {
    const out = join(folder.path, "fitted.pack");
    const options = { ...samples, processors: ["winsorize", "standardize", { name: "fill", value: "median" }] } as const;
    await pack(panel, { ...options, split: { trainEnd: split.trainEnd }, out });
    const opened = await openPack(out);
    for (const more of [{ split }, { split: { ...split, validEnd: days[280]! }, embargo: 1 }]) {
      using own = await opened.dataset(more);
      expect(contentsOf(own)).toEqual(contentsOf(await panel.dataset({ ...options, ...more })));
    }
    await expect(opened.dataset({ split: { ...split, trainEnd: days[259]! } })).rejects.toMatchObject({ code: "ERR_OPTION", option: "split", message: expect.stringMatching(/were fitted on the training dates .*, and those of this split are/) as string });
    await expect(pack(panel, { ...samples, split, out })).rejects.toMatchObject({ code: "ERR_OPTION", option: "split" });
  });

  it("holds loadings and what labels were made neutral to", async () => {
    const out = join(folder.path, "neutral.pack");
    const options = { ...samples, maxDropped: 1, features: ["volume", "loadings"], loadings: { window: 40, halfLife: 20, count: 3 }, labelTransform: { neutralise: ["loadings", "groups", "close"] } } as const;
    await pack(panel, { ...options, preset: "momentum", out });
    const opened = await openPack(out);
    expect(opened.preset).toBe("momentum");
    using own = await opened.dataset({ split });
    const memory = await panel.dataset({ ...options, split });
    expect(contentsOf(own)).toEqual(contentsOf(memory));
    expect(basisOf(own.describe())).toEqual(basisOf(memory.describe()));
    const exposuresOf = (dataset: Dataset) => {
      const { names, groups, of, holds } = labelExposures(dataset)!;
      return { names, count: groups!.count, byDate: dataset.dates.map((_, t) => ({ holds: holds(t), values: holds(t) ? of(t) : undefined, groups: groups!.of(t) })) };
    };
    expect(exposuresOf(own)).toEqual(exposuresOf(memory));
    await expect(trained(own)).resolves.toEqual(await trained(memory, { shuffle: "chunks" }));
  });

  it("trains to the bits of the dataset in memory where the order is the same, with blocks of dates too", async () => {
    const opened = await openPack(file);
    for (const options of [{}, { datesPerStep: 3, loss: { terms: [{ name: "ic" }, { name: "turnover", weight: 0.1 }] } }] satisfies TrainOptions[]) {
      using dataset = await opened.dataset({ split });
      const own = await trained(dataset, options);
      const memory = await panel.dataset({ ...samples, split });
      expect(own).toEqual(await trained(memory, { ...options, shuffle: "chunks" }));
      expect((await trained(memory, options)).stepped).not.toEqual(own.stepped);
    }
  });

  it("goes on with a run that was begun in memory, and its files are those of memory", async () => {
    const memory = await panel.dataset({ ...samples, split });
    using dataset = await (await openPack(file)).dataset({ split });
    const recipe = { epochs: 2, threads: 1, seed: 7, shuffle: "chunks", datesPerStep: 4, checkpointSteps: 10, ...quiet } as const satisfies TrainOptions;
    const [straight, broken] = [join(folder.path, "straight"), join(folder.path, "broken")];
    await train(new ASTGNNFactorModel(small), memory, { ...recipe, out: straight });
    const stopped = new AbortController();
    const onStep = ({ step }: { step: number }): void => { if (step === 30) stopped.abort(); };
    await expect(train(new ASTGNNFactorModel(small), memory, { ...recipe, out: broken, signal: stopped.signal, onStep })).rejects.toMatchObject({ code: "ERR_ABORTED" });
    await train(new ASTGNNFactorModel(small), dataset, { ...recipe, out: broken, resume: true });
    for (const name of ["last.safetensors", "model.safetensors"]) expect(readFileSync(join(broken, name)).equals(readFileSync(join(straight, name))), name).toBe(true);
  });

  it("is not written to by who writes to its arrays", async () => {
    const before = readFileSync(file);
    using dataset = await (await openPack(file)).dataset({ split });
    dataset.labels.fill(1);
    dataset.features.fill(1);
    dataset.returns!.values.fill(1);
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(nativePanel(dataset, "cpu").bytes).toBeGreaterThan(4 * DAYS * 16 * 20);
  });

  it("leaves nothing where it cannot be packed, and the file before as it is", async () => {
    const before = readFileSync(file);
    await expect(pack(panel, { ...samples, maxDropped: 0, out: file })).rejects.toMatchObject({ code: "ERR_DATA" });
    await expect(pack(panel, { ...samples, processors: ["standardize"], out: file })).rejects.toMatchObject({ code: "ERR_OPTION", option: "processors" });
    const stopped = new AbortController();
    await expect(pack(panel, { ...samples, out: file, signal: stopped.signal, onProgress: () => stopped.abort() })).rejects.toMatchObject({ code: "ERR_ABORTED" });
    expect(readFileSync(file).equals(before)).toBe(true);
    expect(readdirSync(folder.path).filter((name) => name.includes("partial"))).toEqual([]);
  });
});

describe("a packed dataset is refused", () => {
  const damagedCopy = (name: string, at: number, bytes: Uint8Array): string => {
    const copy = join(folder.path, name);
    copyFileSync(file, copy);
    const handle = openSync(copy, "r+");
    writeSync(handle, bytes, 0, bytes.length, at);
    closeSync(handle);
    return copy;
  };

  it("where it is cut", async () => {
    const copy = damagedCopy("cut.pack", 0, new Uint8Array(0));
    const size = statSync(copy).size;
    truncateSync(copy, size - 1);
    await expect(openPack(copy)).rejects.toMatchObject({ code: "ERR_DATA", file: copy, message: expect.stringContaining(`is cut: it has ${size - 1} of ${size} bytes`) as string });
    truncateSync(copy, 20);
    await expect(openPack(copy)).rejects.toThrow(/is no packed dataset/);
    writeFileSync(copy, "date,ticker\n");
    await expect(openPack(copy)).rejects.toThrow(/is no packed dataset/);
    await expect(openPack(join(folder.path, "nowhere.pack"))).rejects.toThrow(/cannot be read: ENOENT/);
  });

  it("where it has another format", async () => {
    await expect(openPack(damagedCopy("format.pack", 8, Uint8Array.of(3)))).rejects.toThrow(/has format 3 of packed datasets; this version reads formats 1 and 2/);
  });

  it("where a byte is another: by name and dates where it is checked", async () => {
    const { sections } = await readHeader(file);
    const { features, rowStocks, labels } = sections;
    const flipped = (at: number): Uint8Array => Uint8Array.of(readFileSync(file)[at]! ^ 1);
    for (const [at, what] of [
      [features!.offset + features!.chunkBytes + 17, `features of ${days[CHUNK_DATES]} to ${days[2 * CHUNK_DATES - 1]}`],
      [labels!.offset + 4 * 24 * 2 * (DAYS - 1), `labels of ${days[256]} to ${days[DAYS - 1]}`],
      [rowStocks!.offset + 100, "rowStocks"],
    ] as const) {
      const copy = damagedCopy("flipped.pack", at, flipped(at));
      await expect(openPack(copy)).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringContaining(`is damaged: ${what} differ from what was written`) as string });
      await expect(openPack(copy, { verify: false })).resolves.toMatchObject({ featureNames: expect.any(Array) as string[] });
    }
    const header = statSync(file).size - 20;
    await expect(openPack(damagedCopy("header.pack", header, flipped(header)), { verify: false })).rejects.toThrow(/is damaged: the header differs/);
  });

  it("where its source has changed, not where that is gone or was only touched", async () => {
    const source = folder.write("source.csv", csv(rows));
    const out = join(folder.path, "source.pack");
    await pack(await openPanel(source, quiet), { window: 5, maxDropped: 0.5, out });
    folder.write("source.csv", csv(rows));
    await openPack(out);
    folder.write("source.csv", csv(rows.slice(1)));
    await expect(openPack(out)).rejects.toMatchObject({ code: "ERR_DATA", file: source, message: expect.stringContaining("has changed since it was packed") as string });
  });

  it("where it was replaced or written to since it was opened", async () => {
    const copy = damagedCopy("replaced.pack", 0, new Uint8Array(0));
    const opened = await openPack(copy);
    (await opened.dataset({ split })).dispose();
    writeFileSync(`${copy}.new`, readFileSync(copy));
    renameSync(`${copy}.new`, copy);
    await expect(opened.dataset({ split })).rejects.toMatchObject({ code: "ERR_DATA", file: copy, message: expect.stringContaining("was replaced or written to since") as string });
  });

  it("where it is cut while it is trained on: the process goes on", () => {
    const copy = damagedCopy("shrinking.pack", 0, new Uint8Array(0));
    const script = `
      import { truncateSync } from "node:fs";
      import { ASTGNNFactorModel, openPack, train } from "${pathToFileURL(resolve("dist/index.js")).href}";
      const dataset = await (await openPack("${copy}")).dataset({ split: ${JSON.stringify(split)} });
      const model = new ASTGNNFactorModel(${JSON.stringify(small)});
      let steps = 0;
      const failure = await train(model, dataset, { epochs: 2, threads: 1, onWarning: () => {}, onStep: () => { if (++steps === 3) truncateSync("${copy}", 8192); } }).catch((error) => error);
      const later = await model.predict(dataset.test).catch((error) => error);
      let read; try { read = dataset.test.labels; } catch (error) { read = error; }
      console.log(JSON.stringify({ failures: [failure, later, read].map(({ code, message }) => ({ code, message })) }));`;
    const { stdout, stderr, signal } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    const cut = { code: "ERR_DATA", message: expect.stringContaining("shrinking.pack was cut, or could not be read, while it was in use") as string };
    expect({ stderr, signal }).toEqual({ stderr: "", signal: null });
    expect(JSON.parse(stdout)).toEqual({ failures: [cut, cut, cut] });
  });

  it("as a table of prices", async () => {
    await expect(openPanel(file)).rejects.toThrow(/is a packed dataset, which has features and no table of prices/);
  });
});

describe("astgnn pack", () => {
  const out = join(folder.path, "cli.pack");
  const width = ["--gru-hidden-size", "8", "--gat-hidden-size", "8", "--gat-num-heads", "2", "--residual-hidden-size", "8", "--num-risk-factors", "4", "--tgc-hidden-size", "8", "--tgc-output-size", "8", "--prediction-hidden-sizes", "8"];
  const fitted = ["--train-end", days[260]!, "--valid-end", days[290]!, "--epochs", "1", "--threads", "1", ...width];

  it("writes what astgnn train --data FILE.pack trains on", async () => {
    const { code, out: printed, err } = await astgnn("pack", "--data", prices, "--window", "5", "--max-dropped", "0.5", "--store", "rank16", "--out", out, "--json");
    expect({ code, err }).toEqual({ code: 0, err: expect.any(String) as string });
    expect(JSON.parse(printed)).toMatchObject({ file: out, dates: DAYS, stocks: 24 });
    expect((await readHeader(out)).sections.features!.type).toBe("uint16");
    const run = join(folder.path, "run");
    const done = await astgnn("train", "--data", out, ...fitted, "--out", run);
    expect(done).toMatchObject({ code: 0, out: expect.stringContaining("the run is in") as string });
    const { source, training, fingerprint } = JSON.parse(readFileSync(join(run, "run.json"), "utf8")) as Record<string, unknown>;
    const inMemory = await (await openPanel(prices, quiet)).dataset({ window: 5, maxDropped: 0.5, split });
    expect({ source, training, fingerprint }).toMatchObject({ source: out, training: { shuffle: "chunks" }, fingerprint: inMemory.fingerprint });
  });

  it.each([
    [["--window", "6"], /--window is decided by the packed dataset/],
    [["--groups", "groups.csv"], /--groups is decided by the packed dataset/],
    [["--preset", "alpha"], /--preset also says how samples are made, and .*cli.pack was packed with none/],
  ])("leaves to train the split alone: %o", async (more, message) => {
    const { code, err } = await astgnn("train", "--data", out, ...fitted, ...more);
    expect({ code, err }).toEqual({ code: 2, err: expect.stringMatching(message) as string });
  });

  // A disk of its own takes a name space of mounts, which not every machine lets a user make.
  it.skipIf(spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "none", folder.path]).status !== 0)("leaves nothing on a disk that is full", () => {
    for (const [kilobytes, message] of [[100, /has no room for a file of 1 MB: No space left on device/], [600, /full.pack cannot be written: .*No space left on device/]] as const) {
      const disk = mkdtempSync(join(folder.path, "disk"));
      const pack = `node dist/cli/main.js pack --data ${prices} --window 5 --max-dropped 0.5 --out ${disk}/full.pack`;
      const { stdout, stderr } = spawnSync("unshare", ["-rm", "sh", "-c", `mount -t tmpfs -o size=${kilobytes}k none ${disk} && ${pack}; echo $? $(ls -A ${disk})`], { encoding: "utf8" });
      expect({ stdout, stderr }).toEqual({ stdout: "1\n", stderr: expect.stringMatching(message) as string });
    }
  });

  it("names what is missing", async () => {
    expect((await astgnn("pack", "--data", prices)).err).toMatch(/Nothing says where the packed dataset goes. Add --out FILE.pack/);
    expect((await astgnn("pack", "--data", prices, "--out", "x")).err).toMatch(/does not end in .pack/);
    expect((await astgnn("train", "--data", out)).err).toMatch(/Nothing says where training ends/);
  });
});
