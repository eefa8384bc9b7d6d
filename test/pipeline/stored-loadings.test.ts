import { copyFileSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ASTGNNFactorModel, loadRun, openPanel, predictRun, train, type Dataset, type DatasetDescription, type Panel } from "../../lib/index.js";
import { csv, Folder, priceRows, weekdays } from "../unit/data-tables.js";
import { astgnn } from "./cli-capture.js";

const folder = new Folder();
afterAll(() => folder.remove());
const at = (name: string): string => `${folder.path}/${name}`;

const DAYS = 130;
const days = weekdays(DAYS);
const rows = priceRows({ days: DAYS, stocks: 12 });
const between = (from: number, to: number): object[] => rows.filter(({ date }) => days.indexOf(date) >= from && days.indexOf(date) < to);
const cut = (panel: Panel): Promise<Dataset> => panel.dataset({ features: ["loadings", "close"], loadings: { window: 30, halfLife: 15, count: 3 }, window: 3, split: { trainEnd: days[90]! }, processors: ["zscore", "fill"] });

let trained: Panel;
/** Refreshes of the run: dates 30, 35 .. 95. */
const TRAINED = 100;
beforeAll(async () => {
  folder.write("all.csv", csv(rows));
  trained = await openPanel(folder.write("trained.csv", csv(between(0, TRAINED))));
  const dataset = await cut(trained);
  using model = new ASTGNNFactorModel({ sequentialInputSize: 4, gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8] });
  await train(model, dataset, { epochs: 1, threads: 1, out: at("run") });
});

/** Predictions by date and ticker of the run on dates from .. to - 1 of the market. */
async function scores(from: number, to: number): Promise<Map<string, string>> {
  const name = `${from}-${to}`;
  await predictRun(at("run"), folder.write(`${name}.csv`, csv(between(from, to))), { out: at(`${name}-scores.csv`), threads: 1 });
  const lines = readFileSync(at(`${name}-scores.csv`), "utf8").trim().split("\n").slice(1);
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(",")), line.slice(line.lastIndexOf(",") + 1)]));
}
const dated = (map: ReadonlyMap<string, string>): string[] => [...new Set([...map.keys()].map((key) => key.split(",")[0]!))];

