import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { simulateMarket, SIMULATED_FEATURES, writeSimulatedMarket } from "../../lib/demo/simulate.js";
import { ASTGNNFactorModel, audit, openPanel, Panel, train, type Audit, type Dataset, type DatasetOptions, type Finding, type FindingCode, type PanelDataOptions, type TrainOptions } from "../../lib/index.js";
import { randomBits } from "../../lib/metrics/random.js";
import { astgnn } from "./cli-capture.js";

const clean = simulateMarket({ seed: 3, stocks: 48, dates: 320 });
const [D, N] = [clean.dates.length, clean.tickers.length];
/** One a week: six years in which stocks have time to leave. */
const dates = clean.dates.map((_, t) => new Date(Date.UTC(2010, 0, 4 + 7 * t)).toISOString().slice(0, 10));
const split = { trainEnd: dates[190]!, validEnd: dates[240]! };
const options = { features: SIMULATED_FEATURES, window: 4, processors: ["zscore", "fill"], label: { horizonDays: 1, lagDays: 1 }, split, maxDropped: 1 } satisfies DatasetOptions;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "astgnn-audit-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

type Planted = Readonly<Record<string, (cell: number) => number>>;
const isListed = (cell: number): boolean => clean.listed[cell] === 1;

/** The simulated market with columns planted, and rows where `isRow` says so. */
function market(planted: Planted = {}, isRow = isListed, panelOptions: PanelDataOptions = {}): Promise<Panel> {
  const valueOf = Object.fromEntries([...clean.columns].map(([name, values]) => [name, (cell: number) => values[cell]!]));
  const columns = Object.fromEntries(Object.entries({ ...valueOf, ...planted }).map(([name, at]) => [name, Float64Array.from({ length: D * N }, (_, cell) => (isRow(cell) || name === "member" ? at(cell) : NaN))]));
  return Panel.from({ dates, tickers: clean.tickers, columns }, { onWarning: () => {}, maxDropped: 1, ...panelOptions });
}

/** The simulated market as a file. */
async function written(name: string, planted: Readonly<Record<string, Float64Array>> = {}, listed = clean.listed): Promise<string> {
  const file = join(folder, name);
  await writeSimulatedMarket({ ...clean, dates, listed, columns: new Map([...clean.columns, ...Object.entries(planted)]) }, file);
  return file;
}

/** A small run on a dataset; returns its folder. */
async function trained(dataset: Dataset, name: string, more: TrainOptions = {}): Promise<string> {
  using model = new ASTGNNFactorModel({ sequentialInputSize: dataset.featureNames.length, gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4] });
  const out = join(folder, name);
  await train(model, dataset, { epochs: 1, threads: 1, out, onWarning: () => {}, ...more });
  return out;
}

/** What checks read of a dataset, as an object of its own. */
const plain = ({ dates: all, lagDays, train: first, valid, test, options: stored, labels }: Dataset): object => ({ dates: all, lagDays, train: first, valid, test, options: stored, labels });

async function audited(panel: Promise<Panel>, more: Partial<DatasetOptions> = {}): Promise<Audit> {
  return audit(await panel, { ...options, ...more } as DatasetOptions);
}

const only = ({ findings }: Audit, code: FindingCode): Finding => {
  expect(findings.map((finding) => finding.code)).toEqual([code]);
  return findings[0]!;
};

/** Close-to-close return from entry on the next date, as the label has it. */
const label = (cell: number): number => clean.columns.get("close")![cell + 2 * N]! / clean.columns.get("close")![cell + N]! - 1;
const column = (name: string) => clean.columns.get(name)!;
const ofStock = (name: string, n: number): number[] => Array.from({ length: D }, (_, t) => t * N + n).filter((cell) => clean.listed[cell] === 1).map((cell) => column(name)[cell]!);

describe("An audit of clean simulated data", () => {
  it("finds nothing", async () => {
    const result = await audited(market());
    expect(result).toMatchObject({ passed: true, findings: [] });
    expect(result.checks).toHaveLength(10);
  });

  it("takes no feature of the past for a leak: past returns, a running maximum, clipped values, calendars, moments of the market", async () => {
    const close = column("close");
    const highest = close.slice();
    for (let cell = N; cell < D * N; cell++) highest[cell] = Math.max(highest[cell]!, highest[cell - N]!);
    const planted: Planted = {
      old_label: (cell) => (cell < 2 * N ? NaN : label(cell - 2 * N)),
      of_running_maximum: (cell) => close[cell]! / highest[cell]!,
      clipped: (cell) => Math.max(-1, Math.min(1, column("news")[cell]!)),
      weekday: (cell) => Math.floor(cell / N) % 5,
      index: (cell) => Math.sin(Math.floor(cell / N)),
      since_first: (cell) => close[cell]! / close[cell % N]!,
    };
    const result = await audited(market(planted), { features: [...SIMULATED_FEATURES, ...Object.keys(planted)] });
    expect(result.findings).toEqual([]);
  });
});

