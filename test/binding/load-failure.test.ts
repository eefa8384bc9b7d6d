import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { findLibTorch } from "../../lib/binding/libtorch.js";
import { loadFailure } from "../../lib/binding/load-failure.js";
import { findNativeBuild } from "../../lib/binding/load.js";
import { packageRoot } from "../../lib/binding/package-root.js";
import { runningGlibc } from "../../lib/binding/platform.js";
import { scratch } from "../unit/libtorch-fixture.js";

const root = scratch();
const { bootstrap, core, libtorchVersion } = findNativeBuild();
const real = findLibTorch({ version: libtorchVersion });
const load = pathToFileURL(join(packageRoot, "dist", "binding", "load.js")).href;
let count = 0;

/** What a process of its own makes of these variables: what the loader opens stays open. `before` runs first. */
function loaded(variables: NodeJS.ProcessEnv, before = ""): { code: string; message: string } {
  const script = `${before}\nimport(${JSON.stringify(load)}).then(({ loadCore }) => { try { loadCore(); console.log('{"code":"none"}'); } catch ({ code, message }) { console.log(JSON.stringify({ code, message })); } });`;
  const { stdout, stderr, status, signal } = spawnSync(process.execPath, ["-e", script], { env: { ...process.env, ...variables }, encoding: "utf8" });
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
  return JSON.parse(stdout) as { code: string; message: string };
}

/** A LibTorch folder that is the real one but for some of its libraries, each changed or, where there is nothing, left out. */
function changed(changes: Record<string, ((bytes: Buffer) => Buffer) | undefined>): string {
  const folder = join(root, `libtorch-${++count}`);
  mkdirSync(join(folder, "lib"), { recursive: true });
  writeFileSync(join(folder, "build-version"), `${real.version}\n`);
  for (const file of real.libraries) {
    const name = file.slice(file.lastIndexOf("/") + 1);
    const target = join(folder, "lib", name);
    if (!(name in changes)) symlinkSync(file, target);
    else if (changes[name] !== undefined) writeFileSync(target, changes[name](readFileSync(file)));
  }
  return folder;
}

/** Writes another text of the same length over every place where the first stands. */
const over = (from: string, to: string) => (bytes: Buffer): Buffer => {
  const text = bytes.toString("latin1");
  expect(text).toContain(from);
  expect(to).toHaveLength(from.length);
  return Buffer.from(text.replaceAll(from, to), "latin1");
};

describe.runIf(process.platform === "linux")("a LibTorch that the loader refuses", () => {
  it("is no surprise of the test: an unchanged copy loads", () => {
    expect(loaded({ ASTGNN_LIBTORCH: changed({}) })).toEqual({ code: "none" });
  });

  it.each([
    ["cut short", (bytes: Buffer) => bytes.subarray(0, 100_000), /libc10\.so is cut short\. Ways out:/],
    ["empty", () => Buffer.alloc(0), /libc10\.so is empty\. Ways out:/],
  ])("because a library is %s is refused before it is opened", (_what, change, message) => {
    const { code, message: said } = loaded({ ASTGNN_LIBTORCH: changed({ "libc10.so": change }) });
    expect(code).toBe("ERR_LIBTORCH_MISSING");
    expect(said).toMatch(message);
  });

  it("because a library of the system is missing names it", () => {
    const folder = changed({ "libc10.so": over("libgcc_s.so.1", "libgcc_x.so.1") });
    const { code, message } = loaded({ ASTGNN_LIBTORCH: folder });
    expect(code).toBe("ERR_NATIVE_MISSING");
    expect(message).toContain(`cannot be loaded: it needs libgcc_x.so.1, which neither ${folder}/lib nor the system has. Ways out:\n  1. install the package that has libgcc_x.so.1`);
  });

  it("because it wants a newer C library says which, and which is here", () => {
    const { code, message } = loaded({ ASTGNN_LIBTORCH: changed({ "libc10.so": over("GLIBC_2.14", "GLIBC_9.14") }) });
    expect(code).toBe("ERR_NATIVE_MISSING");
    expect(message).toContain(`lib/libc10.so needs GLIBC 9.14, and this system has ${runningGlibc()}. Use a system with glibc 2.28 or newer`);
  });

  it("because a symbol is not in it says that it is not the version it claims", () => {
    const { code, message } = loaded({ ASTGNN_LIBTORCH: changed({ "libc10.so": over("_ZN3c105Error", "_ZN3c105Erroz") }) });
    expect(code).toBe("ERR_NATIVE_MISSING");
    expect(message).toMatch(new RegExp(`_ZN3c105Erroz\\S* is in none of its libraries, so they are not the LibTorch ${libtorchVersion.replaceAll(".", "\\.")} that the core was built against`));
  });

  it("because another one is in the process is refused in place of a crash", () => {
    const other = join(root, "other");
    mkdirSync(other);
    // Any library will do: its name is what tells.
    copyFileSync(real.libraries[0]!, join(other, "libtorch_cpu.so"));
    const open = `try { require(${JSON.stringify(bootstrap)}).open([${JSON.stringify(join(other, "libtorch_cpu.so"))}]); } catch {}`;
    const { code, message } = loaded({}, open);
    expect(code).toBe("ERR_LIBTORCH_VERSION");
    expect(message).toBe(
      `This process already holds another LibTorch, ${join(other, "libtorch_cpu.so")}; loading the one at ${real.path} beside it would end the process. ` +
        `Ways out:\n  1. set ASTGNN_LIBTORCH to the LibTorch that is already loaded, if it is version ${real.version}\n  2. use astgnn in a process of its own`,
    );
  });
});

