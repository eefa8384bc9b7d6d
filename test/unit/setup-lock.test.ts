import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { withLock } from "../../lib/setup/lock.js";
import { scratch } from "./libtorch-fixture.js";

const root = scratch();
let count = 0;
const fresh = (): string => join(root, `lock-${++count}`);
const deadPid = (): number => spawnSync(process.execPath, ["-e", ""]).pid;

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
  for (const content of [JSON.stringify({ id: "x", pid: deadPid(), host: hostname() }), "half a lo", ""]) {
    writeFileSync(file, content);
    expect(await withLock(file, {}, async () => "in")).toBe("in");
  }
});

it("waits for another machine's process only as long as that shows signs of life", async () => {
  const file = fresh();
  writeFileSync(file, JSON.stringify({ id: "x", pid: 1, host: "elsewhere" }));
  const abort = new AbortController();
  const waiting = withLock(file, { pollMs: 1, signal: abort.signal, onWait: () => abort.abort() }, async () => "in");
  await expect(waiting).rejects.toMatchObject({ code: "ERR_ABORTED" });
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
  expect(holders).toEqual([`process ${process.pid} on ${hostname()}`]);
});

it("is taken over by exactly one of several who find it dead", async () => {
  const file = fresh();
  writeFileSync(file, JSON.stringify({ id: "x", pid: deadPid(), host: hostname() }));
  let inside = 0;
  let most = 0;
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
});

it("goes with its process", async () => {
  const file = fresh();
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
  await new Promise((done) => child.once("spawn", done));
  writeFileSync(file, JSON.stringify({ id: "x", pid: child.pid, host: hostname() }));
  const entered = withLock(file, { pollMs: 5, onWait: () => child.kill("SIGKILL") }, async () => "in");
  expect(await entered).toBe("in");
});
