import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { expect } from "vitest";
import { AstgnnError } from "../../lib/index.js";
import { Mutator } from "./mutate.js";

/** Inputs per reader: some hundred in every test run, as many as the environment says in a long one (`ASTGNN_FUZZ=1000000 npx vitest run test/fuzz -t safetensors`). */
const INPUTS = process.env["ASTGNN_FUZZ"] === undefined ? undefined : Number(process.env["ASTGNN_FUZZ"]);
/** First seed: another one is another million. */
const FIRST = Number(process.env["ASTGNN_FUZZ_SEED"] ?? 0);
/** No single input may take longer, in milliseconds: far more than a busy machine needs. */
const HANG = 60_000;

/** For the tests that fuzz: a long run, and one under a sanitizer, takes as long as it takes. */
export const FUZZ_TIMEOUT = INPUTS === undefined && process.env["ASTGNN_SANITIZE"] === undefined ? 120_000 : 0;

/** How inputs fared. */
export interface Fared {
  readonly inputs: number;
  readonly accepted: number;
  /** By error code. */
  readonly refused: Readonly<Record<string, number>>;
}

/**
 * Gives `read` so many inputs. It passes where each is either read, in which case `read` itself has looked at what came out, or refused by an AstgnnError that is
 * not ERR_INTERNAL. The seed of the first that is not goes into the message: `ASTGNN_FUZZ=1 ASTGNN_FUZZ_SEED=<seed>` repeats it.
 */
export async function fuzz(name: string, usual: number, read: (mutator: Mutator, seed: number) => unknown): Promise<Fared> {
  const inputs = INPUTS ?? usual;
  const refused: Record<string, number> = {};
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  process.on("unhandledRejection", note);
  let accepted = 0;
  const cpu = process.cpuUsage();
  try {
    for (let seed = FIRST; seed < FIRST + inputs; seed++) {
      // What kills the process leaves behind where it was.
      if (process.env["ASTGNN_FUZZ_TRACE"] !== undefined) writeFileSync(join(process.env["ASTGNN_FUZZ_TRACE"], name.replaceAll(" ", "-")), String(seed));
      const begin = performance.now();
      try {
        await read(new Mutator(seed), seed);
        accepted++;
      } catch (error) {
        if (!(error instanceof AstgnnError) || error.code === "ERR_INTERNAL") throw new Error(`${name}, seed ${seed}: ${inspect(error)}`, { cause: error });
        refused[error.code] = (refused[error.code] ?? 0) + 1;
      }
      if (performance.now() - begin > HANG) throw new Error(`${name}, seed ${seed}: took ${Math.round(performance.now() - begin)} ms`);
      if (unhandled.length > 0) throw new Error(`${name}, seed ${seed}: a rejection that nobody handles: ${inspect(unhandled[0])}`);
    }
  } finally {
    process.removeListener("unhandledRejection", note);
  }
  const { user, system } = process.cpuUsage(cpu);
  if (INPUTS !== undefined) console.log(`${name}: ${inputs} inputs from seed ${FIRST} in ${((user + system) / 1e6).toFixed(1)} s of processor time, ${accepted} read, refused: ${JSON.stringify(refused)}`);
  // Inputs that are all read, or all refused, tried nothing.
  else expect([accepted > 0, accepted < inputs], `${name}: ${accepted} of ${inputs} read`).toEqual([true, true]);
  return { inputs, accepted, refused };
}

/** Numbers that were read have to be finite, or NaN where `mayBeMissing` says so. */
export function expectFinite(values: ArrayLike<number>, what: string, mayBeMissing = false): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value) && !(mayBeMissing && Number.isNaN(value))) throw new Error(`${what} holds ${value} at ${i}`);
  }
}