describe.runIf(process.platform === "linux")("a prebuilt core", () => {
  /** The package's binaries as a user gets them, changed. */
  function prebuilt(changes: { bootstrap?: (bytes: Buffer) => Buffer; core?: (bytes: Buffer) => Buffer }): { folder: string; variables: NodeJS.ProcessEnv } {
    const folder = join(root, `package-${++count}`);
    const binaries = join(folder, "prebuilds", `${process.platform}-${process.arch}`);
    mkdirSync(binaries, { recursive: true });
    const keep = (bytes: Buffer): Buffer => bytes;
    writeFileSync(join(binaries, "astgnn.node"), (changes.bootstrap ?? keep)(readFileSync(bootstrap)));
    writeFileSync(join(binaries, "libastgnn_core.so"), (changes.core ?? keep)(readFileSync(core)));
    return { folder: binaries, variables: { ASTGNN_PREBUILD: folder } };
  }

  it("that was built against another LibTorch is not loaded with this one", () => {
    const { variables } = prebuilt({ bootstrap: over(libtorchVersion, "9.99.0".padEnd(libtorchVersion.length, "0").slice(0, libtorchVersion.length)) });
    const { code, message } = loaded({ ...variables, ASTGNN_LIBTORCH: "", LIBTORCH: "" });
    expect(code).toBe("ERR_LIBTORCH_MISSING");
    expect(message).toMatch(/^No LibTorch 9\.99\.0\d* was found.* \(looked at .*libtorch-9\.99\.0\d*-cpu \(the user cache\): no such folder.*The native core was built against 9\.99\.0\d*, and `npx astgnn setup` fetches [\d.]+\. Ways out:\n {2}1\. set ASTGNN_LIBTORCH/s);
    const named = loaded({ ...variables, ASTGNN_LIBTORCH: real.path });
    expect(named.code).toBe("ERR_LIBTORCH_VERSION");
    expect(named.message).toMatch(/but it is version [\d.]+ and this build of astgnn needs 9\.99\.0/);
  });

  it.each(["bootstrap", "core"] as const)("whose %s was cut short is refused before it is opened, which would end the process", (half) => {
    const { folder, variables } = prebuilt({ [half]: (bytes: Buffer) => bytes.subarray(0, Math.floor(bytes.length / 3)) });
    const file = join(folder, half === "core" ? "libastgnn_core.so" : "astgnn.node");
    expect(loaded(variables)).toEqual({ code: "ERR_NATIVE_MISSING", message: `The native core is damaged: ${file} is cut short. To mend it, run \`npm run build\`.` });
  });

  it("whose bootstrap wants a newer C library says which", () => {
    const wanted = /GLIBC_2\.\d+/.exec(readFileSync(bootstrap).toString("latin1"))![0];
    const { folder, variables } = prebuilt({ bootstrap: over(wanted, wanted.replace("_2", "_9")) });
    const { code, message } = loaded(variables);
    expect(code).toBe("ERR_NATIVE_MISSING");
    expect(message).toMatch(new RegExp(`^${folder}/astgnn\\.node cannot be loaded: .*astgnn\\.node needs GLIBC 9\\.\\d+, and this system has ${runningGlibc()}\\. Use a system with glibc 2\\.28 or newer`));
  });
});

// What cannot be brought about here, in the words of glibc's loader.
it.each([
  ["libgomp.so.1: cannot open shared object file: No such file or directory", /it needs libgomp\.so\.1, which neither .*lib nor the system has\. Ways out:\n {2}1\. run `sudo apt-get install libgomp1`/],
  ["/cache/libc10.so: failed to map segment from shared object", /the system does not let programs run from there .* `noexec`/],
  ["something else", /cannot be loaded: something else\. Ways out:\n {2}1\. run `npm run build`\n/],
])("explains: %s", (said, message) => {
  const failure = loadFailure(new Error(said), { file: core, version: libtorchVersion, libtorch: real, rebuild: "run `npm run build`" });
  expect(failure.code).toBe("ERR_NATIVE_MISSING");
  expect(failure.file).toBe(core);
  expect(failure.message).toMatch(message);
});
