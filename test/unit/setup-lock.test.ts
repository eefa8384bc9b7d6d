import { spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { lockHolder, thisProcess, withLock } from "../../lib/setup/lock.js";
import { scratch } from "./libtorch-fixture.js";

const root = scratch();
let count = 0;
const fresh = (): string => join(root, `lock-${++count}`);
const deadPid = (): number => spawnSync(process.execPath, ["-e", ""]).pid;
const holder = (change: object): string => JSON.stringify({ id: "x", ...thisProcess(), thread: undefined, since: "2026-01-01T00:00:00.000Z", ...change });

it("lets one body run at a time and leaves no file", async () => {
  const file = fresh();
  let inside = 0;
  let most = 0;
  const body = async (): Promise<void> => {
    most = Math.max(most, ++inside);
    await new Promise((done) => setImmediate(done));
    inside--;
  };
  await Promise.all(Array.from({ length: 8 }, () => withLock(file, { pollMs: 1 }, body)));
  expect(most).toBe(1);
  expect(readdirSync(root).filter((name) => file.endsWith(name.split(".")[0]!))).toEqual([]);
});

it("is released when the body throws", async () => {
  const file = fresh();
  await expect(withLock(file, {}, () => Promise.reject(new Error("inside")))).rejects.toThrow("inside");
  expect(existsSync(file)).toBe(false);
});

it("takes over from a dead process, and from a file that is no lock", async () => {
  const file = fresh();
  const longAgo = new Date(Date.now() - 5_000);
  for (const content of [holder({ pid: deadPid() }), "half a lo", ""]) {
    writeFileSync(file, content);
    utimesSync(file, longAgo, longAgo);
    expect(await withLock(file, {}, async () => "in")).toBe("in");
  }
});

it("waits for another machine's process only as long as that shows signs of life", async () => {
  const file = fresh();
  writeFileSync(file, holder({ pid: 1, host: "elsewhere", machine: "another" }));
  const abort = new AbortController();
  const waiting = withLock(file, { pollMs: 1, signal: abort.signal, onWait: () => abort.abort() }, async () => "in");
  await expect(waiting).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
  const longAgo = new Date(Date.now() - 200_000);
  utimesSync(file, longAgo, longAgo);
  expect(await withLock(file, {}, async () => "in")).toBe("in");
});

it("says whom it waits for, once", async () => {
  const file = fresh();
  const holders: string[] = [];
  let release = (): void => undefined;
  let first: Promise<void> | undefined;
  // Only who holds the lock can be waited for.
  await new Promise<void>((held) => {
    first = withLock(file, {}, () => new Promise((done) => (held(), (release = done))));
  });
  const second = withLock(file, { pollMs: 1, onWait: (holder) => (holders.push(holder), setTimeout(release, 20)) }, async () => undefined);
  await Promise.all([first, second]);
  expect(holders).toEqual([expect.stringMatching(new RegExp(`^process ${process.pid} on ${hostname()} since \\d{4}-\\d\\d-\\d\\dT`))]);
});

it("goes with its process", async () => {
  const file = fresh();
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  await new Promise((done) => child.once("spawn", done));
  writeFileSync(file, holder({ pid: child.pid, start: "" }));
  const entered = withLock(file, { pollMs: 5, onWait: () => child.kill("SIGKILL") }, async () => "in");
  expect(await entered).toBe("in");
});

it("is taken over at once where the holder's pid is another process's by now, and never from one that runs, however long it is silent", async () => {
  const file = fresh();
  // The parent runs; a start time that is not its own is that of a process which had its pid before.
  writeFileSync(file, holder({ pid: process.ppid, start: "1" }));
  expect(await withLock(file, { onWait: () => expect.unreachable() }, async () => "in")).toBe("in");
  writeFileSync(file, holder({ pid: process.ppid, start: "" }));
  const longAgo = new Date(Date.now() - 200_000);
  utimesSync(file, longAgo, longAgo);
  await expect(withLock(file, { onWait: (who) => { throw new Error(who); } }, async () => "in")).rejects.toThrow(`process ${process.ppid} on`);
  expect(readdirSync(root).filter((name) => name.startsWith(`lock-${count}.`))).toEqual([]);
});

it.each([false, true])("is taken over by exactly one of several who find it dead (a successor died while it took over: %s)", async (hasDeadSuccessor) => {
  const file = fresh();
  writeFileSync(file, holder({ pid: deadPid() }));
  // A successor that was elected and killed before it put its lock in place.
  if (hasDeadSuccessor) writeFileSync(`${file}.after-x`, holder({ id: "y", pid: deadPid() }));
  let [inside, most] = [0, 0];
  await Promise.all(
    Array.from({ length: 16 }, () =>
      withLock(file, { pollMs: 1 }, async () => {
        most = Math.max(most, ++inside);
        await new Promise((done) => setTimeout(done, 2));
        inside--;
      }),
    ),
  );
  expect(most).toBe(1);
  expect(readdirSync(root).filter((name) => name.startsWith(`lock-${count}`))).toEqual([]);
});

it("clears away what processes left that were killed before they had the lock, and nothing else", async () => {
  const file = fresh();
  const longAgo = new Date(Date.now() - 5_000);
  const [dead, half, living] = [randomUUID(), randomUUID(), randomUUID()].map((id) => `${file}.${id}`) as [string, string, string];
  writeFileSync(dead, holder({ pid: deadPid() }));
  writeFileSync(half, "");
  utimesSync(half, longAgo, longAgo);
  writeFileSync(living, holder({ pid: process.ppid, start: "" }));
  writeFileSync(`${file}.txt`, "");
  utimesSync(`${file}.txt`, longAgo, longAgo);
  await withLock(file, {}, async () => undefined);
  expect([dead, half, living, `${file}.txt`].map((path) => existsSync(path))).toEqual([false, false, true, true]);
});

it("of a worker thread that was terminated is taken over at once, of one that lives never", async () => {
  const file = fresh();
  const dist = new URL("../../dist/setup/lock.js", import.meta.url).href;
  const worker = new Worker(`import(${JSON.stringify(dist)}).then(({ withLock }) => withLock(${JSON.stringify(file)}, {}, () => { require("node:worker_threads").parentPort.postMessage("in"); return new Promise(() => setInterval(() => {}, 1000)); }))`, { eval: true });
  await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
  await expect(withLock(file, { onWait: (who) => { throw new Error(who); } }, async () => "in")).rejects.toThrow(`process ${process.pid} on`);
  await worker.terminate();
  expect(await withLock(file, { onWait: () => expect.unreachable() }, async () => "in")).toBe("in");
});

it("of a stranger's folder names no file that is removed, and nothing that a terminal obeys", async () => {
  const file = fresh();
  const longAgo = new Date(Date.now() - 5_000);
  const treasure = join(root, "treasure");
  writeFileSync(treasure, "kept");
  utimesSync(treasure, longAgo, longAgo);
  mkdirSync(`${file}.after-x`);
  for (const lock of [holder({ pid: deadPid(), id: `x/../treasure` }), "null", "[]", "7", holder({ id: 7 }), holder({ pid: 1, host: "\u001b[2J", machine: "another" })]) {
    writeFileSync(file, lock);
    utimesSync(file, longAgo, longAgo);
    expect(await lockHolder(file)).toBe(undefined);
    expect(await withLock(file, {}, async () => "in")).toBe("in");
  }
  expect(readFileSync(treasure, "utf8")).toBe("kept");
});

it("removes the empty draft of a process that was killed a moment before, once it is old enough, at the latest with the lock", async () => {
  const file = join(scratch(), ".lock");
  const draft = `${file}.${randomUUID()}`;
  writeFileSync(draft, "");
  const during = await withLock(file, {}, async () => {
    const isKept = existsSync(draft);
    utimesSync(draft, new Date(0), new Date(0));
    return isKept;
  });
  expect([during, existsSync(draft), existsSync(file)]).toEqual([true, false, false]);
});
