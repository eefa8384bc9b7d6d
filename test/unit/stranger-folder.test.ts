import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadRun } from "../../lib/index.js";
import { readPlan } from "../../lib/evaluate/sweep/plan-file.js";
import { partialPath, writeFileAtomically } from "../../lib/model/atomic-write.js";
import { RunFolder } from "../../lib/run/folder.js";

let root: string;
beforeEach(() => (root = mkdtempSync(join(tmpdir(), "astgnn-stranger-"))));
afterEach(() => rmSync(root, { recursive: true }));

describe("A run folder that somebody else made", () => {
  it.each(["../../victim", "/", "seed-0/../../../victim", ".", 7])("moves and removes nothing outside it: a replacement with the member %s", async (member) => {
    const [run, victim] = [join(root, "a", "run"), join(root, "victim")];
    mkdirSync(join(run, ".replacing"), { recursive: true });
    for (const folder of [victim, join(root, "a", "victim")]) {
      mkdirSync(folder);
      for (const name of ["model.safetensors", "report.html"]) writeFileSync(join(folder, name), "mine");
    }
    writeFileSync(join(run, ".replacing", "run.json"), JSON.stringify({ kind: "ensemble", members: [member] }));
    await expect(loadRun(run)).rejects.toMatchObject({ code: "ERR_CHECKPOINT", file: join(run, ".replacing", "run.json") });
    for (const folder of [victim, join(root, "a", "victim")]) expect(readdirSync(folder)).toEqual(["model.safetensors", "report.html"]);
  });

  it.each(["../victim", "/tmp/victim", ".", "", "a/b", 7, null])("is refused where its plan has a trial named %s", async (name) => {
    const content = { formatVersion: 1, flags: [], seeds: 0, space: {}, random: null, trials: [{ name: "trial-1", settings: {}, folds: null }, { name, settings: {}, folds: null }] };
    const sha256 = createHash("sha256").update(JSON.stringify(content)).digest("hex");
    writeFileSync(join(root, "plan.json"), JSON.stringify({ ...content, sha256 }));
    await expect(readPlan(join(root, "plan.json"))).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringContaining("no name of a folder") as string });
  });

  it("is refused by name where its replacement's run.json is no JSON", async () => {
    mkdirSync(join(root, ".replacing"));
    writeFileSync(join(root, ".replacing", "run.json"), "{");
    await expect(loadRun(root)).rejects.toMatchObject({ code: "ERR_CHECKPOINT" });
  });

  it("leads no bytes elsewhere by links of the names that are written", async () => {
    const treasure = join(root, "treasure");
    writeFileSync(treasure, "mine");
    const run = join(root, "run");
    mkdirSync(run);
    symlinkSync(treasure, partialPath(join(run, "run.json")));
    await writeFileAtomically(join(run, "run.json"), "{}");
    const fresh = join(root, "fresh");
    mkdirSync(fresh);
    symlinkSync(join(root, "made"), join(fresh, "metrics.jsonl"));
    const { folder } = await RunFolder.open(fresh, { resume: true, overwrite: false }, "run");
    await expect(folder.appendEpoch({} as never)).rejects.toMatchObject({ code: "ERR_WRITE" });
    expect([readFileSync(treasure, "utf8"), existsSync(join(root, "made"))]).toEqual(["mine", false]);
    expect(readFileSync(join(run, "run.json"), "utf8")).toBe("{}");
  });
});
