import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Database } from "../../lib/data/source/database.js";
import { astgnn } from "./cli-capture.js";

let folder: string;
const at = (name: string): string => join(folder, name);
const SPLIT = ["--train-end", "2020-02-14", "--valid-end", "2020-02-28"];

/** Prices of 12 stocks on 60 weekdays from 2020-01-01, `change` applied to each line. */
function prices(change: (line: string, row: number) => string = (line) => line): string {
  const lines = ["date,ticker,open,high,low,close,volume,value"];
  let row = 0;
  for (let day = 0, date = new Date(Date.UTC(2020, 0, 1)); day < 60; date.setUTCDate(date.getUTCDate() + 1)) {
    if ([0, 6].includes(date.getUTCDay())) continue;
    for (let n = 0; n < 12; n++) {
      const close = 20 + n + Math.sin(day * (n + 1));
      lines.push(change([date.toISOString().slice(0, 10), `T${n}`, close, close + 1, close - 1, close, 1000 + n, Math.cos(day + n)].join(","), ++row));
    }
    day++;
  }
  return `${lines.join("\n")}\n`;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "astgnn-bad-"));
  await writeFile(at("good.csv"), prices());
  await writeFile(at("no-close.csv"), "date,ticker\n2020-01-01,A\n");
  await writeFile(at("text.csv"), prices((line, row) => (row === 100 ? line.replace(/,[\d.]+,1003,/, ",abc,1003,") : line)));
  await writeFile(at("infinite.csv"), prices((line, row) => (row === 50 ? `${line.slice(0, line.lastIndexOf(","))},inf` : line)));
  await writeFile(at("twice.csv"), prices((line, row) => (row === 30 ? `${line}\n${line}` : line)));
  await writeFile(at("bad-date.csv"), prices((line, row) => (row === 7 ? line.replace("2020-01-01", "January") : line)));
  await writeFile(at("empty.csv"), "date,ticker,close\n");
  await writeFile(at("fake.parquet"), "this is no parquet file\n");
  await writeFile(at("groups.csv"), "ticker,industry\nT0,a\nT1,b\n");
  await writeFile(at("not-a-run.txt"), "");
  await mkdir(at("folder.parquet"));
  await using database = Database.open();
  const rows = "VALUES (DATE '2020-01-01', 'A', 'test', 1.0, 0.1), (DATE '2020-01-01', 'B', 'test', 2.0, 0.2)";
  const runs = { unfinished: [rows, "running"], twice: [`${rows}, (DATE '2020-01-01', 'A', 'test', 3.0, 0.3)`, "finished"], broken: [rows, "finished"] } as const;
  for (const [name, [values, status]] of Object.entries(runs)) {
    await mkdir(at(name));
    await writeFile(join(at(name), "run.json"), JSON.stringify({ status, training: { loss: "ic" } }));
    await writeFile(join(at(name), "report.json"), name === "broken" ? "{" : "{}");
    await database.run(`COPY (SELECT * FROM (${values}) t(date, ticker, split, prediction, label)) TO '${join(at(name), "predictions.parquet")}' (FORMAT parquet)`, name);
  }
  await mkdir(at("columns"));
  await writeFile(join(at("columns"), "run.json"), JSON.stringify({ status: "finished" }));
  await database.run(`COPY (SELECT DATE '2020-01-01' AS date, 'A' AS ticker, 'test' AS split, 0.1 AS label) TO '${join(at("columns"), "predictions.parquet")}' (FORMAT parquet)`, "columns");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const train = (...flags: string[]): string[] => ["train", "--data", at("good.csv"), ...SPLIT, ...flags];