describe("The future probe", () => {
  afterEach(() => vi.restoreAllMocks());

  /** Datasets whose feature `news` is that of the next date. */
  const lookAhead = async (): Promise<void> => {
    const cut = Panel.prototype.dataset;
    vi.spyOn(Panel.prototype, "dataset").mockImplementation(async function (this: Panel, written) {
      const dataset = await cut.call(this, written);
      const [F, f] = [dataset.featureNames.length, dataset.featureNames.indexOf("news")];
      const features = dataset.features.map((value, i, all) => (i % F === f ? (all[i + N * F] ?? value) : value));
      const own = new Map<PropertyKey, unknown>([["features", features]]);
      const bound = (value: unknown): unknown => (typeof value === "function" ? value.bind(dataset) : value);
      return new Proxy(dataset, { get: (_, name) => own.get(name) ?? bound(Reflect.get(dataset, name, dataset)) });
    });
  };

  it("fails where inputs read the next date, and names them", async () => {
    const panel = market();
    await lookAhead();
    const [finding] = (await audited(panel)).findings;
    expect(finding).toMatchObject({ code: "future_read", severity: "fail", columns: ["news"], dates: expect.arrayContaining([expect.any(String)]), value: 20 });
    expect(finding!.text).toBe("On 20 of 20 probed dates the inputs changed when the values of all later dates were replaced.");
  });

  it("fails where a model reads what it should not, and names predictions and M", async () => {
    const panel = await openPanel(await written("probe.csv"), { onWarning: () => {} });
    const dataset = await panel.dataset(options);
    await trained(dataset, "probe/run");
    const predict = ASTGNNFactorModel.prototype.predict;
    vi.spyOn(ASTGNNFactorModel.prototype, "predict").mockImplementation(async function (this: ASTGNNFactorModel, input, how) {
      const result = await predict.call(this, input, how);
      // The whole panel's last date is one that no probe's copy has.
      const { dates: all } = (input as { dataset: Dataset }).dataset;
      if (all.at(-1) === dates.at(-1)) result.predictions.data[result.predictions.data.findIndex((value) => !Number.isNaN(value))]! += 1e-6;
      return result;
    });
    const [finding] = (await audit(join(folder, "probe/run"))).findings;
    expect(finding).toMatchObject({ code: "future_read", severity: "fail" });
    expect(finding!.text).toMatch(/^On \d+ of 20 probed dates the predictions changed/);
  });

  it("is silent on every set of features", async () => {
    const close = column("close");
    const bars: Planted = { open: (cell) => close[cell]! * 0.99, high: (cell) => close[cell]! * 1.01, low: (cell) => close[cell]! * 0.98, volume: (cell) => 1000 + ((cell * 37) % 91) };
    const panel = market(bars);
    for (const more of [{ features: ["ohlcv", "news"], processors: ["standardize", { name: "fill", value: "median" }] }, { features: ["loadings"], loadings: { count: 2, window: 40 }, processors: undefined }] as Partial<DatasetOptions>[]) {
      expect((await audited(panel, more)).findings.filter(({ severity }) => severity === "fail")).toEqual([]);
    }
  });
});

