// A long-lived child that measures on request: one JSON object per line in, one out. Between requests it sleeps on its input.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const TICK_MS = 10; // USER_HZ is 100 wherever Linux runs this

export class MeasuringProcess {
  #child;
  #waiting;
  #errors = "";
  #ended;

  constructor(name, command, args, { cwd, env }) {
    this.name = name;
    this.#child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.#errors = (this.#errors + text).slice(-4000)));
    this.#child.stdin.on("error", () => {});
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#answer(line));
    this.#ended = new Promise((resolve) => {
      this.#child.on("error", (error) => resolve(error.message));
      // "close" comes after the last of stderr, which says why.
      this.#child.on("close", (code, signal) => resolve(`ended with ${signal ?? `code ${code}`}`));
    });
    this.#ended.then((how) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      this.#child = undefined;
      waiting?.reject(new Error(`${name} ${how}:\n${this.#errors.trimEnd()}`));
    });
  }

  /** @returns the answer; rejects with the child's own words where it failed */
  request(command, values = {}) {
    if (this.#child === undefined) return Promise.reject(new Error(`${this.name} has ended:\n${this.#errors.trimEnd()}`));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#child.stdin.write(`${JSON.stringify({ command, ...values })}\n`);
    });
  }

  #answer(line) {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) return;
    try {
      const answer = JSON.parse(line);
      if (answer.error === undefined) waiting.resolve(answer);
      else waiting.reject(new Error(`${this.name}: ${answer.error}`));
    } catch {
      waiting.reject(new Error(`${this.name} wrote what is no answer: ${line.slice(0, 200)}`));
    }
  }

  /** Processor time so far, all threads, in milliseconds of 10. */
  cpuMilliseconds() {
    try {
      const fields = readFileSync(`/proc/${this.#child?.pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
      return TICK_MS * (Number(fields[11]) + Number(fields[12]));
    } catch {
      return 0;
    }
  }

  async close() {
    const child = this.#child;
    if (child === undefined) return;
    child.stdin.end();
    const deadline = setTimeout(() => child.kill("SIGKILL"), 10_000);
    await this.#ended;
    clearTimeout(deadline);
  }
}
