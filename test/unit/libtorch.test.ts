import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readElf } from "../../lib/binding/elf.js";
import { compareVersions, findLibTorch, inspectLibTorch, loadOrder, searchLibTorch } from "../../lib/binding/libtorch.js";
import { refuseSecondCopy } from "../../lib/binding/load.js";
import { AstgnnError } from "../../lib/errors.js";
import { elf, libtorchFiles, scratch, write } from "./libtorch-fixture.js";

const root = scratch();
let count = 0;
const fresh = (): string => join(root, `case-${++count}`);

/** An environment with nothing in it but this cache. */
const environment = (cache: string, more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({ HOME: join(cache, "home"), XDG_CACHE_HOME: cache, PATH: "", ...more });
const cached = (cache: string, variant: "cpu" | "cuda", version = "2.15.0"): string => write(join(cache, "astgnn", `libtorch-${version}-${variant}`), libtorchFiles(version));

function failure(run: () => unknown): AstgnnError {
  try {
    run();
  } catch (error) {
    if (error instanceof AstgnnError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("the search order", () => {
  it("is ASTGNN_LIBTORCH, LIBTORCH, the cache, Python", () => {
    const cache = fresh();
    const first = write(join(cache, "first"), libtorchFiles("2.15.0"));
    const second = write(join(cache, "second"), libtorchFiles("2.15.0"));
    const third = cached(cache, "cpu");
    const python = join(cache, "venv");
    const fourth = write(join(python, "lib", "python3.12", "site-packages", "torch"), libtorchFiles("2.15.0"));
    const all = environment(cache, { ASTGNN_LIBTORCH: first, LIBTORCH: second, VIRTUAL_ENV: python });
    expect(findLibTorch({ env: all })).toMatchObject({ path: first, source: "ASTGNN_LIBTORCH" });
    expect(findLibTorch({ env: { ...all, ASTGNN_LIBTORCH: "" } })).toMatchObject({ path: second, source: "LIBTORCH" });
    expect(findLibTorch({ env: environment(cache, { VIRTUAL_ENV: python }) })).toMatchObject({ path: third, source: "cache" });
    expect(findLibTorch({ env: environment(fresh(), { VIRTUAL_ENV: python }) })).toMatchObject({ path: fourth, source: "python" });
  });

  it("takes the cuda cache first only where there is a driver", () => {
    const cache = fresh();
    const cpu = cached(cache, "cpu");
    const cuda = cached(cache, "cuda");
    expect(findLibTorch({ env: environment(cache), nvidiaDriver: false }).path).toBe(cpu);
    expect(findLibTorch({ env: environment(cache), nvidiaDriver: true }).path).toBe(cuda);
  });

  it("lists every place it looked at and why each was refused", () => {
    const cache = fresh();
    cached(cache, "cuda", "2.15.0");
    write(join(cache, "astgnn", "libtorch-2.15.0-cpu"), libtorchFiles("2.15.0", { "lib/libtorch_cpu.so": undefined }));
    const { looked, found } = searchLibTorch({ env: environment(cache), nvidiaDriver: false });
    expect(found?.path).toContain("cuda");
    expect(looked.map(({ problem, isUsed }) => [problem, isUsed])).toEqual([["no lib/libtorch_cpu.so in it", undefined], [undefined, true]]);
  });

  it("for a report goes on after the one that is used", () => {
    const cache = fresh();
    const [cpu, cuda] = [cached(cache, "cpu"), cached(cache, "cuda")];
    const python = write(join(cache, "venv", "lib", "python3.12", "site-packages", "torch"), libtorchFiles("2.14.0"));
    const env = environment(cache, { VIRTUAL_ENV: join(cache, "venv") });
    expect(searchLibTorch({ env, nvidiaDriver: false, everywhere: true })).toMatchObject({
      found: { path: cpu },
      looked: [{ path: cpu, isUsed: true }, { path: cuda }, { path: python, problem: "it is version 2.14.0 and this build of astgnn needs 2.15.0" }],
    });
    const refused = searchLibTorch({ env: { ...env, LIBTORCH: join(cache, "nowhere") }, nvidiaDriver: false, everywhere: true });
    expect(refused.found).toBeUndefined();
    expect(refused.looked.map(({ problem, isUsed }) => [problem, isUsed]).slice(0, 2)).toEqual([["no such folder", undefined], [undefined, undefined]]);
  });

  it("finds the torch of a pyenv shim without starting Python", () => {
    const cache = fresh();
    const pyenv = write(join(cache, "pyenv"), { "shims/python3": "#!/bin/sh\nexit 1\n", version: "3.11.7\n" });
    const torch = write(join(pyenv, "versions", "3.11.7", "lib", "python3.11", "site-packages", "torch"), libtorchFiles("2.15.0"));
    expect(findLibTorch({ env: environment(cache, { PATH: join(pyenv, "shims") }) })).toMatchObject({ path: torch, source: "python" });
  });

  it("finds the torch of the installation behind a linked python3", () => {
    const cache = fresh();
    const prefix = write(join(cache, "opt"), { "bin/python3.12": "" });
    const torch = write(join(prefix, "lib", "python3.12", "site-packages", "torch"), libtorchFiles("2.15.0"));
    mkdirSync(join(cache, "bin"));
    symlinkSync(join(prefix, "bin", "python3.12"), join(cache, "bin", "python3"));
    expect(findLibTorch({ env: environment(cache, { PATH: join(cache, "bin") }) }).path).toBe(torch);
  });

  it("passes over a Python torch of another version", () => {
    const cache = fresh();
    write(join(cache, "venv", "lib", "python3.12", "site-packages", "torch"), libtorchFiles("2.14.0"));
    const { found, looked } = searchLibTorch({ env: environment(cache, { VIRTUAL_ENV: join(cache, "venv") }) });
    expect(found).toBeUndefined();
    expect(looked.at(-1)!.problem).toBe("it is version 2.14.0 and this build of astgnn needs 2.15.0");
  });

  it("says where it looked and the one command to run where nothing is found", () => {
    const cache = fresh();
    const error = failure(() => findLibTorch({ env: environment(cache), nvidiaDriver: false }));
    expect(error.code).toBe("ERR_LIBTORCH_MISSING");
    const place = (variant: string): string => `${join(cache, "astgnn", `libtorch-2.15.0-${variant}`)} (the user cache): no such folder`;
    expect(error.message).toBe(`No LibTorch 2.15.0 was found, which astgnn computes with (looked at ${place("cpu")}; ${place("cuda")}). Run \`npx astgnn setup\` once, which fetches it.`);
  });

  it("says for a core of another version that setup does not fetch that one", () => {
    const cache = fresh();
    cached(cache, "cpu");
    const error = failure(() => findLibTorch({ env: environment(cache), version: "2.14.0" }));
    expect(error.code).toBe("ERR_LIBTORCH_MISSING");
    expect(error.message).toMatch(/^No LibTorch 2\.14\.0 was found[^]*built against 2\.14\.0, and `npx astgnn setup` fetches 2\.15\.0\. Ways out:\n  1\. set ASTGNN_LIBTORCH[^]*2\.14\.0[^]*\n  2\. build astgnn against LibTorch 2\.15\.0/);
    expect(error.message).not.toContain("run `npx astgnn setup`");
  });
});

describe("a folder named by the environment", () => {
  it("of another version is an error although the cache has the right one", () => {
    const cache = fresh();
    cached(cache, "cpu");
    const other = write(join(cache, "other"), libtorchFiles("2.14.0"));
    const error = failure(() => findLibTorch({ env: environment(cache, { LIBTORCH: other }) }));
    expect(error.code).toBe("ERR_LIBTORCH_VERSION");
    expect(error.message).toContain(`LIBTORCH names ${other}, but it is version 2.14.0 and this build of astgnn needs 2.15.0. Ways out:\n  1. unset LIBTORCH`);
  });

  it("that is not there is an error although the cache has one", () => {
    const cache = fresh();
    cached(cache, "cpu");
    const error = failure(() => findLibTorch({ env: environment(cache, { ASTGNN_LIBTORCH: join(cache, "nowhere") }) }));
    expect(error.code).toBe("ERR_LIBTORCH_MISSING");
    expect(error.message).toContain("which cannot be used: no such folder");
  });

  it.each([
    ["2.10.2", false],
    ["2.11.0", true],
    ["2.13.1", true],
    ["2.15.0", true],
    ["2.15.1", false],
    ["2.16.0", false],
  ])("of version %s builds: %s", (version, accepted) => {
    const cache = fresh();
    const path = write(join(cache, "torch"), libtorchFiles(version));
    const search = (): unknown => searchLibTorch({ env: environment(cache, { ASTGNN_LIBTORCH: path }), build: true });
    if (accepted) expect(search()).toMatchObject({ found: { version } });
    else expect(failure(search).code).toBe("ERR_LIBTORCH_VERSION");
  });

  it("is the one a core built against that version loads", () => {
    const cache = fresh();
    const path = write(join(cache, "torch"), libtorchFiles("2.12.0"));
    const env = environment(cache, { ASTGNN_LIBTORCH: path });
    expect(findLibTorch({ env, version: "2.12.0" }).version).toBe("2.12.0");
    expect(failure(() => findLibTorch({ env, version: "2.15.0" })).code).toBe("ERR_LIBTORCH_VERSION");
  });
});

describe("a LibTorch folder", () => {
  const problemOf = (files: Record<string, Buffer | string>, build = false): string | undefined => {
    const result = inspectLibTorch(write(fresh(), files), build);
    return "problem" in result ? result.problem : undefined;
  };

  it("is complete with its libraries in dependency order", () => {
    const path = write(fresh(), libtorchFiles("2.15.0"));
    expect(inspectLibTorch(path, true)).toEqual({
      path,
      version: "2.15.0",
      variant: "cpu",
      libraries: ["libc10.so", "libgomp.so.1", "libcupti.so.13", "libcudart.so.13", "libtorch_cpu.so"].map((name) => join(path, "lib", name)),
    });
  });

  it("needs no CUDA libraries where libtorch_cpu asks for none, as in the official archive", () => {
    const files = libtorchFiles("2.15.0", { "lib/libtorch_cpu.so": elf(["libc10.so", "libgomp.so.1"]), "lib/libcudart.so.13": undefined, "lib/libcupti.so.13": undefined });
    expect(problemOf(files)).toBeUndefined();
  });

  it("is not there where a file is in its place", () => {
    const path = join(write(fresh(), { file: "" }), "file");
    for (const place of [path, join(path, "below")]) expect(inspectLibTorch(place)).toEqual({ problem: "no such folder" });
  });

  it("names the library that is missing, and leaves the system's to the system", () => {
    expect(problemOf(libtorchFiles("2.15.0", { "lib/libcupti.so.13": undefined }))).toBe("libtorch_cpu needs libcupti.so.13, which is not there");
    expect(problemOf(libtorchFiles("2.15.0", { "lib/libgomp.so.1": undefined }))).toBeUndefined();
  });

  it.each([
    ["cut short", elf(["libc10.so"]).subarray(0, -5), /^lib\/libtorch_cpu\.so is cut short$/],
    ["empty", Buffer.alloc(0), /lib\/libtorch_cpu\.so is empty$/],
    ["text", Buffer.from("<html>not found</html>"), /lib\/libtorch_cpu\.so is no shared library of a 64-bit Linux$/],
    ["of another processor", elf(["libc10.so"], 243), /lib\/libtorch_cpu\.so is for processor 243 and this Node\.js is \w+$/],
  ])("is refused where its largest file is %s", (_what, bytes, message) => {
    expect(problemOf(libtorchFiles("2.15.0", { "lib/libtorch_cpu.so": bytes }))).toMatch(message);
  });

  it("is refused where a library that it needs is damaged, or is its own and missing", () => {
    expect(problemOf(libtorchFiles("2.15.0", { "lib/libgomp.so.1": "" }))).toMatch(/^lib\/libgomp\.so\.1 is empty$/);
    expect(problemOf(libtorchFiles("2.15.0", { "lib/libtorch_cpu.so": elf(["libgomp-24e2ab19.so.1"]) }))).toBe("libtorch_cpu needs libgomp-24e2ab19.so.1, which is not there");
  });

  it("is refused where headers and libraries are of two versions", () => {
    expect(problemOf(libtorchFiles("2.15.0", { "build-version": "2.14.0+cpu" }))).toBe("its libraries say version 2.14.0 and its headers 2.15.0: it is a mixture of two");
  });

  it("states its version in its headers alone, or in a pip torch's version.py", () => {
    expect(inspectLibTorch(write(fresh(), libtorchFiles("2.15.0", { "build-version": undefined })))).toMatchObject({ version: "2.15.0" });
    const pip = libtorchFiles("2.15.0", { "build-version": undefined, "include/torch/headeronly/version.h": undefined, "version.py": "__version__ = '2.15.0+cu132'\n" });
    expect(inspectLibTorch(write(fresh(), pip))).toMatchObject({ version: "2.15.0" });
    expect(problemOf({ ...pip, "version.py": "" })).toMatch(/nothing in it states its version/);
  });

  it("without headers can run but not be built against", () => {
    const files = libtorchFiles("2.15.0", { "include/torch/csrc/api/include/torch/nn/module.h": undefined });
    expect(problemOf(files)).toBeUndefined();
    expect(problemOf(files, true)).toMatch(/no headers/);
  });

  it("of pip takes NVIDIA's libraries from the packages beside it", () => {
    const site = fresh();
    write(join(site, "nvidia", "cu13", "lib"), { "libcudart.so.13": elf([]), "libcupti.so.13": elf([]) });
    const path = write(join(site, "torch"), libtorchFiles("2.15.0", { "lib/libcudart.so.13": undefined, "lib/libcupti.so.13": undefined }));
    expect(loadOrder(path, "libtorch_cpu.so")).toMatchObject({ missing: [], libraries: expect.arrayContaining([join(site, "nvidia", "cu13", "lib", "libcudart.so.13")]) });
  });
});

it("reads the needed libraries of an ELF file and nothing from other files", () => {
  const folder = write(fresh(), { whole: elf(["liba.so", "libb.so.1"], 62), text: "no ELF", empty: "", "half-header": elf(["liba.so"]).subarray(0, 40) });
  expect(readElf(join(folder, "whole"))).toEqual({ machine: 62, needed: ["liba.so", "libb.so.1"] });
  for (const name of ["text", "empty", "half-header"]) expect(readElf(join(folder, name))).toBeUndefined();
  writeFileSync(join(folder, "whole"), elf(["liba.so"]).subarray(0, 100));
  expect(readElf(join(folder, "whole"))).toBe("truncated");
});

it("refuses a second copy of LibTorch in one process, but not the same one under another name", () => {
  const own = inspectLibTorch(write(fresh(), libtorchFiles("2.15.0")));
  if ("problem" in own) throw new Error(own.problem);
  const libtorch = { ...own, source: "cache" as const };
  const link = join(root, "link");
  symlinkSync(own.path, link);
  expect(() => refuseSecondCopy([join(link, "lib", "libtorch_cpu.so")], libtorch)).not.toThrow();
  expect(() => refuseSecondCopy([], libtorch)).not.toThrow();
  const error = failure(() => refuseSecondCopy(["/usr/lib/libtorch_cpu.so"], libtorch));
  expect(error.code).toBe("ERR_LIBTORCH_VERSION");
  expect(error.message).toContain("already holds another LibTorch, /usr/lib/libtorch_cpu.so");
});

it("compares versions by number", () => {
  expect(compareVersions("2.9.0", "2.15.0")).toBe(-1);
  expect(compareVersions("2.15.0", "2.15")).toBe(0);
  expect(compareVersions("2.15.1", "2.15.0")).toBe(1);
});
