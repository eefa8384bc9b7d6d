import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Command } from "commander";
import { addTrainFlags } from "../../lib/cli/train-command.js";
import { AstgnnError } from "../../lib/index.js";
import { astgnn } from "../pipeline/cli-capture.js";
import { fuzz, FUZZ_TIMEOUT } from "./fuzz.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-fuzz-cli-"));
const COMMANDS = ["train", "plan", "predict", "evaluate", "audit", "explain", "peers", ""] as const;
const VALUES = ["", "0", "-1", "1", "1e9", "0.5", "nan", "ic", "{}", "[]", '{"ic":1}', "a,b", "1,2", ",", "--", "-", "2016-01-01", "2016-13-45", "K/N", "1/2", "nowhere.csv", "peers", "complete", "none", "é", "\u0000", "a=b", "="] as const;
let flags: string[];

beforeAll(() => {
  writeFileSync(join(folder, "broken.csv"), "date,ticker\n");
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
});
