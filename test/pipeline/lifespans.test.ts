import { afterAll, afterEach, describe, expect, it, vi } from "vitest";
import { ASTGNNFactorModel, explain, openPanel, train, type Dataset, type DatasetOptions, type ModelOptions, type Panel } from "../../lib/index.js";
import { loadCore } from "../../lib/binding/load.js";
import type { NativeFeatures } from "../../lib/binding/types.js";
import { nativePanel, nativePanelData } from "../../lib/data/native-panel.js";
import { csv, Folder, priceRows, randomNumbers, weekdays, type PriceRow } from "../unit/data-tables.js";
import { weightsOf } from "./weights-of.js";

const folder = new Folder();
afterAll(() => folder.remove());
afterEach(() => void vi.restoreAllMocks());

const DAYS = 200;
const days = weekdays(DAYS);
/**
 * 36 tickers of which a third is listed at once: each third takes over from the one before, some stocks the day after another left, some while it is still there.
 * S001 and S002 come back: S001 after two dates, S002 after 80 in which another may have taken its place. S003 is there all along, and lacks single dates.
 */
function isListed(n: number, t: number): boolean {
  if (n === 1) return t < 40 || (t >= 42 && t < 90);
  if (n === 2) return t < 60 || t >= 140;
  if (n === 3) return t % 37 !== 5;
  const shift = (n % 5) - 2;
  const third = Math.floor(n / 12);
  return t >= (third === 0 ? 0 : 66 * third + shift) && t < (third === 2 ? DAYS : 66 * (third + 1) + shift);
}
const rows = priceRows({ days: DAYS, stocks: 36 }).filter(({ ticker, date }) => isListed(Number(ticker.slice(1)), days.indexOf(date)));
const quiet = { onWarning: () => {} };
const edges = { file: folder.write("edges.csv", "ticker,neighbor\nS000,S003\nS003,S000\nS003,S014\nS015,S003\nS003,S030\nS030,S003\nS031,S002\n") };
const open = (name: string, table: readonly PriceRow[]): Promise<Panel> => openPanel(folder.write(name, csv(table)), { edges, maxDropped: 0.5, ...quiet });
const panel = await open("prices.csv", rows);

/** The same panel whose features every stock holds on all dates, as the test asks the core for them. */
async function dense(options: DatasetOptions): Promise<Dataset> {
  const core = loadCore();
  const { panelFeatures } = core;
  vi.spyOn(core, "panelFeatures").mockImplementation(({ maxMissingDates: _, ...input }, ...rest) => panelFeatures(input, ...rest));
  const dataset = await (await open("dense.csv", rows)).dataset(options);
  vi.restoreAllMocks();
  return dataset;
}

const base = { features: ["close", "volume", "open"], window: 4, label: { horizonDays: 2 }, split: { trainEnd: days[140]!, validEnd: days[170]! }, maxDropped: 1 } as const satisfies DatasetOptions;
const small: ModelOptions = { sequentialInputSize: 3, gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8], similarityScale: 4 };

/** Rows by date, with the features of their windows: what a model sees. */
function seen({ window: T, tickers, rowOffsets, rowStocks, features, featureNames: { length: F }, dates }: Dataset) {
  return dates.map((_, t) => Array.from(rowStocks.subarray(rowOffsets[t], rowOffsets[t + 1]), (n) => [n, ...Array.from({ length: T }, (_, k) => [...features.subarray(((t - k) * tickers.length + n) * F, ((t - k) * tickers.length + n + 1) * F)])]));
}

