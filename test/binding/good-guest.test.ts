import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";

/** What a process finds once the core is loaded in it. */
const globalSymbols = join(packageRoot, "build", "global-symbols", "global_symbols.node");

/** The output of a script after `loadCore()`, in a process of its own without these variables. */
function afterLoading(script: string, variables: NodeJS.ProcessEnv = {}, flags: string[] = []): { stdout: string; stderr: string } {
  const code = `
    import { spawnSync } from "node:child_process";
    import { createRequire } from "node:module";
    import { loadCore } from ${JSON.stringify(pathToFileURL(join(packageRoot, "dist", "binding", "load.js")).href)};
    const core = loadCore();
    ${script}`;
  const { GOMP_SPINCOUNT: _, OMP_WAIT_POLICY: __, ...env } = process.env;
  const { stdout, stderr, status } = spawnSync(process.execPath, [...flags, "--input-type=module", "-e", code], { env: { ...env, ...variables }, encoding: "utf8" });
  expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
  return { stdout, stderr };
}

const spinCount = `console.log(spawnSync("sh", ["-c", "echo $GOMP_SPINCOUNT"], { encoding: "utf8" }).stdout.trim() + "/" + process.env.GOMP_SPINCOUNT)`;

test("libgomp spins briefly, and no child process inherits its variable", () => {
  const { stdout, stderr } = afterLoading(spinCount, { OMP_DISPLAY_ENV: "verbose" });
  expect(stderr).toMatch(/GOMP_SPINCOUNT = '10000'/);
  expect(stdout).toBe("/undefined\n");
});

test("a spin count of one's own stays", () => {
  const { stdout, stderr } = afterLoading(spinCount, { OMP_DISPLAY_ENV: "verbose", GOMP_SPINCOUNT: "77" });
  expect(stderr).toMatch(/GOMP_SPINCOUNT = '77'/);
  expect(stdout).toBe("77/77\n");
});

test.skipIf(!existsSync(globalSymbols))("no symbol of LibTorch is there for addons that are loaded later", () => {
  const { stdout } = afterLoading(`
    const { isGlobal } = createRequire(import.meta.url)(${JSON.stringify(globalSymbols)});
    const symbols = ["_ZN10onnx_torch10GraphProtoC1EPN6google8protobuf5ArenaEb", "_ZN3c105Error12refresh_whatEv", "omp_get_max_threads", "napi_create_object"];
    console.log(JSON.stringify(symbols.map(isGlobal)));`);
  expect(JSON.parse(stdout)).toEqual([false, false, false, true]);
});

test("the process's own memory still goes back to the system", () => {
  // 600 MiB in blocks of 20, which the C library takes from its heap once such a block was freed before.
  const { stdout } = afterLoading(
    `
    const held = Array.from({ length: 30 }, () => new Uint8Array(20 * 2 ** 20).fill(1));
    held.length = 0;
    for (let i = 0; i < 5; i++) { gc(); await new Promise((resolve) => setTimeout(resolve, 50)); }
    console.log(process.memoryUsage().rss / 2 ** 20);`,
    {},
    ["--expose-gc"],
  );
  expect(Number(stdout)).toBeLessThan(400);
});
