import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lockHolder, thisProcess, withLock } from "../../lib/setup/lock.js";
import { lineChart, ticksOf } from "../../lib/watch/line-chart.js";
import { MetricsFile } from "../../lib/watch/metrics-file.js";
import { watchContent, watchPage } from "../../lib/watch/page.js";
import { RunWatcher } from "../../lib/watch/run-watcher.js";
import { astgnn } from "../pipeline/cli-capture.js";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "astgnn-watch-"))));
afterEach(() => rmSync(folder, { recursive: true }));
const at = (...names: string[]): string => join(folder, ...names);

const line = (epoch: number, more: object = {}): string =>
  `${JSON.stringify({ epoch, train: { loss: 1 / epoch, terms: { ic: -0.01 * epoch } }, valid: { loss: 2 / epoch, ic: 0.02 * epoch, rankIc: 0.03, peerCorrelation: 0.1, effectiveNeighbours: 12 }, isBest: epoch < 3, seconds: 10, seed: 0, ...more })}\n`;

/** A run folder with some epochs and what run.json says. */
function run(name: string, epochs: number, description: object | undefined = { status: "running", training: { epochs: 4, patience: 0 } }): void {
  mkdirSync(at(name), { recursive: true });
  if (description !== undefined) writeFileSync(at(name, "run.json"), JSON.stringify(description));
  if (epochs > 0) writeFileSync(at(name, "metrics.jsonl"), Array.from({ length: epochs }, (_, i) => line(i + 1)).join(""));
}

/** A lock whose process has ended. */
function deadLock(name: string): void {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  writeFileSync(at(name, ".lock"), JSON.stringify({ id: "x", ...thisProcess(), pid, since: "2026-01-02T03:04:05.678Z" }));
}

const look = (name: string) => new RunWatcher(at(name)).look();

describe("A metrics.jsonl that is being written", () => {
  it("is read on from where the last look ended, a half-written last line when it is whole", async () => {
    const file = new MetricsFile(at("metrics.jsonl"));
    expect(await file.read()).toEqual([]);
    writeFileSync(at("metrics.jsonl"), line(1) + line(2).slice(0, 30));
    expect((await file.read()).map(({ epoch }) => epoch)).toEqual([1]);
    appendFileSync(at("metrics.jsonl"), line(2).slice(30));
    expect((await file.read())[1]).toEqual({ epoch: 2, trainLoss: 0.5, validLoss: 1, trainIc: 0.02, validIc: 0.04, rankIc: 0.03, peerCorrelation: 0.1, effectiveNeighbours: 12, seconds: 10, isBest: true });
  });

  it("is read anew where a resume replaced it, and where it became shorter", async () => {
    const file = new MetricsFile(at("metrics.jsonl"));
    writeFileSync(at("metrics.jsonl"), [1, 2, 3].map((epoch) => line(epoch)).join(""));
    expect(await file.read()).toHaveLength(3);
    writeFileSync(at("other"), line(1) + line(2, { seconds: 20 }));
    renameSync(at("other"), at("metrics.jsonl"));
    expect((await file.read()).map(({ seconds }) => seconds)).toEqual([10, 20]);
    truncateSync(at("metrics.jsonl"), line(1).length);
    expect(await file.read()).toHaveLength(1);
    rmSync(at("metrics.jsonl"));
    expect([await file.read(), file.modified]).toEqual([[], undefined]);
  });

  it("may hold what is no epoch: other lines, NaN as null, a line without end", async () => {
    writeFileSync(at("metrics.jsonl"), `\nnot json\n[1]\n"text"\n{"epoch":0}\n{"epoch":"7"}\n${JSON.stringify({ epoch: 5, train: { loss: null, terms: {} }, valid: null })}\n${"x".repeat(3 << 20)}`);
    const file = new MetricsFile(at("metrics.jsonl"));
    const unknown = { trainLoss: null, validLoss: null, trainIc: null, validIc: null, rankIc: null, peerCorrelation: null, effectiveNeighbours: null, seconds: null, isBest: false };
    expect(await file.read()).toEqual([{ epoch: 5, ...unknown }]);
  });
});