describe("Labels that reach across splits", () => {
  const overDates = (count: number) => (cell: number): number => column("close")[cell + count * N]! / column("close")[cell]! - 1;

  it("fail where a label column looks at more dates than it is said to", async () => {
    const panel = market({ target: overDates(5) });
    const result = await audited(panel, { label: { column: "target", horizonDays: 1 } });
    expect(only(result, "label_span_understated")).toMatchObject({ severity: "fail", columns: ["target"], value: 5, threshold: 1 });
    expect((await audited(panel, { label: { column: "target", horizonDays: 5 }, embargo: 5 })).findings).toEqual([]);
  });

  it("warn where such a column is of no stated price, and note an embargo below the span", async () => {
    const sum = (cell: number): number => [1, 2, 3, 4, 5].reduce((total, k) => total + column("news")[cell + k * N]!, 0);
    const panel = market({ target: sum });
    expect(only(await audited(panel, { features: ["style1", "style2"], label: { column: "target", horizonDays: 1 } }), "labels_overlap")).toMatchObject({ severity: "warn" });
    expect(only(await audited(panel, { features: ["style1", "style2"], label: { column: "target", horizonDays: 5 } }), "short_embargo")).toMatchObject({ severity: "note", value: 0, threshold: 5 });
  });

  it("fail where splits overlap", async () => {
    const panel = await market();
    const dataset = await panel.dataset(options);
    const { labelWindows } = await import("../../lib/evaluate/audit/label-windows.js");
    const subject = { panel, dataset: { ...plain(dataset), labels: new Float32Array(D * N).fill(NaN), horizons: [3] } } as unknown as Parameters<typeof labelWindows>[0];
    expect(labelWindows(subject).map(({ code, value }) => [code, value])).toEqual([["splits_overlap", 2], ["splits_overlap", 2], ["short_embargo", 0]]);
  });
});

it("Returns of co-movement that reach into the labels of the next split fail", async () => {
  const panel = await market();
  const dataset = await panel.dataset({ ...options, label: { horizonDays: 3, lagDays: 1 }, embargo: 4 });
  const { labelWindows } = await import("../../lib/evaluate/audit/label-windows.js");
  const found = (further: number) => {
    const returns = { ...dataset.returns!, ends: dataset.returns!.ends.map((end) => (end < 0 ? end : end + further)) };
    return labelWindows({ panel, dataset: { ...plain(dataset), horizons: dataset.horizons, tickers: dataset.tickers, returns } } as unknown as Parameters<typeof labelWindows>[0]).filter(({ code }) => code === "co_movement_reach");
  };
  expect(found(0)).toEqual([]);
  // The embargo holds the labels that much further away.
  expect(found(4)).toEqual([]);
  expect(found(6)).toMatchObject([{ severity: "fail", value: 2, text: expect.stringContaining("of train look at go on for 2 dates after labels of valid begin") }, { value: 2 }]);
});

it("Labels that are not the return over their days fail", async () => {
  const panel = await market();
  const dataset = await panel.dataset(options);
  const { labelWindows } = await import("../../lib/evaluate/audit/label-windows.js");
  const of = (shift: number) => ({ panel, dataset: { ...plain(dataset), tickers: dataset.tickers, horizons: [1], labels: dataset.labels.map((_, i, all) => all[i + shift * N] ?? NaN) } }) as unknown as Parameters<typeof labelWindows>[0];
  expect(labelWindows(of(0))).toEqual([]);
  expect(labelWindows(of(1))).toMatchObject([{ code: "wrong_labels", severity: "fail" }]);
});

describe("Statistics of processors", () => {
  it("fail where they are not those of the training dates", async () => {
    const panel = await market({ trend: (cell) => column("news")[cell]! + Math.floor(cell / N) / 50 });
    const features = { ...options, features: ["trend", "news"], processors: ["winsorize", "standardize", { name: "fill", value: "median" }] as const };
    const description = (await panel.dataset(features)).describe();
    expect((await audit(panel, { description, split, maxDropped: 1 })).findings).toEqual([]);
    const everything = (await panel.dataset({ ...features, split: { fractions: [1, 0, 0] } })).describe();
    const { findings } = await audit(panel, { description: everything, split, maxDropped: 1 });
    expect(findings.map(({ code, severity, columns }) => [code, severity, columns!.includes("trend")])).toEqual([["processor_statistics", "fail", true], ["processor_statistics", "fail", true]]);
    expect(findings[0]!.text).toMatch(/^Statistics of standardize are not those of the training dates, by up to [\d.]+ standard deviations of the feature \(trend\)\.$/);
  });
});

