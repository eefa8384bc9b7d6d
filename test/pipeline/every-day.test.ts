import { afterAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, openPanel, train, type Dataset, type DatasetOptions, type ModelOptions, type Panel } from "../../lib/index.js";
import { csv, Folder, priceRows, weekdays, type PriceRow } from "../unit/data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const DAYS = 160;
const days = weekdays(DAYS);
const NEW = 150;
/** S005 lists late enough to be a new ticker, and lacks return_120 then; S003 misses a date. */
const rows = priceRows({ days: DAYS, stocks: 31 }).filter(({ ticker, date }) => (ticker !== "S005" || date >= days[NEW + 2]!) && (ticker !== "S003" || date !== days[NEW + 1]));
const prices = ["open", "high", "low", "close", "volume"] as const;
const small: ModelOptions = { sequentialInputSize: 20, gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8] };
const quiet = { onWarning: () => {} };

const upTo = (last: number): PriceRow[] => rows.filter(({ date }) => date <= days[last]!);
const open = (name: string, table: readonly PriceRow[]): Promise<Panel> => openPanel(folder.write(name, csv(table)), quiet);
function appended(panel: Panel, day: number): Promise<Panel> {
  const table = rows.filter(({ date }) => date === days[day]);
  return panel.append({ dates: days[day]!, tickers: table.map(({ ticker }) => ticker), columns: Object.fromEntries(prices.map((name) => [name, Float64Array.from(table, (row) => row[name])])) }, quiet);
}

/** What a dataset says of a date: its rows by ticker, with the features of their windows. */
function samples(dataset: Dataset, date: string) {
  const { dates, tickers, window: T, rowOffsets, rowStocks, features, featureNames: { length: F } } = dataset;
  const t = dates.indexOf(date);
  return Object.fromEntries(Array.from(rowStocks.subarray(rowOffsets[t], rowOffsets[t + 1]), (n) => [tickers[n]!, Array.from({ length: T }, (_, i) => [...features.subarray(((t - i) * tickers.length + n) * F, ((t - i) * tickers.length + n + 1) * F)])]));
}

const trained = (async () => {
  const panel = await open("trained.csv", upTo(NEW));
  const dataset = await panel.dataset({ window: 4, label: { horizonDays: 1, lagDays: 0 }, split: { trainEnd: days[135]!, validEnd: days[142]! }, maxDropped: 0.5, maxMissingDates: 1, processors: ["rank", { name: "standardize" }, { name: "fill", value: "median" }] } satisfies DatasetOptions);
  const model = new ASTGNNFactorModel(small);
  await train(model, dataset, { epochs: 1, threads: 1, ...quiet });
  return { panel, model, description: model.dataset! };
})();

describe("the dataset from a date on", () => {
  it("has the samples, features and scores of the whole one on its dates, to the last bit", async () => {
    const { panel, model, description } = await trained;
    const whole = await panel.dataset({ description });
    const newest = await (await open("again.csv", upTo(NEW))).dataset({ description, from: days[NEW - 3]! });
    expect(newest.dates).toEqual(days.slice(NEW - 6, NEW + 1));
    expect(newest.unlabelled.dates).toEqual(days.slice(NEW - 3, NEW + 1));
    expect(newest.requiredHistory).toBe(4);
    const { predictions } = await model.predict({ dataset: whole, dates: newest.unlabelled.dates }, { threads: 1 });
    for (const date of newest.unlabelled.dates) expect(samples(newest, date)).toEqual(samples(whole, date));
    expect((await model.predict(newest, { threads: 1 })).predictions).toEqual(predictions);
  });

  it("keeps groups and edges with the dates on which they hold", async () => {
    const groups = folder.write("groups.csv", `ticker,group,to\n${Array.from({ length: 31 }, (_, n) => `S${String(n).padStart(3, "0")},g${n % 3},${n === 7 ? days[NEW - 2] : ""}`).join("\n")}\n`);
    const edges = folder.write("edges.csv", `ticker,neighbor,from,to\nS000,S001,,\nS002,S003,,${days[NEW - 1]}\nS003,S006,${days[NEW]},\nS004,S007,,${days[NEW - 9]}\nS008,S009,${days[NEW - 1]},\n`);
    const panel = await openPanel(folder.write("related.csv", csv(upTo(NEW))), { groups: { file: groups }, edges: { file: edges }, maxDropped: 1, ...quiet });
    const whole = await panel.dataset({ features: ["close", "volume"], processors: ["zscore"], window: 3, label: { horizonDays: 1, lagDays: 0 }, split: { fractions: [1, 0, 0] }, graph: "edges" });
    const newest = await panel.dataset({ description: whole.describe(), from: days[NEW - 2]! });
    using model = new ASTGNNFactorModel({ ...small, sequentialInputSize: 2, similarityGraph: "groups" });
    const dates = days.slice(NEW - 2, NEW + 1);
    expect((await model.predict(newest, { threads: 1 })).predictions).toEqual((await model.predict({ dataset: whole, dates }, { threads: 1 })).predictions);
  });

  it.each([
    [{ from: days[100]! }, "ERR_DATA", /too little history for from .*: 101 of the 124 dates/],
    [{ from: "2031-01-01" }, "ERR_DATA", /has no date on 2031-01-01 or later: its last date is/],
    [{ from: days[NEW]!, split: { trainEnd: days[140]! } }, "ERR_OPTION", /with split or with from, not with both/],
  ])("refuses %o", async (options, code, message) => {
    const { panel, description } = await trained;
    await expect(panel.dataset({ description, ...options })).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
  });
});

it("cuts a dataset with a split from a panel that grew as from one of all dates, features that it has already taken over", async () => {
  const options = { window: 4, label: { horizonDays: 1, lagDays: 0 }, split: { trainEnd: days[135]!, validEnd: days[142]! }, maxDropped: 0.5, processors: ["rank", { name: "standardize" }, { name: "fill", value: "median" }] } satisfies DatasetOptions;
  const batch = await (await open("grown.csv", upTo(NEW + 1))).dataset(options);
  const panel = await open("before.csv", upTo(NEW));
  using before = await panel.dataset(options);
  expect(before.dates).toHaveLength(NEW + 1);
  const grown = await (await appended(panel, NEW + 1)).dataset(options);
  expect(grown.describe()).toEqual(batch.describe());
  for (const part of ["features", "labels", "targets", "rowOffsets", "rowStocks"] as const) expect(grown[part]).toEqual(batch[part]);
});

it("scores every new date that was appended as one panel of all dates scores it, to the last bit, also where a ticker is new", async () => {
  const { model, description } = await trained;
  const all = await (await open("all.csv", rows)).dataset({ description });
  const { predictions } = await model.predict({ dataset: all, dates: days.slice(NEW + 1) }, { threads: 1, riskFactors: true });
  let panel = await open("history.csv", upTo(NEW));
  for (let day = NEW + 1; day < DAYS; day++) {
    panel = await appended(panel, day);
    using dataset = await panel.dataset({ description, from: days[day]! });
    expect(samples(dataset, days[day]!)).toEqual(samples(all, days[day]!));
    const scored = await model.predict(dataset, { threads: 1 });
    const column = (values: { data: ArrayLike<number>; tickers: readonly string[] }, t: number) => Object.fromEntries(values.tickers.map((ticker, n) => [ticker, values.data[t * values.tickers.length + n]!] as const).filter(([, value]) => !Number.isNaN(value)));
    expect(scored.predictions.dates).toEqual([days[day]]);
    expect(column(scored.predictions, 0)).toEqual(column(predictions, day - NEW - 1));
  }
  expect(panel.tickers).toContain("S005");
});
