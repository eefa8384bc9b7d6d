import { copyFileSync, readFileSync, renameSync } from "node:fs";
import { isAbsolute, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadRun, predictRun, type PredictRunOptions } from "../../lib/index.js";
import { csv, Folder, priceRows, weekdays } from "../unit/data-tables.js";
import { astgnn, type Captured } from "./cli-capture.js";

const folder = new Folder();
afterAll(() => folder.remove());
const at = (name: string): string => `${folder.path}/${name}`;

const DAYS = 40;
const STOCKS = 12;
const days = weekdays(DAYS);
// Every third stock is no member of the index.
const rows = priceRows({ days: DAYS, stocks: STOCKS }).map((row) => ({ ...row, member: Number(row.ticker.slice(1)) % 3 === 0 ? 0 : 1, signal: row.close / row.open - 1 }));
const SMALL = [
  "--gru-hidden-size", "8", "--gru-num-layers", "1", "--gat-hidden-size", "8", "--gat-num-heads", "2", "--residual-hidden-size", "8", "--num-risk-factors", "4",
  "--tgc-hidden-size", "8", "--tgc-output-size", "8", "--prediction-hidden-sizes", "8", "--epochs", "1", "--threads", "1",
];
const READING = ["--universe-column", "member", "--groups", at("industry.csv"), "--group-column", "industry", "--edges", at("links.csv"), "--directed-edges", "--extreme-returns", "missing"];
const train = (out: string, ...flags: string[]): Promise<Captured> =>
  astgnn("train", "--features", "signal", "--processors", "zscore", "--window", "3", "--train-end", days[24]!, "--valid-end", days[30]!, ...SMALL, "--out", at(out), ...flags);
const predict = (run: string, ...flags: string[]): Promise<Captured> => astgnn("predict", "--run", at(run), "--out", at("p.csv"), ...flags);
const scored = (): string[] => [...new Set(readFileSync(at("p.csv"), "utf8").trimEnd().split("\n").slice(1).map((line) => line.split(",")[1]!))].sort();
const members = Array.from({ length: STOCKS }, (_, n) => `S${String(n).padStart(3, "0")}`).filter((_, n) => n % 3 !== 0);

beforeAll(async () => {
  folder.write("prices.csv", csv(rows));
  folder.write("industry.csv", `ticker,industry\n${Array.from({ length: STOCKS }, (_, n) => `S${String(n).padStart(3, "0")},i${n % 4}`).join("\n")}\n`);
  folder.write("links.csv", "ticker,neighbor\nS001,S002\nS004,S005\n");
  expect(await train("run", "--data", relative(process.cwd(), at("prices.csv")), ...READING)).toMatchObject({ code: 0 });
});

describe("run.json", () => {
  it("says what the data were read from and how, files by absolute path", () => {
    const { source, panel } = JSON.parse(readFileSync(`${at("run")}/run.json`, "utf8")) as Record<string, unknown>;
    expect(isAbsolute(String(source))).toBe(true);
    expect({ source, panel }).toEqual({
      source: at("prices.csv"),
      panel: {
        dateColumn: "date", tickerColumn: "ticker", universeColumn: "member", groups: { file: at("industry.csv"), column: "industry", tickerColumn: "ticker" },
        edges: { file: at("links.csv"), symmetric: false }, maxDropped: 0.05, extremeReturns: "missing",
      },
    });
  });
});

describe("predict", () => {
  it("reads new data as the run's were read: the members only, without a flag", async () => {
    expect(await predict("run", "--data", at("prices.csv"))).toMatchObject({ code: 0 });
    expect(scored()).toEqual(members);
    const all = readFileSync(at("p.csv"), "utf8");
    expect(await predict("run", "--data", at("prices.csv"), ...READING)).toMatchObject({ code: 0 });
    expect(readFileSync(at("p.csv"), "utf8")).toBe(all);
  });

  it("scores the run's own source where no data are named", async () => {
    await predict("run", "--data", at("prices.csv"));
    const named = readFileSync(at("p.csv"), "utf8");
    expect(await predict("run")).toMatchObject({ code: 0 });
    expect(readFileSync(at("p.csv"), "utf8")).toBe(named);
    expect((await predictRun(at("run"), undefined, { out: at("p.csv"), universeColumn: undefined } as unknown as PredictRunOptions)).rows).toBe(named.trimEnd().split("\n").length - 1);
  });

  it.each([
    ["another universe", ["--universe-column", "signal"], /^astgnn predict: The run in \S+ was trained with --universe-column "member", now it is "signal": .*Leave --universe-column out/m],
    ["another group", ["--groups", at("industry.csv"), "--group-column", "sector"], /was trained with --group-column "industry", now it is "sector"/],
    ["other columns", ["--columns", "signal"], /was trained with columns none, now it is \["signal"\]/],
    ["other price breaks", ["--extreme-returns", "warn"], /was trained with --extreme-returns "missing", now it is "warn"/],
  ])("refuses %s than the run's, in words of the command line", async (_, flags, message) => {
    expect(await predict("run", "--data", at("prices.csv"), ...flags)).toMatchObject({ code: 2, err: expect.stringMatching(message) as string });
  });

  it("refuses a universe where the run had none", async () => {
    expect(await train("all", "--data", at("prices.csv"))).toMatchObject({ code: 0 });
    expect(await predict("all", "--data", at("prices.csv"), "--universe-column", "member")).toMatchObject({ code: 2, err: expect.stringContaining('was trained with --universe-column none, now it is "member"') as string });
  });

  it("takes a newer file of groups or edges and other names of the date and the ticker, and keeps the rest", async () => {
    folder.write("renamed.csv", csv(rows).replace("date,ticker", "day,symbol"));
    copyFileSync(at("industry.csv"), at("newer.csv"));
    expect(await predict("run", "--data", at("renamed.csv"), "--date-column", "day", "--ticker-column", "symbol", "--groups", at("newer.csv"))).toMatchObject({ code: 0 });
    expect(scored()).toEqual(members);
  });

  it("in five lines of a program: loads the run, opens prices as its data were, scores the newest date", async () => {
    const run = await loadRun(at("run"));
    const panel = await run.openPanel(at("prices.csv"));
    const dataset = await panel.dataset({ description: run.dataset });
    for await (const { date, tickers } of run.predictDates(dataset, { from: panel.dates.at(-1), threads: 1 })) expect([date, tickers]).toEqual([days.at(-1), members]);
    run.dispose();
    expect.assertions(1);
  });

  it("needs neither the label column nor the tradable column of the training", async () => {
    folder.write("labelled.csv", csv(rows.map((row) => ({ ...row, tradable: 1, ahead: row.signal / 2 }))));
    const flags = ["--columns", "close,signal,ahead", "--tradable-column", "tradable", "--label-column", "ahead", "--label-horizon", "1"];
    expect(await train("labelled", "--data", at("labelled.csv"), ...flags)).toMatchObject({ code: 0 });
    expect(await predict("labelled", "--data", at("prices.csv"))).toMatchObject({ code: 0 });
  });

  it("says which file of the run has gone, and how to name its new place", async () => {
    renameSync(at("industry.csv"), at("moved.csv"));
    try {
      const { code, err } = await predict("run", "--data", at("prices.csv"));
      expect([code, err]).toEqual([1, expect.stringMatching(/The run in \S+ was trained with groups from \S+industry\.csv, which is not there any more\. Name its new place with --groups\./)]);
    } finally {
      renameSync(at("moved.csv"), at("industry.csv"));
    }
  });
});