describe("Groups and edges that know the end", () => {
  const file = async (name: string, lines: readonly string[]): Promise<string> => {
    await writeFile(join(folder, name), `${lines.join("\n")}\n`);
    return join(folder, name);
  };

  it("warn where they are the same on all dates and used, and not where they have dates", async () => {
    const groups = await file("constant.csv", ["ticker,group", ...clean.tickers.map((ticker, n) => `${ticker},G${n % 4}`)]);
    const edges = await file("edges.csv", ["ticker,neighbor", ...clean.tickers.slice(1).map((ticker, n) => `${clean.tickers[n]},${ticker}`)]);
    expect(only(await audited(market({}, isListed, { groups: { file: groups } }), { graph: "groups" }), "groups_of_one_date")).toMatchObject({ severity: "warn" });
    expect(only(await audited(market({}, isListed, { edges: { file: edges } }), { graph: "edges" }), "edges_of_one_date")).toMatchObject({ severity: "warn" });
    const dated = await file("dated.csv", ["ticker,group,from,to", ...clean.tickers.flatMap((ticker, n) => [`${ticker},G${n % 4},${dates[0]},${dates[150]}`, `${ticker},G${n % 5},${dates[151]},${dates[D - 1]}`])]);
    expect((await audited(market({}, isListed, { groups: { file: dated } }), { graph: "groups" })).findings).toEqual([]);
  });

  it("fail where groups are the clusters of the test's returns, with and without other industries before, and not where they are industries", async () => {
    const industries = await file("industries.csv", ["ticker,group", ...clean.tickers.map((ticker, n) => `${ticker},I${clean.industries[n]}`)]);
    expect(only(await audited(market({}, isListed, { groups: { file: industries } })), "groups_of_one_date").severity).toBe("note");
    for (const count of [1, 3]) {
      // Stocks that change their company before the test begins: nobody could know then with whom they will move.
      const returnsOf = (kinds: number, seed: number) => simulateMarket({ seed, stocks: N, dates: D, industries: kinds, spillover: 0 }).columns.get("day_return")!;
      const [before, after] = [returnsOf(count, 9), returnsOf(6, 10)];
      const returns = before.map((value, cell) => (cell < 242 * N ? value : after[cell]!));
      const close = returns.slice();
      close.forEach((_, cell) => (close[cell] = (cell < N ? 100 : close[cell - N]!) * (1 + (Number.isNaN(returns[cell]!) ? 0 : returns[cell]!))));
      const late = clean.tickers.map((_, n) => Array.from({ length: D - 242 }, (_, i) => returns[(242 + i) * N + n]!));
      const average = late[0]!.map((_, i) => mean(late.map((row) => row[i]!)));
      const own = late.map((row) => row.map((value, i) => value - average[i]!));
      // Clusters by k-means.
      let groups = Array.from({ length: 8 }, (_, g) => own.filter((_, n) => n % 8 === g));
      for (let step = 0; step < 20; step++) {
        const centres = groups.map((rows) => average.map((_, i) => (rows.length === 0 ? Math.sin(i) : mean(rows.map((row) => row[i]!)))));
        const nearest = own.map((row) => centres.map((centre) => correlation(row, centre)).reduce((best, value, g, all) => (value > all[best]! ? g : best), 0));
        groups = groups.map((_, g) => own.filter((_, n) => nearest[n] === g));
      }
      const clustered = await file(`clustered-${count}.csv`, ["ticker,group", ...groups.flatMap((members, g) => members.map((row) => `${clean.tickers[own.indexOf(row)]},C${g}`))]);
      const found = (await audited(market({ close: (cell) => close[cell]! }, isListed, { groups: { file: clustered } }))).findings;
      expect(found).toMatchObject([{ code: "groups_fit_test", severity: "fail", threshold: 0.15 }, { code: "groups_of_one_date", severity: "note" }]);
    }
  });
});

