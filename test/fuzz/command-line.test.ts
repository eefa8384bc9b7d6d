import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tableFromArrays, tableToIPC } from "@uwdata/flechette";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Command } from "commander";
import { addTrainFlags } from "../../lib/cli/train-command.js";
import { AstgnnError } from "../../lib/index.js";
import { astgnn } from "../pipeline/cli-capture.js";
import { fuzz, FUZZ_TIMEOUT } from "./fuzz.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-fuzz-cli-"));
const at = (name: string): string => join(folder, name);
const COMMANDS = ["train", "plan", "predict", "evaluate", "audit", "explain", "peers", ""] as const;
const VALUES = ["", "0", "-1", "1", "1e9", "0.5", "nan", "ic", "{}", "[]", '{"ic":1}', "a,b", "1,2", ",", "--", "-", "2016-01-01", "2016-13-45", "K/N", "1/2", "nowhere.csv", "peers", "complete", "none", "é", "\u0000", "a=b", "=", at("numbers.csv"), at("prices.csv"), at("covariance.csv"), "universe", '{"maxWeight":0.5}', "meanVariance"];
/** Commands that find what they are given here, and so get as far as to compute. */
const FINDING: Record<string, string[]> = {
  portfolio: ["--covariance", at("covariance.csv"), "--objective", "minimumVariance"],
  backtest: ["--weights", at("weights.csv"), "--data", at("prices.arrow")],
  pack: ["--data", at("prices.arrow"), "--window", "2", "--features", "close", "--max-dropped", "0.9", "--out", at("out.pack")],
  risk: ["--run", at("")],
  similar: ["--run", at(""), "--ticker", "A", "--date", "2020-01-02"],
};
let flags: string[];
const known = new Map<string, string[]>();

beforeAll(async () => {
  writeFileSync(at("broken.csv"), "date,ticker\n");
  const dates = Array.from({ length: 20 }, (_, t) => new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10));
  const lines = (value: (n: number, t: number) => number): string => dates.flatMap((date, t) => ["A", "B", "C"].map((ticker, n) => `${date},${ticker},${value(n, t)}`)).join("\n");
  const prices = lines((n, t) => 10 + n + Math.sin(t * (n + 1)));
  writeFileSync(at("prices.csv"), `date,ticker,close\n${prices}\n`);
  // The same as Arrow, which is read in a tenth of the time.
  const cells = prices.split("\n").map((line) => line.split(","));
  const table = { date: cells.map(([date]) => date!), ticker: cells.map(([, ticker]) => ticker!), close: cells.map(([, , close]) => Number(close)) };
  writeFileSync(at("prices.arrow"), tableToIPC(tableFromArrays(table as never), { format: "file" })!);
  writeFileSync(at("weights.csv"), `date,ticker,weight\n${lines((n) => 0.2 + 0.1 * n)}\n`);
  writeFileSync(at("covariance.csv"), ",A,B,C\nA,0.04,0.01,0\nB,0.01,0.09,-0.02\nC,0,-0.02,0.01\n");
  writeFileSync(at("numbers.csv"), "ticker,number\nA,0.1\nB,0.2\nC,0.3\n");
  for (const command of Object.keys(FINDING)) {
    const { out } = await astgnn(command, "--help");
    known.set(command, [...new Set(out.match(/--[a-z][a-z-]*/g))].filter((flag) => !["--out", "--positions", "--sql", "--help"].includes(flag)));
  }
  flags = ["--help", "--json", "--run", "--predictions", "--vary", "--show", "--plan", "--job", "--date", "--ticker", "--top", ...addTrainFlags(new Command()).options.map(({ long }) => long!).filter((long) => !["--data", "--sql", "--out"].includes(long))];
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("fuzz: command line", { timeout: FUZZ_TIMEOUT }, () => {
  it("arguments", () =>
    fuzz("arguments", 400, async (mutator) => {
      const argv: string[] = [mutator.pick(COMMANDS)].filter(Boolean);
      for (let words = mutator.below(6); words > 0; words--) {
        argv.push(mutator.pick(flags));
        if (mutator.below(4) > 0) argv.push(mutator.pick(VALUES));
      }
      // Never a run: the only data there are hold nothing.
      if (["train", "plan"].includes(argv[0] ?? "")) argv.push("--data", join(folder, "broken.csv"), "--out", join(folder, "out"));
      const { code, err } = await astgnn(...argv);
      expect([0, 1, 2], argv.join(" ")).toContain(code);
      if (err.includes("This should not happen")) throw new Error(`${argv.join(" ")}: ${err}`);
      if (code === 0) return;
      expect(err, argv.join(" ")).not.toBe("");
      throw new AstgnnError("ERR_OPTION", err);
    }));

  it("arguments of commands that find their data", () =>
    fuzz("arguments and data", 120, async (mutator) => {
      const command = mutator.pick(Object.keys(FINDING));
      const argv = [command, ...FINDING[command]!];
      if (mutator.below(4) === 0) argv[2 + 2 * mutator.below((argv.length - 1) / 2 - Number(command === "pack"))] = mutator.pick(VALUES);
      for (let words = mutator.below(4); words > 0; words--) {
        argv.push(mutator.pick(known.get(command)!));
        if (mutator.below(5) > 0) argv.push(mutator.pick(VALUES));
      }
      const { code, out, err } = await astgnn(...argv);
      if (/should not happen/.test(err) || ![0, 1, 2].includes(code)) throw new Error(`${argv.join(" ")}: ${code}, ${err}`);
      // JSON has no NaN, and a table of numbers none without a reason beside it.
      if (code === 0 && argv.includes("--json") && !argv.includes("--debug")) JSON.parse(out);
      if (code !== 0) throw new AstgnnError("ERR_OPTION", err);
    }));
});
