import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/emulated-gpu.ts"],
    // The native core lives in a process of its own per file: one compute thread each, and vmThreads would break instanceof.
    pool: "forks",
    maxWorkers: 2,
    // Two workers of several compute threads each would wait for one another on a small machine; tests of threads name their own count.
    env: { ASTGNN_THREADS: "1" },
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