describe("features of stocks that come and go", () => {
  it.each([
    ["columns ranked per date", {}],
    ["windows that lack dates, filled", { maxMissingDates: 2, processors: ["rank", "standardize", { name: "fill", value: "median" }] }],
    ["prices with look-backs", { features: "ohlcv", processors: ["winsorize", "zscore", { name: "fill", value: 0 }], window: 3 }],
    ["loadings, labels neutral to other exposures", { features: ["loadings", "close"], loadings: { window: 40, count: 3 }, processors: ["rank", { name: "fill", value: 0 }], labelTransform: { neutralise: ["loadings", "volume"] } }],
  ] as const)("are the same to the last bit as where each has memory of its own: %s", async (_, more) => {
    const options = { ...base, ...more } as DatasetOptions;
    const [shared, own] = [await panel.dataset(options), await dense(options)];
    expect(shared.rowStocks.length).toBeGreaterThan(100);
    expect(seen(shared)).toEqual(seen(own));
    for (const part of ["rowOffsets", "rowStocks", "labels", "targets"] as const) expect(shared[part]).toEqual(own[part]);
    expect(shared.ledger).toEqual(own.ledger);
    expect(shared.describe()).toEqual(own.describe());
    const bytes = (dataset: Dataset): number => nativePanel(dataset, "cpu").bytes - 4 * dataset.targets.length;
    expect(bytes(shared)).toBeLessThan(0.7 * bytes(own));
  });

  it("are NaN in dataset.features before a stock's first date and after its last", async () => {
    const { features, tickers } = await panel.dataset({ ...base, processors: [{ name: "fill", value: 7 }] });
    const at = (ticker: string, t: number): number => features[(t * tickers.length + tickers.indexOf(ticker)) * 3]!;
    expect([at("S001", 39), at("S001", 40), at("S001", 41), at("S001", 42)]).toEqual([expect.any(Number), 7, 7, expect.any(Number)]);
    expect([at("S001", 89), at("S001", 90)]).toEqual([expect.any(Number), NaN]);
    expect([at("S030", 129), at("S030", 140)]).toEqual([NaN, expect.any(Number)]);
  });

  it("are refused where a row would read another stock's", async () => {
    const dataset = await panel.dataset(base);
    const data = nativePanelData(dataset);
    const n = dataset.tickers.indexOf("S030");
    const rowOffsets = Int32Array.from(data.rowOffsets, (_, t) => (t > 100 ? 1 : 0));
    const { groups: _, edges: __, returns: ___, returnEnds: ____, ...plain } = data;
    expect(() => loadCore().createPanel({ ...plain, rowOffsets, rowStocks: Int32Array.of(n) }, "cpu")).toThrow(new RegExp(`stock ${n} has no features in the window of date 100`));
  });

  it.each(["complete", "edges"] as const)("train the same weights and give the same predictions, risk factors and explanations with a %s graph", async (graph) => {
    const results = [];
    for (const dataset of [await panel.dataset({ ...base, graph }), await dense({ ...base, graph })]) {
      const model = new ASTGNNFactorModel(small);
      await train(model, dataset, { epochs: 2, threads: 1, seed: 3, datesPerStep: 2, loss: { terms: [{ name: "ic", weight: 1 }, { name: "coMovement", weight: 0.1 }, { name: "turnover", weight: 0.1 }] }, ...quiet });
      const { predictions, riskFactors } = await model.predict(dataset.test, { threads: 1, riskFactors: true });
      const t = dataset.test.dates.at(-1)!;
      const { features, peers } = await explain(model, dataset, { date: t, ticker: "S030", threads: 1 });
      results.push({ weights: weightsOf(model), predictions, riskFactors, features, peers });
    }
    expect(results[1]).toEqual(results[0]);
  });
});