describe("Epochs and settings chosen on the test", () => {
  let dataset: Dataset;
  beforeAll(async () => {
    dataset = await (await openPanel(await written("chosen.csv"), { onWarning: () => {} })).dataset(options);
  });
  const rewrite = async (file: string, change: (content: Record<string, unknown>) => object): Promise<void> => writeFile(file, JSON.stringify(change(JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>)));

  it("fail where another epoch is kept than the validation's best, or one that it did not see", async () => {
    const out = await trained(dataset, "epochs/run", { epochs: 3 });
    expect((await audit(out)).findings).toEqual([]);
    const { bestEpoch } = JSON.parse(await readFile(join(out, "run.json"), "utf8")) as { bestEpoch: number };
    await rewrite(join(out, "run.json"), (run) => ({ ...run, bestEpoch: (bestEpoch % 3) + 1 }));
    const other = only(await audit(out), "epoch_not_by_validation");
    expect(other.text).toMatch(new RegExp(`keeps the weights of epoch ${(bestEpoch % 3) + 1}, and epoch ${bestEpoch} has the best ic of the validation\\.$`));
    await rewrite(join(out, "run.json"), (run) => ({ ...run, bestEpoch: 7 }));
    expect(only(await audit(out), "epoch_not_by_validation").text).toContain("which metrics.jsonl, with 3 epochs, does not know.");
  });

  it("warn where there is a test and no validation", async () => {
    const panel = await openPanel(await written("unvalidated.csv"), { onWarning: () => {} });
    const out = await trained(await panel.dataset({ ...options, split: { trainEnd: split.trainEnd } }), "unvalidated/run");
    expect(only(await audit(out), "no_validation").severity).toBe("warn");
  });

  it("warn where a run stands out among others on the test and not on the validation", async () => {
    const out = await trained(dataset, "tried/own");
    const ics = async (name: string, valid: number, test: number): Promise<void> =>
      rewrite(join(folder, "tried", name, "report.json"), (report) => {
        const daily = (ic: number) => ({ dates: ["2015-01-05", "2015-01-12"], ic: [ic - 0.01, ic + 0.01] });
        return { ...report, daily: { valid: daily(valid), test: daily(test) }, ...(name === "own" ? { valid: { ic: valid }, test: { ic: test } } : {}) };
      });
    await ics("own", 0.02, 0.09);
    for (let k = 1; k < 5; k++) {
      await cp(out, join(folder, "tried", `other${k}`), { recursive: true });
      await rewrite(join(folder, "tried", `other${k}`, "run.json"), (run) => ({ ...run, training: { ...(run["training"] as object), learningRate: k / 1000 + 1e-5 } }));
      await ics(`other${k}`, 0.03 + k / 100, 0.01 * k);
    }
    const finding = only(await audit(out), "best_on_test");
    expect(finding.text).toMatch(/^Of 5 configurations beside .*own it has the highest test IC and is number 5 by validation IC/);
    await ics("own", 0.2, 0.09);
    expect((await audit(out)).findings).toEqual([]);
  });
});

describe("Training on shuffled labels", () => {
  afterEach(() => vi.restoreAllMocks());

  it("finds nothing in a run, and fails where scoring sees the labels", async () => {
    const dataset = await (await openPanel(await written("shuffled.csv"), { onWarning: () => {} })).dataset(options);
    const out = await trained(dataset, "shuffled/run");
    const result = await audit(out, { shuffled: true });
    expect(result).toMatchObject({ passed: true, findings: [] });
    expect(result.checks.slice(-2)).toEqual(["training on shuffled labels", "training in reversed time"]);
    const predict = ASTGNNFactorModel.prototype.predict;
    vi.spyOn(ASTGNNFactorModel.prototype, "predict").mockImplementation(async function (this: ASTGNNFactorModel, input, how) {
      const scored = await predict.call(this, input, how);
      if ("labels" in input && "dateIndices" in input) scored.predictions.data.forEach((value, i, all) => (all[i] = value + 10 * input.labels.data[i]!));
      return scored;
    });
    expect(only(await audit(out, { shuffled: true }), "shuffled_labels")).toMatchObject({ severity: "fail", threshold: 4 });
    expect(await astgnn("audit", "--data", join(folder, "shuffled.csv"), "--shuffled")).toMatchObject({ code: 2, err: expect.stringContaining("--shuffled trains the model of a run") });
  });
});

describe("Training in reversed time", () => {
  /** Bars of prices without any direction, each a day's open and close from a walk, with a bounce of the close that is gone a day later. */
  const bars = (bounce: number) => {
    const random = randomBits(5, 1);
    const normal = (): number => [0, 1, 2, 3].reduce((sum) => sum + random() / 2 ** 32 - 0.5, 0) * Math.sqrt(3);
    const columns = Object.fromEntries(["open", "high", "low", "close", "volume"].map((name) => [name, new Float64Array(D * N)])) as Record<"open" | "high" | "low" | "close" | "volume", Float64Array>;
    const price = new Float64Array(N).fill(100);
    for (let cell = 0; cell < D * N; cell++) {
      const open = (price[cell % N]! *= Math.exp(0.01 * normal()));
      const close = (price[cell % N]! *= Math.exp(0.01 * normal()));
      columns.open[cell] = open * Math.exp(bounce * normal());
      columns.close[cell] = close * Math.exp(bounce * normal());
      columns.high[cell] = 1.01 * Math.max(columns.open[cell]!, columns.close[cell]!);
      columns.low[cell] = 0.99 * Math.min(columns.open[cell]!, columns.close[cell]!);
      columns.volume[cell] = 1000 * Math.exp(normal());
    }
    return Panel.from({ dates, tickers: clean.tickers, columns }, { onWarning: () => {} });
  };
  const more = { ...options, features: ["ohlcv"], processors: undefined, label: { horizonDays: 1, lagDays: 0 }, split: { trainEnd: dates[230]!, validEnd: dates[260]! } } as DatasetOptions;

  it("notes prices that bounce, which do so in both directions, and nothing in a walk, whose opens and closes keep their order, or beside a column of the source", async () => {
    const { reversedTime } = await import("../../lib/evaluate/audit/reversed-time.js");
    const [bouncing, walking] = [await bars(0.02), await bars(0)];
    const out = await trained(await bouncing.dataset(more), "reversed/run", { learningRate: 1e-2, warmupSteps: 5, ema: 0.9 });
    const description = JSON.parse(await readFile(join(out, "run.json"), "utf8")) as object;
    const of = async (panel: Panel, hasColumns = false): Promise<Finding[]> =>
      reversedTime({ panel, dataset: await panel.dataset(more), run: { description }, raw: { hasColumns } } as unknown as Parameters<typeof reversedTime>[0], undefined);
    expect(await of(bouncing)).toMatchObject([{ code: "reversed_time", severity: "note", threshold: 4 }]);
    expect(await of(bouncing, true)).toEqual([]);
    expect(await of(walking)).toEqual([]);
  });
});

