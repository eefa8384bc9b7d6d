import { existsSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { evaluate, loadRun, openPanel, predictRun, type LedgerEntry } from "../../lib/index.js";
import { csv, Folder, priceRows, weekdays } from "../unit/data-tables.js";
import { astgnn, type Captured } from "./cli-capture.js";

const folder = new Folder();
afterAll(() => folder.remove());
const at = (name: string): string => `${folder.path}/${name}`;

const days = weekdays(190);
const rows = priceRows({ days: 190, stocks: 12 });
const SMALL = [
  "--gru-hidden-size", "8", "--gru-num-layers", "1", "--gat-hidden-size", "8", "--gat-num-heads", "2", "--residual-hidden-size", "8", "--num-risk-factors", "4",
  "--tgc-hidden-size", "8", "--tgc-output-size", "8", "--prediction-hidden-sizes", "8",
];
const trainOn = (file: string, ...flags: string[]): Promise<Captured> =>
  astgnn("train", "--data", at(file), "--label-lag", "0", "--train-end", days[160]!, "--valid-end", days[175]!, "--max-dropped", "0.1", "--epochs", "1", "--threads", "1", ...SMALL, ...flags);
const train = (...flags: string[]): Promise<Captured> => trainOn("prices.csv", ...flags);
const predict = (...flags: string[]): Promise<Captured> => astgnn("predict", "--run", at("run"), "--out", at("p.csv"), ...flags);
const ledgerOf = (json: string): LedgerEntry[] => (JSON.parse(json) as { ledger: LedgerEntry[] }).ledger;
const shortHistory = (count: number, date: string) => ({
  stage: "split", reason: "short_history", count, unit: "dates",
  text: `dates are no sample dates: a sample needs 136 dates (a window of 16 and up to 120 dates before it that its features look back on), so scoring is possible from ${date} on`,
});

beforeAll(async () => {
  folder.write("prices.csv", csv(rows));
  expect(await train("--out", at("run"))).toMatchObject({ code: 0, err: expect.stringMatching(/^ledger: 135 dates are no sample dates: .* \(short_history\)$/m) as string });
});

describe("the ledger", () => {
  it("is printed by train on stderr, one line per reason, and is a field of its last JSON line", async () => {
    const { code, out, err } = await train("--json");
    expect(code).toBe(0);
    expect(err).not.toContain("ledger");
    const ledger = ledgerOf(out.split("\n").at(-1)!);
    expect(ledger).toContainEqual(shortHistory(135, days[135]!));
    for (const line of ledger) expect(Object.keys(line)).toEqual(["stage", "reason", "count", "unit", "text"]);
  });

  it("of a run is printed by evaluate, as of the data it was made from", async () => {
    const { err } = await astgnn("evaluate", "--run", at("run"));
    expect(err.split("\n")).toContainEqual(expect.stringMatching(/^ledger: \d+ values of return_120 are missing in the windows of rows: a processor fills them \(missing_return_120\)$/));
    expect(ledgerOf((await astgnn("evaluate", "--run", at("run"), "--json")).out)).toContainEqual(shortHistory(135, days[135]!));
  });

  it("of the data scored is printed by predict, and is in its result", async () => {
    folder.write("new.csv", csv(rows.filter((row) => row.date >= days[30]!)));
    const { code, err } = await predict("--data", at("new.csv"));
    expect([code, err]).toEqual([0, expect.stringMatching(/^ledger: 135 dates are no sample dates: .* scoring is possible from \S+ on \(short_history\)$/m)]);
    expect(err).toContain(`from ${days[165]} on`);
    expect(ledgerOf((await predict("--data", at("new.csv"), "--json")).out)).toContainEqual(shortHistory(135, days[165]!));
    const { ledger } = await predictRun(at("run"), at("new.csv"), { out: at("p.csv") });
    expect(ledger.entries).toContainEqual(shortHistory(135, days[165]!));
  });
});

it("--max-missing-dates keeps a stock in after a date without it, and says so", async () => {
  folder.write("gap.csv", csv(rows.filter((row) => row.ticker !== "S000" || row.date !== days[180])));
  expect(await trainOn("gap.csv", "--max-missing-dates", "1", "--out", at("gap"))).toMatchObject({ code: 0, err: expect.stringMatching(/^ledger: \d+ rows lack a close on up to 1 of the 16 dates of their window: .* \(window_gap\)$/m) as string });
  await predictRun(at("gap"), at("gap.csv"), { out: at("gap-scores.csv"), from: days[179]! });
  const dates = readFileSync(at("gap-scores.csv"), "utf8").split("\n").filter((line) => line.includes("S000")).map((line) => line.slice(0, 10));
  expect(dates).toEqual(days.slice(179).filter((date) => date !== days[180]));
});

describe("a split without dates", () => {
  it("is refused by predict and by evaluate, which say what to pass", async () => {
    using run = await loadRun(at("run"));
    const [model] = run.models;
    const description = run.dataset;
    const dataset = await (await openPanel(at("prices.csv"))).dataset({ description });
    await expect(model.predict(dataset.test)).rejects.toMatchObject({
      code: "ERR_DATA", option: "split",
      message: "dataset.test has no dates: the dataset was cut without a split. Pass await panel.dataset({ description, split: { trainEnd, validEnd } }), or score dataset.unlabelled, which has all of its sample dates.",
    });
    const { predictions } = await model.predict(dataset.unlabelled);
    expect(() => evaluate({ ...predictions, data: predictions.data.slice(0, 0), shape: [0, predictions.tickers.length], dates: [] }, dataset.test.labels)).toThrow(/^There are no dates to evaluate\. Pass the predictions and labels of a split that has dates/);
    const split = await (await openPanel(at("prices.csv"))).dataset({ description, split: { trainEnd: days[160]!, validEnd: days[175]! } });
    const { predictions: tested } = await model.predict(split.test);
    expect(evaluate(tested, split.test.labels).dates).toBe(split.test.dates.length);
  });
});

describe("astgnn predict with too little history", () => {
  it("scores nothing and says how many dates there are, how many are needed and from when on it can", async () => {
    folder.write("27.csv", csv(rows.filter((row) => row.date >= days[163]!)));
    const { code, out, err } = await predict("--data", at("27.csv"), "--out", at("short.csv"));
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/astgnn predict: .*27\.csv has 27 dates, but a sample needs 136: .* Scoring is possible from the 136th date on\. Read 109 more dates before/);
    expect(existsSync(at("short.csv"))).toBe(false);
  });

  it("scores the last of exactly 136 dates as with all the history there is", async () => {
    folder.write("136.csv", csv(rows.filter((row) => row.date >= days[54]!)));
    const scores = async (file: string): Promise<string> => {
      expect((await predict("--data", at(file), "--from", days[189]!)).code).toBe(0);
      return readFileSync(at("p.csv"), "utf8");
    };
    expect((await scores("136.csv")).split("\n").length).toBe(1 + 12 + 1);
    expect(await scores("136.csv")).toBe(await scores("prices.csv"));
  });

  it("refuses --from before the first date that can be scored, and begins there else", async () => {
    const early = await predict("--data", at("prices.csv"), "--from", days[134]!);
    expect(early.code).toBe(1);
    expect(early.err).toContain(`There is too little history for --from ${days[134]}: 135 of the 136 dates that a sample needs`);
    expect(early.err).toContain(`Scoring is possible from ${days[135]} on. Read 1 more date before ${days[0]}, or ask for ${days[135]} or later.`);
    expect((await predict("--data", at("prices.csv"), "--from", "2019-01-01")).err).toContain("0 of the 136 dates");
    const summary = JSON.parse((await predict("--data", at("prices.csv"), "--from", days[180]!, "--json")).out) as Record<string, unknown>;
    expect(summary).toMatchObject({ dates: 10, firstDate: days[180], lastDate: days[189] });
    expect((await predict("--data", at("prices.csv"), "--from", "2021-12-31")).err).toMatch(/has no date on 2021-12-31 or later: its last date is/);
    expect(await predict("--data", at("prices.csv"), "--from", "soon")).toMatchObject({ code: 2, err: expect.stringContaining('Expected a date as YYYY-MM-DD for --from but received "soon"') as string });
  });

  it("refuses train's --start in the words of the command line", async () => {
    const { code, err } = await train("--start", days[20]!);
    expect([code, err]).toEqual([1, expect.stringMatching(/astgnn train: There is too little history for --start \S+: 20 of the 136 dates .* or ask for \S+ or later\./)]);
  });

  it("is refused for dates named to model.predict too", async () => {
    using run = await loadRun(at("run"));
    const [model] = run.models;
    const dataset = await (await openPanel(at("prices.csv"))).dataset({ description: run.dataset });
    await expect(model.predict({ dataset, dates: [days[134]!] })).rejects.toMatchObject({ code: "ERR_DATA", date: days[134], message: expect.stringContaining("135 of the 136 dates") as string });
    const { ledger } = await model.predict({ dataset, dates: [days[135]!] });
    expect(ledger).toBe(dataset.ledger);
  });
});
