/**
 * A GPU "cuda:0" for machines without one, emulated on the CPU (test/native/emulated_device.cpp, which `npm test` builds). With
 * ASTGNN_EMULATED_GPU=1 every test file finds it.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { loadCore } from "../lib/binding/load.js";
import { packageRoot } from "../lib/binding/package-root.js";

const emulation = join(packageRoot, "build", "emulated", "emulated_device.node");

/** Whether it was built. */
export const hasEmulatedGpu = existsSync(emulation);

/** Puts it into this process. */
export function emulateGpu(): void {
  loadCore(); // it opens LibTorch, which the emulation needs
  createRequire(import.meta.url)(emulation);
}

if (process.env["ASTGNN_EMULATED_GPU"] === "1") emulateGpu();
