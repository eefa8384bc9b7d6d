import { randomUUID } from "node:crypto";
import { constants, readFileSync, readlinkSync, rmSync } from "node:fs";
import { copyFile, link, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AstgnnError } from "../errors.js";

/** How to wait for a lock. */
export interface LockOptions {
  /** Called once where another process holds the lock, with its pid, host and since when. What it throws ends the waiting. */
  onWait?: ((holder: string) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds between looks; default 200. */
  pollMs?: number | undefined;
  /** Milliseconds without a sign of life after which a holder on another machine counts as dead; default 120,000. */
  staleMs?: number | undefined;
}

/** A process: `machine` identifies the pid namespace, `start` distinguishes it from a later process with the same pid. */
export interface ProcessIdentity {
  pid: number;
  host: string;
  /** Boot and pid namespace: containers share a host name or a boot without sharing pids. */
  machine: string;
  /** Start time in clock ticks since the boot; empty where the system does not say. */
  start: string;
  /** JavaScript's thread and its start time: a worker that was terminated is gone while its process runs. Absent where the system does not say. */
  thread?: string;
}

const STALE_MS = 120_000;

interface Holder extends ProcessIdentity {
  id: string;
  /** ISO time. */
  since: string;
}

/** The identity of this process, and of the thread that asks. */
export function thisProcess(): ProcessIdentity {
  const thread = thisThread();
  return { pid: process.pid, host: hostname(), machine: machine(), start: statusOf(process.pid)?.start ?? "", ...(thread === undefined ? {} : { thread }) };
}

function thisThread(): string | undefined {
  try {
    const [, id] = /^\d+\/task\/(\d+)$/.exec(readlinkSync("/proc/thread-self"))!;
    return `${id} ${statusOf(`${process.pid}/task/${id}`)!.start}`;
  } catch {
    return undefined;
  }
}

/**
 * Runs `body` while this process alone holds the lock file. A holder on this machine counts as dead when its process has ended, be it by
 * SIGKILL, and its lock is taken over at once; a living one keeps it however long it is busy. Of a holder elsewhere (another host or
 * container) only the file's modification time is known, its sign of life. On process exit the file is removed, whatever the reason.
 */
export async function withLock<T>(file: string, options: LockOptions, body: () => Promise<T>): Promise<T> {
  const own: Holder = { id: randomUUID(), ...thisProcess(), since: new Date().toISOString() };
  await mkdir(dirname(file), { recursive: true });
  await acquire(file, own, options);
  await removeDrafts(file, options.staleMs ?? STALE_MS);
  const beat = setInterval(() => {
    const now = new Date();
    utimes(file, now, now).catch(() => undefined);
  }, 10_000);
  beat.unref();
  if (held.size === 0) process.on("exit", releaseAll);
  held.set(own.id, file);
  try {
    return await body();
  } finally {
    clearInterval(beat);
    // One that was killed before it had written its name is known to be dead a second later only.
    await removeDrafts(file, options.staleMs ?? STALE_MS).catch(() => undefined);
    release(own.id, file);
    held.delete(own.id);
    if (held.size === 0) process.removeListener("exit", releaseAll);
  }
}

/** Who holds a lock. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
  /** ISO time. */
  readonly since: string;
  /** False where the process ended without taking its lock away: it was killed, or the machine went down. */
  readonly isAlive: boolean;
}

/** Who holds a lock file, without waiting and without touching it; undefined where nobody does, or the lock cannot be read. */
export async function lockHolder(file: string, staleMs = STALE_MS): Promise<LockHolder | undefined> {
  const holder = await readHolder(file);
  if (holder === undefined || holder.id === "") return undefined;
  const { pid, host, since } = holder;
  return { pid, host, since, isAlive: !(await isDead(file, holder, staleMs)) };
}

/** The locks of this process: one exit listener removes them all. */
const held = new Map<string, string>();

function releaseAll(): void {
  for (const [id, file] of held) release(id, file);
}

function release(id: string, file: string): void {
  if (holderSync(file)?.id === id) rmSync(file, { force: true });
}

async function acquire(file: string, own: Holder, options: LockOptions): Promise<void> {
  const { signal, onWait, pollMs = 200, staleMs = STALE_MS } = options;
  // The lock is written under another name and linked, so that no process ever reads half a lock.
  const draft = `${file}.${own.id}`;
  let waited = false;
  try {
    await writeFile(draft, JSON.stringify(own), { flag: "wx" });
    for (;;) {
      if (signal?.aborted) throw new AstgnnError("ERR_ABORTED", "Waiting for another process was cancelled.", { cause: signal.reason });
      await utimes(draft, new Date(), new Date());
      if (await createFrom(draft, file)) return;
      const holder = await readHolder(file);
      if (holder === undefined) continue;
      if (await isDead(file, holder, staleMs)) {
        if (await takeOver(file, draft, holder, staleMs)) return;
      } else if (!waited && holder.id !== "") {
        onWait?.(`process ${holder.pid} on ${holder.host} since ${holder.since}`);
        waited = true;
      }
      await sleep(pollMs);
    }
  } finally {
    await rm(draft, { force: true });
  }
}

