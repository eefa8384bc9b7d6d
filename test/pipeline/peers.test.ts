import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { adjustedRandIndex, ASTGNNFactorModel, clusters, openPanel, Panel, peers, simulateMarket, train, writeSimulatedMarket, type Dataset, type DateClusters, type DatasetOptions, type ModelOptions, type SimulatedMarket, type TrainOptions } from "../../lib/index.js";
import { peerLists } from "../../lib/model/peer-lists.js";
import { randomBits } from "../../lib/metrics/random.js";
import { smallDataset } from "../unit/small-dataset.js";
import { astgnn } from "./cli-capture.js";

const small: ModelOptions = { gruHiddenSize: 16, gruNumLayers: 1, gatHiddenSize: 16, gatNumHeads: 2, residualHiddenSize: 16, numRiskFactors: 12, tgcHiddenSize: 16, tgcOutputSize: 16, predictionHiddenSizes: [16], relationalSkip: true, excludeSelf: true, similarityScale: "learned", dropout: 0 };
const recipe: TrainOptions = { loss: { terms: [{ name: "ic" }, { name: "coMovement" }] }, epochs: 3, learningRate: 1e-2, threads: 1, onWarning: () => {} };
const threads = 1;
const quiet = { threads, onWarning: () => {} };

function cut(market: SimulatedMarket): DatasetOptions {
  return {
    features: ["loadings"],
    loadings: { window: 120, halfLife: 60, count: 8, refresh: 5 },
    window: 3,
    label: { horizonDays: 1, lagDays: 0 },
    split: { trainEnd: market.dates[300]!, validEnd: market.dates[330]! },
    maxDropped: 0.3,
  };
}

const marketOf = (seed: number, industries: number): SimulatedMarket => simulateMarket({ seed, stocks: 96, dates: 400, industries });

/** Closes alone: whatever the graph knows, it knows from whom a stock moved with. */
async function trained(market: SimulatedMarket, seed: number): Promise<{ model: ASTGNNFactorModel; dataset: Dataset }> {
  const close = market.columns.get("close")!.map((value, i) => (market.listed[i] === 1 ? value : NaN));
  const panel = await Panel.from({ dates: market.dates, tickers: market.tickers, columns: { close } }, { maxDropped: 0.3, onWarning: () => {} });
  const dataset = await panel.dataset(cut(market));
  const model = new ASTGNNFactorModel({ ...small, sequentialInputSize: dataset.featureNames.length, seed });
  await train(model, dataset, { ...recipe, seed });
  return { model, dataset };
}

/** How the clusters of a date agree with the hidden industries of a market. */
function agreement({ clusters: found, alone }: DateClusters, { tickers, industries }: SimulatedMarket): number {
  const all = [...found.map(({ tickers: members }) => members), ...alone.map((ticker) => [ticker])];
  return adjustedRandIndex(all.flatMap((members, label) => members.map(() => label)), all.flat().map((ticker) => industries[tickers.indexOf(ticker)]!));
}

describe("clusters of a model that was trained with coMovement", () => {
  it.each([1, 2])("are the planted industries, which no column shows, seed %i", async (seed) => {
    const market = marketOf(seed, 8);
    const { model, dataset } = await trained(market, seed);
    const heard: string[] = [];
    const found = await clusters(model, dataset, { date: dataset.test.dates[10]!, threads, onWarning: ({ text }) => void heard.push(text) });
    expect(agreement(found, market)).toBeGreaterThan(0.8);
    expect(found.stability.dates).toBe(20);
    expect(found.stability.adjustedRand).toBeGreaterThan(0.8);
    expect(found.clusters.reduce((sum, { size }) => sum + size, found.alone.length)).toBe(found.stocks);
    for (const { size, tickers, medoid, stability, correlation60, correlationNext20 } of found.clusters) {
      expect([tickers.length, tickers[0]]).toEqual([size, medoid]);
      expect(stability).toBeGreaterThan(0.5);
      expect(stability).toBeLessThanOrEqual(1);
      // Industries share a third of their stocks' variance, all stocks a tenth.
      expect(correlation60).toBeGreaterThan(found.everybody.correlation60 + 0.1);
      expect(correlationNext20).toBeGreaterThan(found.everybody.correlationNext20);
    }
    expect(found.clusters.flatMap(({ exposures }) => exposures).every(({ name, z }) => name.startsWith("loading_") && Math.abs(z) >= 0.5)).toBe(true);
    expect([heard, found.warning]).toEqual([[], undefined]);
    model.dispose();
  });

  it("are nothing on a market without industries, and that is said", async () => {
    const { model, dataset } = await trained(marketOf(1, 1), 1);
    const heard: string[] = [];
    const options = { date: dataset.test.dates[10]!, threads, onWarning: ({ reason }: { reason: string }) => void heard.push(reason) };
    const found = await clusters(model, dataset, options);
    // What the same numbers would have been industries of: a correlation of labels by chance is within a tenth of 0.
    expect(Math.abs(agreement(found, marketOf(1, 8)))).toBeLessThan(0.1);
    const { warning } = await peers(model, dataset, { ...options, ticker: found.clusters[0]!.medoid, lookBack: 0 });
    expect(heard).toEqual(["clusters_mean_nothing", "neighbours_mean_nothing"]);
    expect(found.warning!.text).toMatch(/^The clusters of .* mean little: .*"coMovement"/);
    expect(warning!.text).toMatch(/mean.*little/);
    model.dispose();
  });

});