describe("bad usage ends with code 2 and one sentence that says what to do", () => {
  const cases: [name: string, argv: () => string[], message: string | RegExp][] = [
    ["no command", () => [], "Usage: astgnn"],
    ["unknown command", () => ["trian"], "astgnn: Unknown command 'trian'. Did you mean train?"],
    ["unknown option", () => ["train", "--windw", "5"], "astgnn train: Unknown option '--windw'. Did you mean --window?"],
    ["unknown option, nothing near", () => ["info", "--frobnicate"], "astgnn info: Unknown option '--frobnicate'. See astgnn info --help."],
    ["stray argument", () => ["info", "runs/first"], /astgnn info: Too many arguments .* got 1\. See/],
    ["no value", () => ["train", "--window"], "astgnn train: Option '--window <dates>' argument missing. See astgnn train --help."],
    ["no data", () => ["train", ...SPLIT], "astgnn train: No data are named. Add --data FILE."],
    ["data twice", () => train("--sql", "select 1"), "astgnn train: Both --data and --sql are given. Give one of them."],
    ["no split", () => ["train", "--data", at("good.csv")], "astgnn train: Nothing says where training ends. Add --train-end DATE"],
    ["half a split", () => ["train", "--data", at("good.csv"), "--valid-end", "2020-02-28"], "Nothing says where training ends."],
    ["no run", () => ["evaluate"], "astgnn evaluate: Neither --run nor --predictions is given. Give one of them."],
    ["no output", () => ["predict", "--run", folder, "--data", at("good.csv")], "astgnn predict: Required option '--out <file>' not specified."],
    ["output of unknown kind", () => ["predict", "--run", folder, "--data", at("good.csv"), "--out", "scores.xlsx"], 'Expected a path that ends in .parquet or .csv for out but received "scores.xlsx"'],
    ["output in no folder", () => ["predict", "--run", folder, "--data", at("good.csv"), "--out", "/no/such/folder/p.csv"], "There is no folder /no/such/folder for /no/such/folder/p.csv. Make it first."],
    ["number that is text", () => train("--epochs", "many"), 'astgnn train: Expected a whole number from 1 for --epochs but received "many" of type string.'],
    ["number out of range", () => train("--dropout", "1"), "Expected a number from 0 to below 1 for --dropout but received 1"],
    ["negative number", () => train("--label-lag", "-1"), "label"],
    ["too few factors", () => train("--num-risk-factors", "1"), "Expected a whole number from 2 for --num-risk-factors but received 1"],
    ["scale of zero", () => train("--similarity-scale", "0"), "--similarity-scale"],
    ["slope of one", () => train("--gat-negative-slope", "1"), "Expected a number from 0 to below 1 for --gat-negative-slope but received 1"],
    ["unknown mode", () => train("--tgc-modes", "add,multiply"), /"add" or "subtract".*"multiply"/],
    ["heads that do not divide", () => train("--gat-num-heads", "3"), "Expected a divisor of --gat-hidden-size (128) for --gat-num-heads but received 3"],
    ["unknown loss", () => train("--loss", "sharpe"), /Expected "mse", "ic".* for --loss but received "sharpe"/],
    ["loss that is no JSON", () => train("--loss", '{"terms": [}'), "The value of --loss is not valid JSON"],
    ["seed and seeds", () => train("--seed", "0", "--seeds", "0,1"), "Both seed and seeds are given."],
    ["equal seeds", () => train("--seeds", "1,1"), "Expected different seeds for --seeds"],
    ["resume and overwrite", () => train("--out", at("x"), "--resume", "--overwrite"), "Both resume and overwrite are given."],
    ["resume without a folder", () => train("--resume"), "resume needs a run folder."],
    ["graph and no graph", () => train("--graph", "groups", "--no-graph"), "Both --graph and --no-graph are given."],
    ["no graph and a complete one", () => train("--no-graph", "--similarity-graph", "complete"), "--no-graph and --similarity-graph complete contradict each other."],
    ["directed edges without edges", () => train("--directed-edges"), "--directed-edges needs an edges file. Add --edges FILE."],
    ["window of zero", () => train("--window", "0"), "Expected a whole number of panel dates from 1 for --window but received 0"],
    ["date of another form", () => ["train", "--data", at("good.csv"), "--train-end", "14.2.2020", "--valid-end", "2020-02-28"], "YYYY-MM-DD"],
    ["unknown graph", () => train("--graph", "ring"), /for --graph but received "ring"/],
    ["groups that are not there", () => train("--graph", "groups", "--features", "value", "--window", "3"), 'Graph "groups" needs'],
    ["demo with no number", () => ["demo", "--seeds", "one"], 'received "one" of type string'],
    ["demo with both", () => ["demo", "--seed", "1", "--seeds", "2"], "Both --seed and --seeds are given."],
  ];
  for (const [name, argv, message] of cases) {
    it(name, async () => {
      const { code, out, err } = await astgnn(...argv());
      expect(err).toMatch(message instanceof RegExp ? message : new RegExp(message.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")));
      expect(err).not.toMatch(/\n\s+at /);
      expect(out).toBe("");
      expect(code).toBe(2);
    });
  }
});

describe("bad input ends with code 1 and names file, column, row or date", () => {
  const columns = ["--features", "value", "--window", "3"];
  const data = (file: string, ...flags: string[]): string[] => ["train", "--data", at(file), ...SPLIT, ...columns, ...flags];
  const cases: [name: string, argv: () => string[], message: RegExp][] = [
    ["file that does not exist", () => data("nowhere.parquet"), /astgnn train: File .*nowhere\.parquet does not exist\. Check the path\./],
    ["folder in place of a file", () => data("folder.parquet"), /folder\.parquet is a folder/],
    ["file that is no Parquet", () => data("fake.parquet"), /fake\.parquet.*no complete Parquet file/],
    ["table without rows", () => data("empty.csv"), /empty\.csv/],
    ["text among numbers", () => data("text.csv"), /text\.csv.*close.*"abc".*row 100|close.*text\.csv.*"abc"/],
    ["infinite value", () => data("infinite.csv"), /infinite\.csv|value/],
    ["row that stands twice", () => data("twice.csv"), /T5.*2020-01-03|twice\.csv/],
    ["date that is none", () => data("bad-date.csv"), /January/],
    ["feature that is not there", () => ["train", "--data", at("good.csv"), ...SPLIT, "--features", "valu", "--window", "3"], /valu.*value|value.*valu/],
    ["date column that is not there", () => data("good.csv", "--date-column", "day"), /day/],
    ["groups column that is not there", () => data("good.csv", "--groups", at("groups.csv")), /groups\.csv.*group/],
    ["window longer than the panel", () => ["train", "--data", at("good.csv"), ...SPLIT, "--features", "value", "--window", "100"], /100/],
    ["run that does not exist", () => ["evaluate", "--run", at("nowhere")], /astgnn evaluate: There is no folder .*nowhere\. Name the --out folder of a training\./],
    ["folder that is no run", () => ["evaluate", "--run", folder], /holds no run: it has no run\.json/],
    ["file in place of a run", () => ["evaluate", "--run", at("not-a-run.txt")], /There is no folder/],
    ["run that is not finished", () => ["evaluate", "--run", at("unfinished")], /The run in .*unfinished is not finished\. Continue it with astgnn train --resume\./],
    ["stock that stands twice in the predictions", () => ["evaluate", "--run", at("twice")], /A on 2020-01-01 stands twice in .*predictions\.parquet/],
    ["report that is cut off", () => ["evaluate", "--run", at("broken")], /report\.json is not valid JSON/],
    ["predictions without a prediction", () => ["evaluate", "--run", at("columns")], /has no column prediction; it has date, ticker, split, label/],
    ["prediction with no run", () => ["predict", "--run", folder, "--data", at("good.csv"), "--out", at("p.csv")], /holds no run/],
  ];
  for (const [name, argv, message] of cases) {
    it(name, async () => {
      const { code, out, err } = await astgnn(...argv());
      expect(err.split("\n").filter((line) => line.startsWith("astgnn")).join("\n")).toMatch(message);
      expect(err).not.toMatch(/\n\s+at /);
      expect(out).toBe("");
      expect(code).toBe(1);
    });
  }

  it("adds the stack with --debug only", async () => {
    const { err } = await astgnn("evaluate", "--run", at("nowhere"), "--debug");
    expect(err).toMatch(/\n\s+at /);
  });

  it("keeps stdout to JSON: nothing there when a command fails", async () => {
    const { code, out, err } = await astgnn("evaluate", "--run", at("nowhere"), "--json");
    expect([code, out]).toEqual([1, ""]);
    expect(err).toContain("There is no folder");
  });
});

describe("help", () => {
  for (const command of ["setup", "info", "demo", "train", "predict", "evaluate", "audit"]) {
    it(`of ${command} ends with code 0 and knows --json and --debug`, async () => {
      const { code, out, err } = await astgnn(command, "--help");
      expect([code, err]).toEqual([0, ""]);
      expect(out).toContain(`Usage: astgnn ${command}`);
      expect(out).toContain("--json");
      expect(out).toContain("--debug");
    });
  }
});