describe("The state of a run", () => {
  it("waits for one that is not begun, with and without a folder", async () => {
    expect(await look("nowhere")).toMatchObject({ state: "waiting", runs: [{ name: "", state: "waiting", epochs: [] }], secondsLeft: undefined });
    mkdirSync(at("empty"));
    expect(await look("empty")).toMatchObject({ state: "waiting" });
    await withLock(at("empty", ".lock"), {}, async () => expect(await look("empty")).toMatchObject({ state: "running", runs: [{ name: "", epochs: [] }], holder: { pid: process.pid, isAlive: true } }));
  });

  it("tells running, finished, interrupted and crashed by the lock and run.json, and leaves the lock", async () => {
    run("a", 2);
    await withLock(at("a", ".lock"), {}, async () => expect(await look("a")).toMatchObject({ state: "running", holder: { pid: process.pid, isAlive: true } }));
    expect(await look("a")).toMatchObject({ state: "stopped", holder: undefined });
    deadLock("a");
    expect(await look("a")).toMatchObject({ state: "crashed", runs: [{ bestEpoch: 2 }], holder: { isAlive: false, since: "2026-01-02T03:04:05.678Z" } });
    expect(existsSync(at("a", ".lock"))).toBe(true);
    run("b", 4, { status: "finished", training: { epochs: 4 }, bestEpoch: 1 });
    expect(await look("b")).toMatchObject({ state: "finished", runs: [{ bestEpoch: 1 }], secondsLeft: undefined });
  });

  it("takes a holder elsewhere by its signs of life, and no half-written lock for one", async () => {
    const elsewhere = { id: "x", ...thisProcess(), machine: "another", since: "" };
    writeFileSync(at(".lock"), JSON.stringify(elsewhere));
    expect(await lockHolder(at(".lock"))).toMatchObject({ isAlive: true });
    utimesSync(at(".lock"), new Date(0), new Date(0));
    expect(await lockHolder(at(".lock"))).toMatchObject({ isAlive: false });
    writeFileSync(at(".lock"), JSON.stringify(elsewhere).slice(0, 20));
    expect(await lockHolder(at(".lock"))).toBeUndefined();
  });

  it("is that of a replacement while --overwrite builds one", async () => {
    run("a", 4, { status: "finished", training: { epochs: 4 } });
    run("a/.replacement", 1);
    expect(await look("a")).toMatchObject({ state: "finished", runs: [{ name: "" }] });
    await withLock(at("a", ".lock"), {}, async () => expect(await look("a")).toMatchObject({ state: "running", runs: [{ name: "", epochs: [{ epoch: 1 }], plannedEpochs: 4 }] }));
  });

  it("counts the time left from the pace of the last epochs and the clock", async () => {
    run("a", 2, { status: "running", training: { epochs: 4, patience: 3 } });
    utimesSync(at("a", "metrics.jsonl"), 1000, 1000);
    const after = (seconds: number) => new RunWatcher(at("a"), () => 1000 * (1000 + seconds)).look();
    await withLock(at("a", ".lock"), {}, async () => {
      expect(await after(4)).toMatchObject({ secondsLeft: 16, mayStopEarly: true });
      // An epoch that takes longer takes no time from the next.
      expect(await after(100)).toMatchObject({ secondsLeft: 10 });
    });
  });

  it("sums up the seeds of an ensemble, those to come among them", async () => {
    run("e", 0, { status: "running", training: { epochs: 4 }, members: ["seed-0", "seed-1", "seed-10"] });
    run("e/seed-0", 4, { status: "finished", training: { epochs: 4 }, bestEpoch: 2 });
    run("e/seed-1", 1);
    await withLock(at("e", ".lock"), {}, () =>
      withLock(at("e", "seed-1", ".lock"), {}, async () => {
        const modified = Date.now();
        utimesSync(at("e", "seed-1", "metrics.jsonl"), modified / 1000, modified / 1000);
        const watched = await new RunWatcher(at("e"), () => modified).look();
        expect(watched.runs.map(({ name, state }) => [name, state])).toEqual([["seed-0", "finished"], ["seed-1", "running"], ["seed-10", "waiting"]]);
        expect(watched.state).toBe("running");
        expect(watched.secondsLeft).toBeCloseTo(30 + 40, 2);
      }));
    expect(await look("e")).toMatchObject({ state: "stopped" });
  });

  it("finds folds and their seeds, and takes only names from run.json", async () => {
    run("w", 0, { status: "running", folds: [{ name: "fold-01" }, { name: "fold-02" }, { name: "../../x" }, { name: 3 }] });
    run("w/fold-01/seed-0", 4, { status: "finished" });
    run("w/fold-01/seed-1", 4, { status: "finished" });
    mkdirSync(at("w", "fold-02", ".hidden"), { recursive: true });
    const watched = await look("w");
    expect(watched.runs.map(({ name, state }) => [name, state])).toEqual([["fold-01/seed-0", "finished"], ["fold-01/seed-1", "finished"], ["fold-02", "waiting"]]);
    expect(watched.state).toBe("stopped");
    run("w/fold-02", 4, { status: "finished" });
    writeFileSync(at("w", "run.json"), JSON.stringify({ status: "finished", folds: [] }));
    expect(await look("w")).toMatchObject({ state: "finished" });
  });

  it("is read once where several ask at the same time", async () => {
    run("a", 3);
    const watcher = new RunWatcher(at("a"));
    const [first, second] = [watcher.look(), watcher.look()];
    expect(first).toBe(second);
    expect((await watcher.look()).runs[0]!.epochs).toHaveLength(3);
  });
});