describe("Features that are computed", () => {
  it("are audited without processors, beside columns", async () => {
    const close = column("close");
    const panel = market({ open: (cell) => close[cell]! * 0.99, high: (cell) => close[cell]! * 1.01, low: (cell) => close[cell]! * 0.98, volume: (cell) => 1000 + (cell * 37) % 91, known: label });
    const result = await audited(panel, { features: ["ohlcv", "known"], processors: undefined });
    // Suspensions leave returns over many dates missing, which a processor fills: a warning.
    expect(result.findings.filter(({ severity }) => severity === "fail")).toMatchObject([{ code: "feature_is_label", columns: ["known"] }]);
  });
});

describe("Scaling by the whole sample", () => {
  const scales: Record<string, (values: readonly number[]) => (x: number) => number> = {
    maximum: (values) => (x) => x / Math.max(...values),
    minimum: (values) => (x) => x / Math.min(...values),
    mean: (values) => (x) => x / mean(values),
    "standard deviation": (values) => (x) => x / deviation(values),
  };

  it.each(Object.entries(scales))("by the %s fails and names the column", async (statistic, scale) => {
    const scalers = clean.tickers.map((_, n) => scale(ofStock("close", n)));
    const result = await audited(market({ price: (cell) => scalers[cell % N]!(column("close")[cell]!) }), { features: ["price", "news"] });
    const finding = only(result, "full_sample_scaling");
    expect(finding).toMatchObject({ severity: "fail", columns: ["price"], threshold: 0.9 });
    expect(finding.value).toBeGreaterThanOrEqual(0.9);
    expect(finding.text).toMatch(new RegExp(`price has the ${statistic} .* over the whole file .*The untrained score -?price has a test IC of .*, with the ${statistic} of the past only`));
    expect(result.passed).toBe(false);
  });

  it("names moving means and affine functions of such a column too, and is a note where nothing is made of them", async () => {
    const tops = clean.tickers.map((_, n) => Math.max(...ofStock("close", n)));
    const scaled = (cell: number): number => column("close")[cell]! / tops[cell % N]!;
    const planted: Planted = {
      price: scaled,
      smooth: (cell) => (cell < 4 * N ? NaN : [0, 1, 2, 3, 4].reduce((sum, k) => sum + scaled(cell - k * N), 0) / 5),
      twice: (cell) => 3 - 2 * scaled(cell),
    };
    expect(only(await audited(market(planted), { features: ["smooth", "news"] }), "full_sample_scaling")).toMatchObject({ severity: "fail", columns: ["price", "smooth", "twice"] });
    expect(only(await audited(market(planted), { features: ["news"] }), "full_sample_scaling").severity).toBe("note");
  });
});

describe("A feature that knows the label", () => {
  it.each([
    ["the label", label],
    ["the label's rank scaled", (cell: number) => Math.tanh(20 * label(cell))],
    ["the label of three dates later", (cell: number) => (cell < (D - 5) * N ? label(cell + 3 * N) : NaN)],
    ["the label of the date before, which is not over yet", (cell: number) => (cell < N ? NaN : -label(cell - N))],
  ])("%s: fails", async (_, valueAt) => {
    const result = await audited(market({ known: valueAt }), { features: ["news", "known"] });
    expect(only(result, "feature_is_label")).toMatchObject({ severity: "fail", columns: ["known"], threshold: 0.99 });
  });

  it("a part of it that is hidden in noise: fails", async () => {
    const result = await audited(market({ known: (cell) => label(cell) / 0.012 + 2.5 * column("news")[cell]! }), { features: ["signal", "known"] });
    expect(only(result, "feature_beyond_model")).toMatchObject({ severity: "fail", columns: ["known"] });
  });
});

