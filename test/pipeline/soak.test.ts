import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const soak = async (...args: string[]): Promise<string> => (await promisify(execFile)(process.execPath, [fileURLToPath(new URL("../../scripts/soak.mjs", import.meta.url)), ...args])).stdout;

// The whole of it takes hours: node scripts/soak.mjs.
it("ends clean where worker threads are terminated, and a server scores like a fresh process: some of scripts/soak.mjs", async () => {
  const [workers, life] = await Promise.all([soak("workers", "--count", "3"), soak("life", "--count", "30")]);
  expect(workers).toMatch(/: 3 of 3 \{/);
  expect(life).toMatch(/: 1 of 1 \{"appends":30,/);
});
