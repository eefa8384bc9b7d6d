import { randomUUID } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { link, mkdir, open, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AstgnnError } from "../errors.js";

/** How to wait for a lock. */
export interface LockOptions {
  /** Called once where another process holds the lock. */
  onWait?: (holder: string) => void;
  signal?: AbortSignal;
  /** Milliseconds between looks; default 200. */
  pollMs?: number;
  /** Milliseconds without a sign of life after which a holder on another machine counts as dead; default 120,000. */
  staleMs?: number;
}

interface Holder {
  id: string;
  pid: number;
  host: string;
}

/**
 * Runs `body` while this process alone holds the lock file. A lock left by a dead process is taken over; the file's modification
 * time is the holder's sign of life. On process exit the file is removed, whatever the reason.
 */
export async function withLock<T>(file: string, options: LockOptions, body: () => Promise<T>): Promise<T> {
  const own: Holder = { id: randomUUID(), pid: process.pid, host: hostname() };
  await mkdir(dirname(file), { recursive: true });
  await acquire(file, own, options);
  const beat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined);
  }, 10_000);
  beat.unref();
  const release = (): void => {
    if (holderSync(file)?.id === own.id) rmSync(file, { force: true });
  };
  process.once("exit", release);
  try {
    return await body();
  } finally {
    clearInterval(beat);
    process.removeListener("exit", release);
    release();
  }
}

async function acquire(file: string, own: Holder, options: LockOptions): Promise<void> {
  let waited = false;
  for (;;) {
    if (options.signal?.aborted) throw new AstgnnError("ERR_ABORTED", "Waiting for another process was cancelled.", { cause: options.signal.reason });
    // The file is written under another name and linked, so that no process ever reads half a lock.
    const draft = `${file}.${own.id}`;
    const handle = await open(draft, "wx");
    await handle.writeFile(JSON.stringify(own));
    await handle.close();
    try {
      await link(draft, file);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    } finally {
      await rm(draft, { force: true });
    }
    const holder = await readHolder(file);
    if (holder === undefined) continue;
    if (await isDead(file, holder, options.staleMs ?? 120_000)) {
      await takeAway(file, holder);
      continue;
    }
    if (!waited) options.onWait?.(`process ${holder.pid} on ${holder.host}`);
    waited = true;
    await sleep(options.pollMs ?? 200);
  }
}

/** Removes a dead holder's lock by renaming it first: if a third process was faster, its lock is put back. */
async function takeAway(file: string, dead: Holder): Promise<void> {
  const aside = `${file}.dead-${randomUUID()}`;
  try {
    await rename(file, aside);
  } catch {
    return;
  }
  const moved = await readHolder(aside);
  if (moved !== undefined && moved.id !== dead.id && moved.id !== "") await link(aside, file).catch(() => undefined);
  await rm(aside, { force: true });
}

async function isDead(file: string, holder: Holder, staleMs: number): Promise<boolean> {
  if (holder.id === "" || (holder.host === hostname() && !isAlive(holder.pid))) return true;
  const touched = await stat(file).then((s) => s.mtimeMs, () => Date.now());
  return Date.now() - touched > staleMs;
}

/** Whether a process of this machine runs. */
export function isAlive(pid: number): boolean {
  // Zero and below name groups of processes.
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function readHolder(file: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(file, "utf8")) as Holder;
  } catch (error) {
    // A lock that is not JSON was written by nobody who still runs: linking makes every own lock appear whole.
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? undefined : { id: "", pid: 0, host: "" };
  }
}

function holderSync(file: string): Holder | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Holder;
  } catch {
    return undefined;
  }
}
