import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import { join } from "node:path";
import { AstgnnError } from "../errors.js";
import { writeFileAtomically } from "../model/atomic-write.js";
import { interruptible } from "./interrupt.js";
import type { Terminal } from "./terminal.js";

interface Written {
  once?: boolean;
  out?: string;
  port?: string;
  json?: boolean;
}

const LOOK_MS = 1000;
/** A page that asks every two seconds sees the end before the server goes. A stopped run may be one of several that follow one another with a pause. */
const FAREWELL_MS = { finished: 3000, crashed: 3000, stopped: 60_000 } as const;

/** `astgnn watch`: a page of a run's progress, live in a browser or once as a file. */
export function watchCommand(terminal: Terminal): Command {
  return new Command("watch")
    .description("show a training in a browser while it runs, in this or another process: loss, IC, peer correlation, effective neighbours, time left; closes with the run")
    .argument("<run>", "run folder of astgnn train --out, also of several seeds or folds, or one that is yet to be made")
    .option("--once", "write the page as it is now to a file, and end")
    .option("--out <file>", "file for --once; default: watch.html in the run folder")
    .option("--port <number>", "port on 127.0.0.1; default: any that is free")
    .option("--json", "print one JSON object per line")
    .option("--debug", "on failure also print the stack")
    .action((run: string, written: Written) => watch(run, written, terminal));
}

async function watch(run: string, { once, out, port, json }: Written, terminal: Terminal): Promise<void> {
  if (out !== undefined && once !== true) throw new AstgnnError("ERR_OPTION", "--out is the file of --once, and --once is not given.", { option: "--out", next: "Add --once, or leave it out." });
  const [{ RunWatcher }, { howFar, isOver, watchContent, watchPage }, { serveWatch }] = await Promise.all([import("../watch/run-watcher.js"), import("../watch/page.js"), import("../watch/server.js")]);
  const watcher = new RunWatcher(run);
  const say = (event: string, fields: Record<string, unknown>, line: string): void => terminal.out(json === true ? JSON.stringify({ event, ...fields }) : line);
  const first = await watcher.look();
  if (once === true) {
    if (!existsSync(run)) throw new AstgnnError("ERR_CHECKPOINT", `There is no folder ${run}.`, { file: run, next: "Name the folder of a run." });
    const file = out ?? join(run, "watch.html");
    await writeFileAtomically(file, watchPage(first, { isLive: false }));
    return say("written", { out: file, state: first.state }, `${first.state}: ${howFar(first)}; the page is ${file}`);
  }
  if (isOver(first.state)) return say("end", { state: first.state }, `${first.state}: ${howFar(first)}. Nothing to watch: --once writes the page as a file.`);
  await interruptible(async (signal) => {
    const server = await serveWatch({ page: async () => watchPage(await watcher.look(), { isLive: true }), state: async () => watchContent(await watcher.look()) }, { port: portOf(port) });
    try {
      say("watching", { url: server.url, state: first.state }, `${server.url}  (on this machine only; Ctrl-C ends the watch, the training goes on)`);
      let [now, overMs] = [first, 0];
      while (!isOver(now.state) || overMs < FAREWELL_MS[now.state as keyof typeof FAREWELL_MS]) {
        terminal.progress(howFar(now));
        await sleep(LOOK_MS, undefined, { signal });
        now = await watcher.look();
        overMs = isOver(now.state) ? overMs + LOOK_MS : 0;
      }
      say("end", { state: now.state }, `${now.state}: ${howFar(now)}`);
      if (now.state !== "finished") process.exitCode = 1;
    } catch (error) {
      if (!signal.aborted) throw error;
      throw new AstgnnError("ERR_ABORTED", "The watch has ended; the training goes on.");
    } finally {
      await server.close();
    }
  });
}

function portOf(written: string | undefined): number {
  const port = Number(written ?? 0);
  if (Number.isInteger(port) && port >= 0 && port < 65536) return port;
  throw new AstgnnError("ERR_OPTION", `Expected a whole number from 0 to 65535 for --port but received ${JSON.stringify(written)}.`, { option: "--port", next: "Leave it out for any port that is free." });
}
