// What trainings survive: node scripts/soak.mjs [part ...] [--count N] [--seed S]; without parts all of them, which takes about half an hour of a processor. Prints a line a part; exit code 1
// where one fails. Of `faults` also [--stride K] for every K-th operation on the disk and [--kinds run,ensemble,overwrite].
import { parseArgs } from "node:util";

const PARTS = {
  steps: async (options) => (await import("./soak/memory.mjs")).steps(options),
  trainings: async (options) => (await import("./soak/memory.mjs")).trainings(options),
  workers: async (options) => (await import("./soak/endings.mjs")).workers(options),
  exits: async (options) => (await import("./soak/endings.mjs")).exits(options),
  life: async (options) => (await import("./soak/long-life.mjs")).life(options),
  kills: async (options) => (await import("./soak/kills.mjs")).kills(options),
  faults: async (options) => (await import("./soak/kills.mjs")).faults(options),
};

const { values, positionals } = parseArgs({ allowPositionals: true, options: { count: { type: "string" }, seed: { type: "string" }, stride: { type: "string" }, kinds: { type: "string" } } });
const numbers = Object.fromEntries(Object.entries(values).map(([name, text]) => [name, name === "kinds" ? text : Number(text)]));
let isFailed = false;
for (const name of positionals.length === 0 ? Object.keys(PARTS) : positionals) {
  if (!Object.hasOwn(PARTS, name)) throw new Error(`There is no part ${name}; there are ${Object.keys(PARTS).join(", ")}.`);
  const started = performance.now();
  const { thrown, done, saw, failures } = await PARTS[name](numbers);
  console.log(`${name}: ${thrown}: ${done - failures.length} of ${done} ${JSON.stringify(saw)} in ${Math.round((performance.now() - started) / 1000)} s`);
  for (const failure of failures) console.log(`  ${failure}`);
  isFailed ||= failures.length > 0;
}
process.exitCode = isFailed ? 1 : 0;