/** Removes what processes that were killed while they waited have left beside a lock. */
async function removeDrafts(file: string, staleMs: number): Promise<void> {
  const own = `${basename(file)}.`;
  for (const name of await readdir(dirname(file)).catch(() => [])) {
    if (!name.startsWith(own) || !/^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(name.slice(own.length))) continue;
    const draft = join(dirname(file), name);
    const writer = await readHolder(draft);
    if (writer !== undefined && (await isDead(draft, writer, staleMs))) await rm(draft, { force: true });
  }
}

/**
 * Takes over from a dead holder and says whether it did. Every holder has one successor: the process whose claim `<lock>.after-<id>` was
 * there first. It puts its lock in place of the dead one by a rename, so that the lock is never missing in between. Where the successor
 * died before it did so, its own successor takes its place. Claims are removed only once the lock is another's; ids do not come back,
 * so a process that claims too late finds that the lock is no longer the dead holder's.
 */
async function takeOver(file: string, draft: string, dead: Holder, staleMs: number): Promise<boolean> {
  const claims: string[] = [];
  for (let last = dead; ; ) {
    const claim = `${file}.after-${last.id}`;
    claims.push(claim);
    if (await createFrom(draft, claim)) break;
    const rival = await readHolder(claim);
    if (rival === undefined || !(await isDead(claim, rival, staleMs))) return false;
    last = rival;
  }
  const isInTime = (await readHolder(file))?.id === dead.id;
  if (isInTime) await rename(draft, file);
  for (const claim of claims) await rm(claim, { force: true });
  return isInTime;
}

/** Links the draft under another name; false where that name exists. */
async function createFrom(draft: string, path: string): Promise<boolean> {
  try {
    await link(draft, path).catch(async (error: NodeJS.ErrnoException) => {
      // File systems without hard links: a reader may find half a lock there, and waits until it is whole.
      if (!["EPERM", "ENOSYS", "ENOTSUP", "EOPNOTSUPP"].includes(error.code ?? "")) throw error;
      await copyFile(draft, path, constants.COPYFILE_EXCL);
    });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

async function isDead(file: string, holder: Holder, staleMs: number): Promise<boolean> {
  const isHere = holder.machine === machine();
  // In this process a worker thread that was terminated may have left the lock: where nothing tells of threads, only signs of life count.
  if (isHere && !(holder.pid === process.pid && holder.thread === undefined && isRunning(holder))) return !isRunning(holder);
  const touched = await stat(file).then((s) => s.mtimeMs, () => Date.now());
  // What cannot be read is half a lock or none at all.
  return Date.now() - touched > (holder.id === "" ? Math.min(1000, staleMs) : staleMs);
}

/** Whether a process of this machine runs. */
export function isAlive(pid: number): boolean {
  // Zero and below name groups of processes.
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  // A process that has ended and was not waited for still has its pid.
  return !["Z", "X"].includes(statusOf(pid)?.state ?? "");
}

function isRunning({ pid, start, thread }: ProcessIdentity): boolean {
  if (!isAlive(pid) || (start !== "" && (statusOf(pid)?.start ?? start) !== start)) return false;
  if (thread === undefined) return true;
  const [id, since] = thread.split(" ");
  return statusOf(`${pid}/task/${id}`)?.start === since;
}

/** Of /proc/<pid>/stat the third field and the 22nd; undefined where there is no such file. */
function statusOf(process: number | string): { state: string; start: string } | undefined {
  try {
    const text = readFileSync(`/proc/${process}/stat`, "utf8");
    // The second field, the command in parentheses, may hold anything.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { state: fields[0] ?? "", start: fields[19] ?? "" };
  } catch {
    return undefined;
  }
}

let machineName: string | undefined;

function machine(): string {
  if (machineName !== undefined) return machineName;
  try {
    machineName = `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    machineName = hostname();
  }
  return machineName;
}

async function readHolder(file: string): Promise<Holder | undefined> {
  try {
    return holderOf(JSON.parse(await readFile(file, "utf8"))) ?? NOBODY;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOENT" ? undefined : NOBODY;
  }
}

/** Half a lock, or none of ours. */
const NOBODY: Holder = { id: "", pid: 0, host: "", machine: "", start: "", since: "" };

/** A folder may be somebody else's work: an id that is a path would name files to remove, and a host may hold what a terminal obeys. */
function holderOf(value: unknown): Holder | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { id, pid, host, machine, start, since, thread } = value as Record<keyof Holder, unknown>;
  const isText = (text: unknown): text is string => typeof text === "string" && /^\P{Cc}{0,300}$/u.test(text);
  if (typeof id !== "string" || !/^[\w-]{1,64}$/.test(id) || typeof pid !== "number" || !isText(host) || !isText(machine) || !isText(start) || !isText(since)) return undefined;
  if (thread !== undefined && !(typeof thread === "string" && /^\d+ \d+$/.test(thread))) return undefined;
  return { id, pid, host, machine, start, since, ...(thread === undefined ? {} : { thread }) };
}

function holderSync(file: string): Holder | undefined {
  try {
    return holderOf(JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return undefined;
  }
}