it("peers of the newest date are judged by dates before it, whose following days are known", async () => {
  const [D, N] = [60, 80];
  const random = randomBits(11, 0);
  const values = Float32Array.from({ length: D * N }, () => 0.02 * (random() / 2 ** 31 - 1));
  const dataset: Dataset = { ...smallDataset({ dates: D, stocks: N, window: 3, missing: 0, seed: 4 }), returns: { values, ends: new Int32Array(D).fill(D - 1) } };
  using model = new ASTGNNFactorModel({ ...small, sequentialInputSize: 3, similarityScale: 8, seed: 1 });
  const at = async (date: string): Promise<string> => (await peers(model, dataset, { ...quiet, date, ticker: "S007", lookBack: 0 })).warning!.text;
  expect(await at(dataset.dates.at(-1)!)).toMatch(/over the 10 days after dates before it stocks hardly moved with their peers \(peer correlation -?0\.0/);
  expect(await at(dataset.dates[40]!)).toMatch(/over the 10 days after it stocks hardly moved/);
});

it.each([["complete", {}], ["groups", { similarityGraph: "groups" }], ["topK", { topK: 4, excludeSelf: false }]] as const)("the lists of all rows are those of each stock, over blocks of rows and several dates, %s", async (_, options) => {
  const dataset = smallDataset({ dates: 6, stocks: 310, window: 3, missing: 0.1, seed: 2, groups: true, emptyDates: [4] });
  using model = new ASTGNNFactorModel({ ...small, sequentialInputSize: 3, similarityScale: 8, dtype: "float64", seed: 1, ...options });
  const dates = Int32Array.of(5, 4, 3);
  const [top, N] = [120, dataset.rowOffsets[6]! - dataset.rowOffsets[5]!];
  const { rows, weights, features } = await peerLists(model, dataset, { dates, top, features: true, threads });
  expect([rows.length, weights.length, features!.length / 3]).toEqual([top, top, 1].map((width) => width * (N + dataset.rowOffsets[4]! - dataset.rowOffsets[3]!)));
  for (const [t, row, list] of [[5, 0, 0], [5, 255, 255], [5, 256, 256], [5, N - 1, N - 1], [3, 17, N + 17]] as const) {
    const begin = dataset.rowOffsets[t]!;
    const stocks = dataset.rowStocks.subarray(begin, dataset.rowOffsets[t + 1]);
    const ticker = dataset.tickers[stocks[row]!]!;
    const found = Array.from(rows.subarray(list * top, (list + 1) * top)).flatMap((other, i) => (other < 0 ? [] : [{ ticker: dataset.tickers[stocks[other]!]!, weight: weights[list * top + i]! }]));
    const whole = (await model.neighbours(dataset, dataset.dates[t]!, ticker, { ...quiet, top: N })).filter((peer) => peer.ticker !== ticker);
    expect(found.length).toBe(Math.min(top, whole.length));
    // A product of one row and one of a block of rows round apart.
    for (const [i, { weight }] of found.entries()) expect(weight).toBeCloseTo(whole[i]!.weight, 12);
    expect([...features!.subarray(3 * list, 3 * list + 3)]).toEqual([...dataset.features.subarray(3 * (t * 310 + stocks[row]!), 3 * (t * 310 + stocks[row]!) + 3)]);
    const one = await peerLists(model, dataset, { dates, stock: stocks[row]!, top, threads });
    const at = dates.indexOf(t);
    expect([...one.rows.subarray(at * top, (at + 1) * top)].filter((other) => other >= 0)).toHaveLength(found.length);
    expect([...one.rows.subarray(top, 2 * top)].every((other) => other === -1)).toBe(true);
  }
});

describe("peers and clusters of a run", () => {
  const folder = mkdtempSync(join(tmpdir(), "astgnn-peers-"));
  const at = (name: string): string => join(folder, name);
  const market = marketOf(1, 8);
  let model: ASTGNNFactorModel;
  let dataset: Dataset;
  let panel: Panel;

  beforeAll(async () => {
    await writeSimulatedMarket(market, at("market.csv"));
    writeFileSync(at("groups.csv"), `ticker,group\n${market.tickers.map((ticker, n) => `${ticker},${n === 0 ? "n/a" : `industry ${market.industries[n]}`}`).join("\n")}\n`);
    panel = await openPanel(at("market.csv"), { columns: ["close"], groups: { file: at("groups.csv") }, maxDropped: 0.3, onWarning: () => {} });
    dataset = await panel.dataset(cut(market));
    model = new ASTGNNFactorModel({ ...small, sequentialInputSize: dataset.featureNames.length, seed: 1 });
    const make = (name: string, options: TrainOptions, untrained = model): Promise<unknown> => train(untrained, dataset, { ...recipe, ...options, out: at(name) });
    await make("run", { epochs: 1, seed: 1 });
    await make("ensemble", { epochs: 1, seeds: [0, 1] }, new ASTGNNFactorModel(model.config));
    const alone = await panel.dataset({ ...cut(market), graph: "none" });
    await train(new ASTGNNFactorModel({ ...model.config, similarityGraph: "groups" }), alone, { ...recipe, loss: "ic", epochs: 1, out: at("alone") });
  });
  afterAll(() => {
    model?.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  it("list the row of A without the stock, with what is known of each peer", async () => {
    using inclusive = new ASTGNNFactorModel({ ...small, sequentialInputSize: 8, excludeSelf: false, seed: 3 });
    for (const one of [model, inclusive]) {
      const t = dataset.test.dateIndices[10]!;
      const date = dataset.dates[t]!;
      const ticker = market.tickers[7]!;
      const found = await peers(one, dataset, { ...quiet, date, ticker, top: 5, lookBack: 4 });
      const row = (await one.neighbours(dataset, date, ticker, { ...quiet, top: 6 })).filter((peer) => peer.ticker !== ticker).slice(0, 5);
      expect(found.peers.map(({ ticker: name, weight, listedBy }) => ({ ticker: name, weight, listedBy }))).toEqual(row);
      expect(found.group).toBe(`industry ${market.industries[7]}`);
      const N = dataset.tickers.length;
      for (const peer of found.peers) {
        const n = market.tickers.indexOf(peer.ticker);
        expect(peer.group).toBe(n === 0 ? undefined : `industry ${market.industries[n]}`);
        expect(Math.abs(peer.similarity)).toBeLessThanOrEqual(1 + 1e-12);
        const series = (stock: number, from: number, to: number): number[] => Array.from({ length: to - from }, (_, d) => dataset.returns!.values[(from + d) * N + stock]!);
        for (const [value, from, to] of [[peer.correlation60, t - 59, t + 1], [peer.correlationNext20, t + 1, t + 21]] as const) {
          const pairs = series(7, from, to).map((x, d) => [x, series(n, from, to)[d]!] as const).filter(([x, y]) => !Number.isNaN(x + y));
          expect(value).toBeCloseTo(pearsonOf(pairs), 9);
        }
      }
      expect(found.averages.peers.correlation60).toBeCloseTo(found.peers.reduce((sum, { correlation60 }) => sum + correlation60, 0) / 5, 12);
      // On each date back, whether it is still on the list.
      for (const peer of found.peers) {
        let days = 1;
        while (days < 5 && (await one.neighbours(dataset, dataset.dates[t - days]!, ticker, { ...quiet, top: 6 })).filter(({ ticker: name }) => name !== ticker).slice(0, 5).some(({ ticker: name }) => name === peer.ticker)) days++;
        expect([peer.ticker, peer.days, peer.since, peer.orEarlier]).toEqual([peer.ticker, days, dataset.dates[t + 1 - days], days === 5]);
      }
    }
  });

  it("share exposures that are given, beyond chance and beyond the universe", async () => {
    const date = dataset.test.dates[10]!;
    const bare = await clusters(model, dataset, { ...quiet, date });
    const first = new Set(bare.clusters[0]!.tickers);
    const stocks = dataset.tickers.length;
    const exposures = {
      theirs: dataset.tickers.map((ticker, n) => (first.has(ticker) ? 2 : 0) + (n % 3) / 10),
      nobodys: dataset.tickers.map((_, n) => (n % 5 === 4 ? NaN : Math.cos(n * 2.4))),
      constant: new Float32Array(stocks).fill(1),
    };
    const found = await clusters(model, dataset, { ...quiet, date, exposures });
    const [own] = found.clusters[0]!.exposures;
    const rows = dataset.tickers.map((ticker, n) => ({ ticker, value: exposures.theirs[n]! })).filter(({ ticker }) => [...bare.clusters.flatMap(({ tickers }) => tickers), ...bare.alone].includes(ticker));
    const centre = rows.reduce((sum, { value }) => sum + value, 0) / rows.length;
    const deviation = Math.sqrt(rows.reduce((sum, { value }) => sum + (value - centre) ** 2, 0) / rows.length);
    const members = rows.filter(({ ticker }) => first.has(ticker));
    expect(own!.name).toBe("theirs");
    expect(own!.z).toBeCloseTo((members.reduce((sum, { value }) => sum + value, 0) / members.length - centre) / deviation, 9);
    expect(found.clusters.flatMap(({ exposures: shared }) => shared).map(({ name }) => name)).not.toContain("constant");
    expect(found.clusters.map(({ tickers }) => tickers)).toEqual(bare.clusters.map(({ tickers }) => tickers));
    await expect(clusters(model, dataset, { ...quiet, date, exposures: { short: [1, 2] } })).rejects.toThrow(/an array of 96 numbers for exposures\.short/);
  });

  it("look at nothing after the date but for what is named so", async () => {
    const date = dataset.test.dates[10]!;
    const days = dataset.dates.indexOf(date) + 1;
    const columns = { close: panel.values("close").slice(0, days * panel.tickers.length) };
    const until = await Panel.from({ dates: panel.dates.slice(0, days), tickers: panel.tickers, columns }, { maxDropped: 0.3, onWarning: () => {} });
    const known = await until.dataset({ description: model.dataset! });
    const ticker = market.tickers[7]!;
    const [whole, then] = await Promise.all([dataset, known].map((one) => peers(model, one, { ...quiet, date, ticker, lookBack: 30 })));
    const without = (list: typeof whole) => list!.peers.map(({ correlationNext20: _, group: __, ...rest }) => rest);
    expect(without(then)).toEqual(without(whole));
    expect(then!.peers.every(({ correlationNext20 }) => Number.isNaN(correlationNext20))).toBe(true);
    expect(whole!.peers.some(({ correlationNext20 }) => Number.isNaN(correlationNext20))).toBe(false);
    const [all, early] = await Promise.all([dataset, known].map((one) => clusters(model, one, { ...quiet, date })));
    const partition = ({ clusters: found, alone, modularity, stability }: DateClusters) => ({ alone, modularity, stability, found: found.map(({ tickers, exposures, stability: own, correlation60 }) => ({ tickers, exposures, own, correlation60 })) });
    expect(partition(early!)).toEqual(partition(all!));
    expect(early!.everybody.correlationNext20).toBeNaN();
    expect(await clusters(model, dataset, { ...quiet, date })).toEqual(all);
  });

  it("are printed by astgnn peers, for people and as JSON", async () => {
    const date = dataset.test.dates[10]!;
    const { code, out } = await astgnn("peers", "--run", at("run"), "--date", date, "--ticker", market.tickers[7]!, "--top", "3", "--look-back", "4", "--threads", "1", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual(JSON.parse(JSON.stringify(await peers(model, dataset, { ...quiet, date, ticker: market.tickers[7]!, top: 3, lookBack: 4 }))));
    const text = await astgnn("peers", "--run", at("run"), "--date", date, "--ticker", market.tickers[7]!, "--top", "3", "--look-back", "4");
    // One table of the stock, of the date that was asked for last.
    const page = readFileSync(at("run/report.html"), "utf8");
    expect(new Set(page.match(/SIM08 \(industry \d\) on [^<"]*/g)).size).toBe(1);
    for (const { ticker, group } of (JSON.parse(out) as { peers: { ticker: string; group?: string }[] }).peers) expect(page).toContain(`<td>${ticker}${group === undefined ? "" : ` (${group})`}</td>`);
    expect(text.out).toMatch(/^SIM08 \(industry \d\) on .*: its 3 heaviest peers in A\nticker +weight +cosine +corr\. 60 +next 20\* +peer since \(dates\) +listed by +group\nSIM/);
    expect(text.out).toMatch(/\nmean +.*\nall others +.*\n\n\* over the 20 dates after .*: known only afterwards$/);
    const all = await astgnn("peers", "--run", at("run"), "--date", date, "--json");
    const { clusters: found } = JSON.parse(all.out) as DateClusters;
    for (const cluster of found) expect(Object.keys(cluster)).toEqual(expect.arrayContaining(["medoid", "size", "tickers", "exposures", "stability"]));
    const named = await astgnn("peers", "--run", at("run"), "--date", date, "--exposures", "close", "--json");
    expect((JSON.parse(named.out) as DateClusters).clusters.flatMap(({ exposures }) => exposures).every(({ name }) => name === "close")).toBe(true);
    const newest = await astgnn("peers", "--run", at("run"), "--resolution", "2");
    expect(newest.out).toMatch(new RegExp(`^\\d+ stocks on ${panel.dates.at(-1)}: \\d+ clusters`));
    expect(newest.out).not.toMatch(/next 20/);
    expect(newest.out).toMatch(/\n {3}groups: industry \d \d+/);
  });

  it("are refused in one sentence that says what to do", async () => {
    const date = dataset.test.dates[10]!;
    const refusal = async (...argv: string[]): Promise<[number, string]> => {
      const { code, err } = await astgnn("peers", ...argv);
      return [code, err.split("\n").at(-1)!];
    };
    const run = (name: string, ...rest: string[]): string[] => ["--run", at(name), ...rest];
    const absent = market.tickers.find((_, n) => market.listed[market.dates.indexOf(date) * market.tickers.length + n] === 0)!;
    expect(await refusal("--ticker", "SIM01")).toEqual([2, "astgnn peers: Required option '--run <folder>' not specified. See astgnn peers --help."]);
    const cases: [string[], number, RegExp][] = [
      [run("none"), 1, /holds no run/],
      [run("run", "--date", "2001-07-01"), 1, /2001-07-01 is no date of this panel, which has 400 from .* the last before it is 2001-06-29\./],
      [run("run", "--date", market.dates[50]!), 1, /No stock is in on 2001-03-12: .*the next is 2001-06-\d\d\./],
      [run("run", "--date", market.dates[1]!), 1, /too little history for --date 2001-01-02: 2 of the 3 dates that a sample needs/],
      [run("run", "--date", date, "--ticker", "SIM0"), 2, /Expected a ticker of the panel for --ticker but received "SIM0".*Did you mean SIM01, SIM02 or SIM03\?/],
      [run("run", "--date", date, "--ticker", absent), 1, new RegExp(`${absent} is not in on ${date}`)],
      [run("run", "--date", date, "--ticker", "SIM08", "--top", "0"), 2, /a whole number from 1 to 65535 for --top but received 0/],
      [run("run", "--top", "5"), 2, /--top is about the peers of a stock.*--ticker/],
      [run("run", "--ticker", "SIM08", "--resolution", "2"), 2, /--resolution is about the clusters/],
      [run("run", "--exposures", "closd"), 1, /lacks the column closd for --exposures.*Did you mean close\?/],
      [run("run", "--exposures", "groups"), 2, /groups of a cluster's members are shown in any case/],
      [run("run", "--resolution", "0"), 2, /a number above 0 for --resolution/],
      [run("ensemble", "--ticker", "SIM08"), 2, /is an ensemble of 2 models, and each has a graph of its own\. Name the folder of one: .*seed-/],
      [run("alone", "--ticker", "SIM08"), 2, /This model has no graph: it was trained with every stock on its own/],
    ];
    for (const [argv, code, message] of cases) {
      const [found, text] = await refusal(...argv);
      expect([argv, found]).toEqual([argv, code]);
      expect(text).toMatch(message);
    }
  });
});

function pearsonOf(pairs: readonly (readonly [number, number])[]): number {
  const mean = (k: 0 | 1): number => pairs.reduce((sum, pair) => sum + pair[k], 0) / pairs.length;
  const [a, b] = [mean(0), mean(1)];
  const sum = (of: (x: number, y: number) => number): number => pairs.reduce((total, [x, y]) => total + of(x - a, y - b), 0);
  return sum((x, y) => x * y) / Math.sqrt(sum((x) => x * x) * sum((_, y) => y * y));
}