describe("Rows filled forward", () => {
  const bars: Planted = { open: (cell) => column("close")[cell]! * 0.99, high: (cell) => column("close")[cell]! * 1.01, low: (cell) => column("close")[cell]! * 0.98 };

  it("fail from one in twenty on, warn below, with the stale runs' tickers", async () => {
    /** Of every 100 dates the last `count` repeat the one before them. */
    const stale = (count: number): Planted => {
      const from = (cell: number): number => cell - N * Math.max(0, (Math.floor(cell / N) % 100) - (99 - count));
      const names = ["close", "open", "high", "low"];
      return Object.fromEntries(names.map((name) => [name, (cell: number) => (name === "close" ? column("close")[from(cell)]! : bars[name]!(from(cell)))]));
    };
    const [many, few] = [await audited(market(stale(8))), await audited(market(stale(2)))];
    expect(only(many, "repeated_rows")).toMatchObject({ severity: "fail", columns: ["open", "high", "low", "close"], tickers: expect.arrayContaining([clean.tickers[0]]) });
    expect(only(few, "repeated_rows")).toMatchObject({ severity: "warn", tickers: [] });
  });

  it("are nothing to find where prices move", async () => {
    expect((await audited(market(bars))).findings).toEqual([]);
  });
});

describe("A universe chosen with hindsight", () => {
  it("warns where no stock leaves", async () => {
    const result = await audited(market({}, () => true));
    expect(only(result, "hindsight_universe")).toMatchObject({ severity: "warn", value: 0 });
    expect(result.passed).toBe(true);
  });

  it("warns where the members never change", async () => {
    const member = (cell: number): number => (cell % 3 === 0 ? 0 : 1);
    const result = await audited(market({ member }, isListed, { universeColumn: "member" }));
    expect(only(result, "constant_universe")).toMatchObject({ severity: "warn", columns: ["member"] });
    const changing = (cell: number): number => ((cell % N) + Math.floor(cell / N / 100)) % 3 === 0 ? 0 : 1;
    expect((await audited(market({ member: changing }, isListed, { universeColumn: "member" }))).findings.map(({ code }) => code)).not.toContain("constant_universe");
  });
});

describe("Missing values that look like data", () => {
  it("warn where a processor fills them, by split", async () => {
    const sparse = (cell: number): number => (cell >= 250 * N && cell % 10 < 3 ? NaN : column("style1")[cell]!);
    const finding = only(await audited(market({ style1: sparse })), "filled_inputs");
    expect(finding).toMatchObject({ severity: "warn", columns: ["style1"] });
    expect(finding.text).toMatch(/^Feature style1 is missing, and filled, in 0\.00 % of the rows of train, 0\.00 % of the rows of valid, [23]\d\.\d % of the rows of test\.$/);
  });

  it("warn where the number of rows jumps", async () => {
    const finding = only(await audited(market({}, (cell) => clean.listed[cell] === 1 && !(Math.floor(cell / N) === 200 && cell % 2 === 0)), { maxMissingDates: 2 }), "row_count_jump");
    expect(finding).toMatchObject({ severity: "warn", dates: [dates[200], dates[201]] });
  });

  it("warn where groups name other tickers", async () => {
    const groups = join(folder, "groups.csv");
    await writeFile(groups, `ticker,group\n${clean.tickers.map((ticker, n) => `${ticker},G${n % 4}`).join("\n")}\n${Array.from({ length: 10 }, (_, n) => `OTHER${n},G1`).join("\n")}\n`);
    const { findings } = await audited(market({}, isListed, { groups: { file: groups } }));
    expect(findings).toMatchObject([{ code: "unmatched_groups", severity: "warn", value: 10 / N }, { code: "groups_of_one_date", severity: "note" }]);
  });
});