describe("The page", () => {
  const parts = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, part]) => part!);

  it("shows four charts, a table of the runs and one of the epochs, with training lines dotted", async () => {
    run("a", 3);
    const page = watchContent(await look("a"));
    expect(parts(page, /<h2>([^<]*)/g)).toEqual(["Loss", "IC", "Peer correlation", "Effective neighbours"]);
    expect(parts(page, /aria-label="([^"]*)"/g)).toEqual(expect.arrayContaining(["IC. training: 0.0100 in epoch 1, 0.0300 in epoch 3; validation: 0.0200 in epoch 1, 0.0600 in epoch 3"]));
    expect(page.match(/class="line c0 dashed"/g)).toHaveLength(2);
    expect(page).toContain("<title>validation, epoch 2: 0.0400, the best</title>");
    expect(page).toContain("3 of 4 epochs; interrupted, or ended with an error: train --resume goes on");
    expect(page).toContain('<details id="epochs-0">');
  });

  it("says at most where a run may stop early, and that it writes when all epochs are done", async () => {
    run("a", 2, { status: "running", training: { epochs: 4, patience: 1 } });
    await withLock(at("a", ".lock"), {}, async () => {
      expect(watchContent(await look("a"))).toMatch(/2 of 4 epochs, at most \d+ s left/);
      run("a", 4);
      expect(watchContent(await look("a"))).toContain("4 of 4 epochs, scoring and writing");
    });
  });

  it("escapes what comes from names and files", async () => {
    run("<i>&'\"", 1, { status: "running", warnings: [{ text: "<script>alert(1)</script>" }, { text: 3 }] });
    const page = watchPage(await look("<i>&'\""), { isLive: false });
    expect(page).not.toMatch(/<i>|<script/);
    expect(page).toContain("&lt;script&gt;");
  });

  it("has no address of anything elsewhere, and a policy that allows its own style and script only", async () => {
    run("a", 1);
    for (const isLive of [false, true]) {
      const page = watchPage(await look("a"), { isLive });
      expect(page).not.toMatch(/https?:|\bsrc=|<link(?! rel="icon" href="data:,")|url\(|@import| style="| on[a-z]+="/);
      expect(page).toContain("default-src 'none'");
      expect(page.includes("<script>")).toBe(isLive);
    }
  });

  it("stays small with many runs of many epochs", async () => {
    for (let seed = 0; seed < 12; seed++) run(`many/seed-${seed}`, 600);
    const page = watchPage(await look("many"), { isLive: true });
    expect(page.length).toBeLessThan(1 << 20);
    expect(page).not.toContain("dashed\" d=\"M46");
    expect(page).toContain("seed-11");
  });
});

