// The roofline of the processor at hand: machine-peaks.cpp, compiled here and run before anything is measured.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";

/**
 * @param threads as many as the measured sides compute with
 * @returns { gflops, bandwidthGBs, lanes }: float32 multiply-adds in registers, a copy's bytes read and written; undefined without a C++ compiler
 */
export function machinePeaks(root, threads, say) {
  const program = join(root, "build", "machine-peaks");
  mkdirSync(join(root, "build"), { recursive: true });
  const source = join(root, "scripts", "bench", "machine-peaks.cpp");
  const compiled = spawnSync(process.env.CXX || "c++", ["-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-pthread", source, "-o", program], { encoding: "utf8" });
  if (compiled.status !== 0) {
    say(`no roofline: machine-peaks.cpp was not compiled (${(compiled.stderr || compiled.error?.message || "").split("\n")[0]})`);
    return undefined;
  }
  return JSON.parse(spawnSync(program, [String(threads)], { encoding: "utf8" }).stdout);
}
