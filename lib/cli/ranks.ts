import { spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { physicalCores } from "../binding/threads.js";
import { AstgnnError } from "../errors.js";
import type { TrainOptions } from "../train/options.js";
import { launchedPlace } from "../train/ranks/place.js";
import type { Terminal } from "./terminal.js";

/** So long the other ranks have to end by themselves once one has failed. */
const GRACE_MS = 10_000;

/** Whether `--ranks` asks for processes that no launcher has started. */
export function startsRanks({ ranks }: TrainOptions): boolean {
  return ranks !== undefined && ranks > 1 && launchedPlace(ranks) === undefined;
}

/** Ranks of what is done by many processes of their own. @throws AstgnnError ERR_OPTION */
export function refuseRanks(options: TrainOptions, what: string): void {
  if (!startsRanks(options) && launchedPlace(options.ranks) === undefined) return;
  throw new AstgnnError("ERR_OPTION", `Ranks train one model together, and ${what} has many.`, { option: "ranks", next: "Give each machine a job of its own (--job, --fold), and set ranks to 1 where a launcher has set RANK." });
}

/** A terminal on which nothing is shown but errors: that of all ranks but the first. */
export function muted(terminal: Terminal): Terminal {
  return { isInteractive: false, out: () => {}, err: () => {}, progress: () => {}, clearProgress: () => terminal.clearProgress() };
}

/**
 * Runs the same command in as many processes on this machine, which share its cores, and returns the exit code: that of rank 0, or of the first that failed. Signals reach
 * all of them; what others than rank 0 write to stderr comes with their rank.
 */
export async function startRanks(size: number, argv: readonly string[], terminal: Terminal): Promise<number> {
  const port = await freePort();
  const threads = process.env["ASTGNN_THREADS"] ?? String(Math.max(1, Math.floor(physicalCores() / size)));
  const main = fileURLToPath(new URL("main.js", import.meta.url));
  const children = Array.from({ length: size }, (_, rank) => {
    const env = { ...process.env, ASTGNN_THREADS: threads, RANK: String(rank), LOCAL_RANK: String(rank), LOCAL_WORLD_SIZE: String(size), WORLD_SIZE: String(size), MASTER_ADDR: "127.0.0.1", MASTER_PORT: String(port) };
    // In groups of their own, so that Ctrl-C reaches them once and through us; the channel tells them when we are gone.
    const child = spawn(process.execPath, [...process.execArgv, main, ...argv], { env, detached: true, stdio: rank === 0 ? ["ignore", "inherit", "inherit", "ipc"] : ["ignore", "ignore", "pipe", "ipc"] });
    if (child.stderr !== null) createInterface({ input: child.stderr }).on("line", (line) => terminal.err(`rank ${rank}: ${line}`));
    return child;
  });
  const forward = (signal: NodeJS.Signals): void => children.forEach((child) => void child.kill(signal));
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, forward);
  let grace: NodeJS.Timeout | undefined;
  try {
    const codes = await Promise.all(children.map(async (child) => {
      const code = await ended(child);
      if (code !== 0) grace ??= setTimeout(() => forward("SIGKILL"), GRACE_MS);
      return code;
    }));
    return codes[0] || codes.find((code) => code !== 0) || 0;
  } finally {
    clearTimeout(grace);
    for (const signal of signals) process.removeListener(signal, forward);
  }
}

/** Lets a rank end with the process that started it. */
export function endWithStarter(): void {
  if (process.channel === undefined) return;
  process.channel.unref();
  process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
}

async function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 1)));
  });
}

async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
