import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import type { CudaProblem } from "../../lib/binding/cuda.js";
import { entryLibraries, findLibTorch, hasNvidiaDriver, loadOrder, searchLibTorch } from "../../lib/binding/libtorch.js";
import { findNativeBuild } from "../../lib/binding/load.js";
import { packageRoot } from "../../lib/binding/package-root.js";
import { scratch } from "../unit/libtorch-fixture.js";
import { schedule, tinyConfig, tinyOptions, tinyPanelData } from "./tiny.js";

const root = scratch();
const { bootstrap, core, libtorchVersion } = findNativeBuild();
const library = join(dirname(core), "libastgnn_cuda.so");

interface Outcome {
  problem?: CudaProblem;
  /** What `astgnn info` lists. */
  problems: string[];
  /** Libraries in the process. */
  open: string[];
  /** Of a layer after ten steps on the CPU. */
  weights: number[];
}

/** Loads as if there were a driver and trains on the CPU, in a process of its own: what the loader opens stays open. */
function trained(variables: NodeJS.ProcessEnv): Outcome {
  const compiled = (file: string): string => JSON.stringify(pathToFileURL(join(packageRoot, "dist", file)).href);
  const typed = (data: object): string =>
    `{ ${Object.entries(data).map(([name, value]) => `${name}: ${ArrayBuffer.isView(value) ? `${value.constructor.name}.of(${String(value)})` : JSON.stringify(value)}`).join(", ")} }`;
  const script = `
    import { readFileSync } from "node:fs";
    import { cudaProblem, loadCore } from ${compiled("binding/load.js")};
    import { inspectInstallation } from ${compiled("setup/installation.js")};
    const core = loadCore({ nvidiaDriver: true });
    const model = core.createModel(${JSON.stringify(tinyConfig())}, "float32", 0);
    await core.createSession(model, core.createPanel(${typed(tinyPanelData())}), ${JSON.stringify(tinyOptions())}).run(${typed(schedule(10))}, 1, () => {}).done;
    const open = [...new Set(readFileSync("/proc/self/maps", "utf8").match(/\\/\\S+\\.so[\\d.]*$/gm))];
    console.log(JSON.stringify({ problem: cudaProblem(), problems: inspectInstallation().problems, open, weights: Array.from(model.stateDict()["prediction.output.weight"].toTypedArray()) }));`;
  const { ASTGNN_CUDA: _, ...env } = process.env;
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { env: { ...env, ...variables }, encoding: "utf8" });
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
  const { open, ...outcome } = JSON.parse(stdout) as Outcome;
  return { ...outcome, open: open.map((file) => basename(file)) };
}

describe.runIf(process.platform === "linux")("a CUDA side that the loader refuses", () => {
  it("leaves the CPU side as it is, and the loader's words where info finds them", () => {
    const real = findLibTorch({ version: libtorchVersion });
    const libtorch = join(root, "libtorch");
    mkdirSync(join(libtorch, "lib"), { recursive: true });
    writeFileSync(join(libtorch, "build-version"), `${real.version}\n`);
    for (const file of real.libraries) symlinkSync(file, join(libtorch, "lib", basename(file)));
    // A library that opens but for one of the system's, which no system has.
    const c10 = real.libraries.find((file) => basename(file) === "libc10.so")!;
    writeFileSync(join(libtorch, "lib", "libtorch_cuda.so"), readFileSync(c10).toString("latin1").replaceAll("libgcc_s.so.1", "libgcc_x.so.1"), "latin1");
    const binaries = join(root, "package", "prebuilds", `${process.platform}-${process.arch}`);
    mkdirSync(binaries, { recursive: true });
    copyFileSync(bootstrap, join(binaries, basename(bootstrap)));
    symlinkSync(core, join(binaries, basename(core)));
    symlinkSync(core, join(binaries, "libastgnn_cuda.so"));
    const variables = { ASTGNN_LIBTORCH: libtorch, ASTGNN_PREBUILD: join(root, "package") };
    const without = trained({ ...variables, ASTGNN_CUDA: "0" });
    expect(without).toMatchObject({ problem: { isMissed: false }, problems: [] });
    const refused = trained(variables);
    expect(refused.problem).toEqual({ message: expect.stringMatching(/^CUDA cannot be opened: libgcc_x\.so\.1: cannot open shared object file: .*\. Install the package that has libgcc_x\.so\.1\.$/), isMissed: true });
    expect(refused.problems).toEqual([refused.problem!.message]);
    expect(refused.weights).toEqual(without.weights);
  });
});

const whole = searchLibTorch({ version: libtorchVersion, everywhere: true }).looked.find(({ path, problem }) => {
  const { missing, damaged } = loadOrder(path, ...entryLibraries.cuda);
  return problem === undefined && missing.length === 0 && damaged.length === 0;
});
const lacking = whole === undefined ? "there is no LibTorch with all CUDA libraries; `npx astgnn setup --variant cuda` fetches one" : existsSync(library) ? undefined : `${library} was not built`;
if (lacking !== undefined) console.log(`The CUDA side is not opened for real: ${lacking}.`);

describe.skipIf(lacking !== undefined)("the CUDA side of this machine", () => {
  it("is opened to the last library, and the CPU trains beside it as without", () => {
    const variables = { ASTGNN_LIBTORCH: whole!.path };
    const without = trained({ ...variables, ASTGNN_CUDA: "0" });
    expect(without.open.filter((name) => /torch_cuda|astgnn_cuda/.test(name))).toEqual([]);
    const opened = trained(variables);
    expect(opened.open).toEqual(expect.arrayContaining(["libtorch_cuda.so", "libtorch_nvshmem.so", "libcudnn.so.9", "libastgnn_cuda.so"]));
    // All is open; without a driver the runtime says so.
    const problem = { message: expect.stringMatching(/^The CUDA runtime of LibTorch finds no GPU to use: CUDA driver version is insufficient/), isMissed: true };
    expect(opened.problem).toEqual(hasNvidiaDriver() ? undefined : problem);
    expect(opened.weights).toEqual(without.weights);
  });
});