describe("a run with loadings", () => {
  it("keeps them in its folder, with the dates and tickers that they are of", () => {
    const bytes = readFileSync(at("run/model.loadings.safetensors"));
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString()) as { loadings: { shape: number[] }; __metadata__: Record<string, string> };
    expect(header.loadings.shape).toEqual([14, 3, 12]);
    expect(JSON.parse(header.__metadata__["dates"]!)).toEqual(days.filter((_, t) => t >= 30 && t < TRAINED && t % 5 === 0));
    expect(JSON.parse(header.__metadata__["tickers"]!)).toEqual(trained.tickers);
  });

  it("scores a file with a shorter history in the same basis, to the last bit", async () => {
    const long = await scores(0, DAYS);
    expect(dated(long)[0]).toBe(days[32]);
    // Refreshes of the run hold until date 99; that of date 100 looks back to date 70.
    const short = await scores(65, DAYS);
    expect(dated(short)).toEqual(days.slice(67));
    for (const [key, score] of short) expect([key, score]).toEqual([key, long.get(key)]);
  });

  it("scores no date whose loadings a file does not reach back to, and says so", async () => {
    using run = await loadRun(at("run"));
    const panel = await openPanel(folder.write("hole.csv", csv(between(78, DAYS))));
    const dataset = await panel.dataset({ description: run.dataset });
    // Stored until date 99, then from the refresh of date 110 on, the first that has 30 returns and lies on the grid.
    expect(dataset.unlabelled.dates).toEqual([...days.slice(80, 100), ...days.slice(112)]);
    const count = (reason: string) => dataset.ledger.entries.find((entry) => entry.reason === reason)?.count;
    expect([count("short_history"), count("no_loadings")]).toEqual([2, 12]);
    expect((await run.predict(dataset)).predictions.dates).toEqual([...days.slice(80, 100), ...days.slice(112)]);
  });

  it("scores the newest dates alone, and those of a panel that grows, to the same bits", async () => {
    using run = await loadRun(at("run"));
    const panel = await openPanel(at("all.csv"));
    const { predictions: all } = await run.predict(await panel.dataset({ description: run.dataset }));
    const last = [...all.data.slice(-12)];
    const today = rows.filter(({ date }) => date === days.at(-1)!);
    const columns = Object.fromEntries((["open", "high", "low", "close", "volume"] as const).map((name) => [name, today.map((row) => row[name])]));
    const yesterday = await openPanel(folder.write("yesterday.csv", csv(between(0, DAYS - 1))));
    const grown = await yesterday.append({ dates: days.at(-1)!, tickers: today.map(({ ticker }) => ticker), columns });
    for (const of of [panel, grown]) {
      const newest = await of.dataset({ description: run.dataset, from: days.at(-1)! });
      expect(newest.dates).toEqual(days.slice(-3));
      expect([...(await run.predict(newest)).predictions.data.slice(-12)]).toEqual(last);
    }
    await expect(panel.dataset({ description: run.dataset, from: days[31]! })).resolves.toMatchObject({ ledger: { entries: expect.arrayContaining([expect.objectContaining({ reason: "no_loadings", count: 1 })]) as object[] } });
  });

  it("refuses a file on none of whose dates it has loadings", async () => {
    await expect(scores(101, 128)).rejects.toThrow(
      expect.objectContaining({ code: "ERR_DATA", message: expect.stringMatching(new RegExp(`stored from ${days[30]!} to ${days[95]!}, and a refresh that is not stored needs 30 returns before it`)) as string }),
    );
  });

  it("refuses to score loadings of another basis", async () => {
    using run = await loadRun(at("run"));
    const other = await cut(await openPanel(folder.write("other.csv", csv(between(20, TRAINED)))));
    await expect(run.predict(other)).rejects.toThrow(expect.objectContaining({ code: "ERR_DATA", option: "loadings.chain" }));
    expect((await run.predict(await cut(trained))).predictions.dates).toHaveLength(TRAINED - 32);
  });

  it("refuses a description without them", async () => {
    using run = await loadRun(at("run"));
    const copied = JSON.parse(JSON.stringify(run.dataset)) as DatasetDescription;
    await expect(trained.dataset({ description: copied })).rejects.toThrow(expect.objectContaining({ code: "ERR_CHECKPOINT", option: "description" }));
    copyFileSync(at("run/model.safetensors"), at("alone.safetensors"));
    using alone = await ASTGNNFactorModel.load(at("alone.safetensors"));
    await expect(trained.dataset({ description: alone.dataset! })).rejects.toThrow(expect.objectContaining({ code: "ERR_CHECKPOINT", message: expect.stringMatching(/model\.loadings\.safetensors beside it/) as string }));
    await run.models[0].save(at("saved.safetensors"));
    using saved = await ASTGNNFactorModel.load(at("saved.safetensors"));
    expect((await trained.dataset({ description: saved.dataset! })).unlabelled.dates[0]).toBe(days[32]);
  });

  it("is made on the command line", async () => {
    const flags = ["--features", "ohlcv,loadings", "--loadings-window", "30", "--loadings-count", "2", "--window", "3", "--train-end", days[127]!, "--epochs", "1", "--max-dropped", "1", "--num-risk-factors", "4", "--threads", "1"];
    const result = await astgnn("train", "--data", at("all.csv"), ...flags, "--out", at("cli"));
    expect(result).toMatchObject({ code: 0 });
    const stored = JSON.parse(readFileSync(at("cli/run.json"), "utf8")) as { dataset: unknown };
    expect(stored.dataset).toMatchObject({ features: ["ohlcv", "loadings"], loadings: { window: 30, halfLife: 90, count: 2, refresh: 5 } });
  });
});