describe("An audit of a run", () => {
  it("takes data and options from its run.json, and refuses other data", async () => {
    const panel = await openPanel(await written("run.csv"), { onWarning: () => {} });
    const dataset = await panel.dataset(options);
    const out = await trained(dataset, "single/run");
    expect(await audit(out)).toMatchObject({ passed: true, findings: [] });
    expect(await audit(out, { source: panel })).toMatchObject({ passed: true, findings: [] });
    await expect(audit(out, { source: await market({}, () => true) })).rejects.toThrow(/does not hold the data that the run in .* was trained on/);
    await expect(audit(join(folder, "nowhere"))).rejects.toThrow(/nowhere holds no run/);
    await expect(audit(out, { sources: panel } as never)).rejects.toThrow("Unknown option sources of audit. Did you mean source?");
    const { code, out: text } = await astgnn("audit", "--run", out);
    expect([code, text]).toEqual([0, expect.stringMatching(/^passed: 0 findings in \d+ checks \(/)]);
    expect(await astgnn("audit", "--run", out, "--window", "5")).toMatchObject({ code: 2, err: expect.stringContaining("--window goes with --data: a run is audited with its own options") });
  });
});

describe("astgnn audit --data", () => {
  it("prints findings, the worst first, and exits with 1 where one is a failure", async () => {
    const file = await written("told.csv", { known: Float64Array.from({ length: D * N }, (_, cell) => label(cell) || 0) }, new Uint8Array(D * N).fill(1));
    const argv = ["audit", "--data", file, "--features", "news,known", "--window", "4", "--train-end", split.trainEnd, "--valid-end", split.validEnd];
    const { code, out } = await astgnn(...argv);
    expect(code).toBe(1);
    expect(out.split("\n")).toEqual([expect.stringMatching(/^fail {2}feature_is_label: Feature known has a correlation of 1\.000 with the label of its own date\. .*Leave known out/), expect.stringMatching(/^warn {2}hindsight_universe: /), expect.stringMatching(/^failed: 2 findings in \d+ checks/)]);
    const json = JSON.parse((await astgnn(...argv, "--json")).out) as Audit;
    expect(json).toMatchObject({ passed: false, findings: [{ code: "feature_is_label", columns: ["known"] }, { code: "hindsight_universe" }] });
  });

  it("says what is missing on the command line", async () => {
    expect(await astgnn("audit")).toMatchObject({ code: 2, err: "astgnn audit: Neither --run nor --data is given. Give one of them." });
  });
});

describe("Real data", () => {
  const at = (name: string): string => fileURLToPath(new URL(`../../../shared/data/${name}.parquet`, import.meta.url));
  const protocol = { split: { start: "2013-01-02", trainEnd: "2015-12-31", validEnd: "2016-12-30" }, label: { horizonDays: 1, lagDays: 0 } };
  const isHere = existsSync(at("nasdaq"));
  if (!isHere) console.log("skipped: the audit of real data, for ../shared/data is not here");

  it.skipIf(!isHere)("the features published with the RSR paper fail, all five by name", async () => {
    const panel = await openPanel(at("nasdaq_paper_features"), { onWarning: () => {} });
    const columns = ["ma5", "ma10", "ma20", "ma30", "close"];
    const { passed, findings } = await audit(panel, { ...protocol, split: { ...protocol.split, start: "2013-02-28" }, features: columns });
    expect(passed).toBe(false);
    const [finding] = findings;
    expect(finding).toMatchObject({ code: "full_sample_scaling", severity: "fail" });
    expect([...finding!.columns!].sort()).toEqual([...columns].sort());
    expect(finding!.text).toMatch(/close has the maximum 1 over the whole file for 9\d\.\d % of the stocks: .* The untrained score -close has a test IC of 0\.028, with the maximum of the past only 0\.00\d\./);
  });

  it.skipIf(!isHere)("its prices pass, with a warning for the universe; industries of one date are noted and are no clusters of the test", async () => {
    const panel = await openPanel(at("nasdaq"), { groups: { file: at("nasdaq_industry").replace("parquet", "csv"), column: "industry" }, onWarning: () => {} });
    const { passed, findings } = await audit(panel, protocol);
    expect(passed).toBe(true);
    expect(findings.filter(({ severity }) => severity === "warn").map(({ code }) => code)).toEqual(["hindsight_universe"]);
    expect(findings.filter(({ severity }) => severity === "note").map(({ code }) => code)).toEqual(["groups_of_one_date"]);
  });
});

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function deviation(values: readonly number[]): number {
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

function correlation(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [mean(a), mean(b)];
  return mean(a.map((value, i) => (value - x) * (b[i]! - y))) / (deviation(a) * deviation(b));
}
