/** With ASTGNN_EMULATED_GPU=1 every test file finds a GPU "cuda:0", emulated on the CPU (test/native/emulated_device.cpp, built by `npm test`). */
import { createRequire } from "node:module";
import { join } from "node:path";
import { loadCore } from "../lib/binding/load.js";
import { packageRoot } from "../lib/binding/package-root.js";

if (process.env["ASTGNN_EMULATED_GPU"] === "1") {
  loadCore(); // it opens LibTorch, which the emulation needs
  createRequire(import.meta.url)(join(packageRoot, "build", "emulated", "emulated_device.node"));
}