it("Features of random lives, in part taken over from other dates, are those of stocks with memory of their own where windows may read them", async () => {
  const core = loadCore();
  const random = randomNumbers(5);
  for (let round = 0; round < 60; round++) {
    const [dates, stocks, reach] = [12 + Math.floor(20 * random()), 1 + Math.floor(24 * random()), Math.floor(3 * random())];
    const present = new Uint8Array(dates * stocks);
    for (let n = 0; n < stocks; n++) {
      for (let t = Math.floor(dates * random()), life = 0; t < dates; t += 1 + Math.floor(10 * random() ** 2)) for (life = Math.floor(8 * random()); life > 0 && t < dates; life--, t++) present[t * stocks + n] = 1;
    }
    const column = Float64Array.from(present, (isPresent) => (isPresent ? random() : NaN));
    const processors = [{ name: "rank", applies: Uint8Array.of(1) }, { name: "fill", applies: Uint8Array.of(1), value: Float64Array.of(9) }] as const;
    const make = async (from: number, to: number, more: object = {}): Promise<NativeFeatures> => {
      const upTo = { dates: to, stocks, present: present.slice(0, to * stocks), universe: present.slice(0, to * stocks), sources: [column.slice(0, to * stocks)], processors, first: from };
      const made = await core.panelFeatures({ ...upTo, ...more }, 1, () => undefined).done;
      if (!("features" in made)) throw new Error("no features");
      return made.features;
    };
    const own = (await make(0, dates)).toTypedArray();
    let known: { native: NativeFeatures; first: number } | undefined;
    for (let to = 6; to <= dates; to++) {
      const first = Math.max(0, to - 9 + Math.floor(3 * random()), known?.first ?? 0);
      const native = await make(first, to, { maxMissingDates: reach, ...(known === undefined ? {} : { known: known.native, knownFrom: first - known.first }) });
      const values = native.toTypedArray();
      for (let n = 0; n < stocks; n++) {
        const alive = Array.from({ length: to - first }, (_, i) => first + i).filter((t) => present[t * stocks + n] === 1);
        for (let t = first; t < to; t++) {
          const at = values[(t - first) * stocks + n]!;
          if (alive.length > 0 && t >= alive[0]! - reach && t <= alive.at(-1)!) expect(at).toBe(own[t * stocks + n]);
          else if (!Number.isNaN(at)) expect(at).toBe(own[t * stocks + n]);
        }
      }
      known = { native, first };
    }
  }
});

describe("a panel that grows", () => {
  const prices = ["open", "high", "low", "close", "volume"] as const;
  const append = (panel: Panel, t: number): Promise<Panel> => {
    const table = rows.filter(({ date }) => date === days[t]);
    return panel.append({ dates: days[t]!, tickers: table.map(({ ticker }) => ticker), columns: Object.fromEntries(prices.map((name) => [name, Float64Array.from(table, (row) => row[name])])) }, quiet);
  };
  const after = { ...base, split: { trainEnd: days[100]!, validEnd: days[110]! } } satisfies DatasetOptions;

  // Over the dates on which the last third is listed, ticker by ticker, and S002 comes back.
  it.each([0, 3])("has the features and scores of the panel of all its dates as tickers leave, join and come back; %i dates of a window may be missing", async (maxMissingDates) => {
    const options = { ...after, maxMissingDates, processors: ["rank", { name: "fill", value: 0.25 }] } satisfies DatasetOptions;
    const whole = await panel.dataset(options);
    const model = new ASTGNNFactorModel(small);
    await train(model, whole, { epochs: 1, threads: 1, ...quiet });
    const description = model.dataset!;
    const scores = new Map<string, unknown>();
    const scored = await panel.dataset({ description });
    for await (const { date, tickers, predictions } of model.predictDates(scored, { threads: 1 })) scores.set(date, { tickers, predictions });
    let grown = await open(`first-${maxMissingDates}.csv`, rows.filter(({ date }) => date < days[128]!));
    (await grown.dataset({ description, from: days[127]! })).dispose();
    const made = vi.spyOn(loadCore(), "panelFeatures");
    for (let t = 128; t < 148; t++) {
      grown = await append(grown, t);
      using newest = await grown.dataset({ description, from: days[t]! });
      for await (const { date, tickers, predictions } of model.predictDates(newest, { threads: 1, from: days[t]! })) expect({ tickers, predictions }).toEqual(scores.get(date));
    }
    expect(made.mock.calls.filter(([{ known }]) => known !== undefined).length).toBeGreaterThan(10);
    expect(grown.tickers).toHaveLength(36);
    expect(seen(await grown.dataset({ ...options, split: { trainEnd: days[100]!, validEnd: days[110]! } })).slice(0, 140)).toEqual(seen(whole).slice(0, 140));
  });
});