describe("A chart", () => {
  it("breaks its line where a value is missing, and says so where there is none", () => {
    const svg = (points: [number, number | null][]): string => lineChart({ title: "t", description: "d", digits: 1, lastX: 4, lines: [{ name: "a", colour: "c0", points }] });
    expect(/ d="([^"]*)"/.exec(svg([[1, 0], [2, 1], [3, null], [4, 1]]))![1]!.replace(/[\d. ]+/g, "")).toBe("MLM");
    expect(svg([])).toContain("no epoch yet");
    expect(svg([[1, null]])).not.toMatch(/NaN|Infinity/);
    expect(svg([[1, 3]])).not.toMatch(/NaN|Infinity/);
  });

  it.each([[0, 1], [-0.0151, 0.0432], [57.4, 57.5], [3, 3], [0, 0], [-2e-9, 1e-9], [1e6, 3.7e6]])("has round ticks that enclose %d to %d", (low, high) => {
    const ticks = ticksOf(low, high);
    expect(ticks.length).toBeGreaterThanOrEqual(3);
    expect(ticks.length).toBeLessThanOrEqual(7);
    expect(ticks[0]).toBeLessThanOrEqual(low);
    expect(ticks.at(-1)).toBeGreaterThanOrEqual(high);
  });
});

describe("astgnn watch --once", () => {
  it("writes the page into the run's folder, or where --out says, and ends", async () => {
    run("a", 2);
    const { code, out } = await astgnn("watch", at("a"), "--once");
    expect([code, out]).toEqual([0, `stopped: 2 of 4 epochs; interrupted, or ended with an error: train --resume goes on; the page is ${at("a", "watch.html")}`]);
    expect(readFileSync(at("a", "watch.html"), "utf8")).toMatch(/^<!doctype html>[^]*<svg[^]*<\/html>\n$/);
    expect(JSON.parse((await astgnn("watch", at("a"), "--once", "--out", at("page.html"), "--json")).out)).toEqual({ event: "written", out: at("page.html"), state: "stopped" });
  });

  it("refuses a folder that is not there, --out without it, and a port that is none", async () => {
    expect(await astgnn("watch", at("nowhere"), "--once")).toMatchObject({ code: 1, err: `astgnn watch: There is no folder ${at("nowhere")}. Name the folder of a run.` });
    expect(await astgnn("watch", at("nowhere"), "--out", "x.html")).toMatchObject({ code: 2 });
    expect(await astgnn("watch", at("nowhere"), "--port", "70000")).toMatchObject({ code: 2, err: expect.stringContaining("for --port but received \"70000\"") });
    expect(await astgnn("watch")).toMatchObject({ code: 2 });
  });

  it("ends at once where a run is over, and says how it ended", async () => {
    run("a", 4, { status: "finished", training: { epochs: 4 } });
    expect(await astgnn("watch", at("a"))).toMatchObject({ code: 0, out: "finished: 4 of 4 epochs. Nothing to watch: --once writes the page as a file." });
  });
});

describe("A run folder that is a stranger's", () => {
  const evil = '<img src=x onerror="alert(1)">';

  it("puts no markup on the page, whatever its files say", async () => {
    run("run", 2, { status: evil, training: { epochs: evil, patience: evil }, bestEpoch: evil, warnings: [{ text: evil }, evil, { text: 7 }] });
    writeFileSync(at("run", "metrics.jsonl"), line(1, { epoch: evil }) + line(2, { seconds: evil, train: { loss: evil, terms: evil }, valid: { loss: [evil], ic: { toFixed: evil } } }));
    writeFileSync(at("run", ".lock"), JSON.stringify({ id: "x", ...thisProcess(), host: evil, since: evil }));
    const page = watchContent(await look("run"));
    expect(page).toContain("&lt;img src=x");
    expect(page).not.toContain("<img");
  });

  it.each([
    ["null", "null"], ["[]", "null"], ['"text"', "7"], ['{"members":7,"folds":"x","warnings":{"text":"x"},"training":[]}', '{"id":7}'], ['{"folds":[null,7,{"name":{}}],"members":{"length":3}}', '{"id":"x","since":7,"host":null}'],
    ['{"training":{"epochs":-1},"warnings":[null]}', "[null]"], ['{"training":{"epochs":1e308,"patience":"3"}}', '{"id":"../x"}'],
  ])("is shown where run.json is %s and its lock %s", async (description, lock) => {
    run("run", 1, undefined);
    writeFileSync(at("run", "run.json"), description);
    writeFileSync(at("run", ".lock"), lock);
    const watched = await look("run");
    expect(watched.runs).toHaveLength(1);
    expect(watchPage(watched, { isLive: true })).toContain("1 epoch");
  });
});
