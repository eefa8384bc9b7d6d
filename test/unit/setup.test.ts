import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findLibTorch } from "../../lib/binding/libtorch.js";
import { AstgnnError } from "../../lib/errors.js";
import type { SetupProgress } from "../../lib/setup/progress.js";
import type { SetupOptions } from "../../lib/setup/request.js";
import { setup } from "../../lib/setup/setup.js";
import { unpackZip } from "../../lib/setup/unpack.js";
import { elf, libtorchFiles, scratch, write, zip } from "./libtorch-fixture.js";

const root = scratch();
let count = 0;
const fresh = (): string => join(root, `case-${++count}`);

// The Python tag differs from the pinned wheel's: its checksum belongs to that file alone.
const torchWheel = "torch-2.15.0-cp312-cp312-manylinux_2_28_x86_64.whl";
const runtimeWheel = "nvidia_cuda_runtime-13.2.1-py3-none-manylinux_2_17_x86_64.whl";
const cuptiWheel = "nvidia_cuda_cupti-13.2.1-py3-none-manylinux_2_25_x86_64.whl";

function torchWheelBytes(version = "2.15.0", damage?: string): Buffer {
  const { "build-version": _, "lib/libcudart.so.13": _runtime, "lib/libcupti.so.13": _cupti, ...files } = libtorchFiles(version);
  const inWheel = Object.fromEntries(Object.entries(files).map(([name, content]) => [`torch/${name}`, content]));
  return zip({ ...inWheel, "torch/version.py": `__version__ = '${version}+cu132'\n`, "torch/lib/libtorch_cuda.so": elf([]), "torch/lib/libtorch_python.so": elf([]), "torch/nn.py": "" }, damage);
}

const nvidiaWheels = {
  [runtimeWheel]: zip({ "nvidia/cu13/lib/libcudart.so.13": elf([]), "nvidia/cu13/include/cuda.h": "" }),
  [cuptiWheel]: zip({ "nvidia/cu13/lib/libcupti.so.13": elf([]), "nvidia/cu13/lib/libnvperf_host.so": elf([]) }),
};

function environment(): { env: NodeJS.ProcessEnv; cache: string; target: string } {
  const base = fresh();
  return { env: { HOME: base, XDG_CACHE_HOME: base, PATH: "" }, cache: join(base, "astgnn"), target: join(base, "astgnn", "libtorch-2.15.0-cpu") };
}

async function failure(options: SetupOptions): Promise<AstgnnError> {
  const error: unknown = await setup(options).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof AstgnnError) return error;
  throw error ?? new Error("nothing was thrown");
}

describe("setup from wheels", () => {
  it("leaves the CPU part whole in the cache, states its origin, and is found afterwards", async () => {
    const { env, cache, target } = environment();
    const wheels = write(fresh(), { [torchWheel]: torchWheelBytes(), ...nvidiaWheels });
    const result = await setup({ env, from: join(wheels, torchWheel) });
    expect(result).toMatchObject({ path: target, version: "2.15.0", variant: "cpu", source: "fetched" });
    expect(readdirSync(cache)).toEqual(["libtorch-2.15.0-cpu"]);
    expect(readdirSync(join(target, "lib")).sort()).toEqual(["libc10.so", "libcudart.so.13", "libcupti.so.13", "libgomp.so.1", "libtorch_cpu.so"]);
    expect(readFileSync(join(target, "build-version"), "utf8")).toBe("2.15.0+cu132\n");
    expect(JSON.parse(readFileSync(join(target, "astgnn-origin.json"), "utf8")).files).toHaveLength(3);
    expect(findLibTorch({ env })).toMatchObject({ path: target, source: "cache" });
  });

  it("unpacks nothing a second time", async () => {
    const { env, target } = environment();
    const wheels = write(fresh(), { [torchWheel]: torchWheelBytes(), ...nvidiaWheels });
    const seen: SetupProgress[] = [];
    await setup({ env, from: wheels });
    expect(await setup({ env, from: wheels, onProgress: (progress) => seen.push(progress) })).toMatchObject({ path: target, source: "cache", files: [] });
    expect(await setup({ env, onProgress: (progress) => seen.push(progress) })).toMatchObject({ path: target, source: "cache" });
    expect(seen).toEqual([]);
  });

  it("done twice at the same time unpacks once", async () => {
    const { env } = environment();
    const wheels = write(fresh(), { [torchWheel]: torchWheelBytes(), ...nvidiaWheels });
    const stages: string[] = [];
    const run = (): Promise<unknown> => setup({ env, from: wheels, onProgress: ({ stage }) => stages.push(stage) });
    const results = await Promise.all([run(), run()]);
    expect(results.map((result) => (result as { source: string }).source).sort()).toEqual(["cache", "fetched"]);
    expect(stages.filter((stage) => stage === "install")).toHaveLength(1);
    expect(stages).toContain("wait");
  });

  it("says which NVIDIA wheels are missing and leaves nothing behind", async () => {
    const { env, cache } = environment();
    const wheels = write(fresh(), { [torchWheel]: torchWheelBytes(), [cuptiWheel]: nvidiaWheels[cuptiWheel]! });
    const error = await failure({ env, from: wheels });
    expect(error.code).toBe("ERR_LIBTORCH_MISSING");
    expect(error.message).toContain("needs libcudart.so.13");
    expect(error.message).toContain("nvidia-cuda-runtime==13.2.86");
    expect(readdirSync(cache)).toEqual([]);
  });

  it("takes NVIDIA's libraries as loose files beside the wheel", async () => {
    const { env, target } = environment();
    const wheels = write(fresh(), { [torchWheel]: torchWheelBytes(), "libcudart.so.13": elf([]), "lib/libcupti.so.13": elf([]) });
    await setup({ env, from: join(wheels, torchWheel) });
    expect(existsSync(join(target, "lib", "libcupti.so.13"))).toBe(true);
  });

  it("refuses another version", async () => {
    const { env, cache } = environment();
    const wheels = write(fresh(), { "torch-2.14.0-cp312-cp312-manylinux_2_28_x86_64.whl": torchWheelBytes("2.14.0"), ...nvidiaWheels });
    const error = await failure({ env, from: wheels });
    expect(error.code).toBe("ERR_LIBTORCH_VERSION");
    expect(error.message).toContain("is LibTorch 2.14.0, and the cache holds 2.15.0 only");
    expect(readdirSync(cache)).toEqual([]);
  });

  it("refuses a file that has a pinned wheel's name and other bytes", async () => {
    const { env } = environment();
    const pinned = "torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl";
    const error = await failure({ env, from: join(write(fresh(), { [pinned]: torchWheelBytes() }), pinned) });
    expect(error.code).toBe("ERR_DOWNLOAD");
    expect(error.message).toContain("expected 48c2d861134c0b5697c7602cb5ffa68f62a2989fdcd1717e593356f67996ca1e");
  });
});

describe("an interrupted setup", () => {
  it("leaves nothing behind, and the next one succeeds", async () => {
    const { env, cache } = environment();
    const wheels = write(fresh(), { [torchWheel]: torchWheelBytes(), ...nvidiaWheels });
    const abort = new AbortController();
    const error = await failure({
      env,
      from: wheels,
      signal: abort.signal,
      onProgress: ({ stage, bytes }) => {
        if (stage === "unpack" && (bytes ?? 0) > 0) abort.abort();
      },
    });
    expect([error.name, error.code]).toEqual(["AbortError", "ERR_ABORTED"]);
    expect(readdirSync(cache)).toEqual([]);
    expect(await setup({ env, from: wheels })).toMatchObject({ source: "fetched" });
  });

  it("that was killed leaves folders which the next one removes; those of a living process stay", async () => {
    const { env, cache, target } = environment();
    const dead = spawnSync(process.execPath, ["-e", ""]).pid;
    const [left, living] = [`${target}.partial-${dead}`, `${target}.partial-${process.ppid}`];
    write(left, { "lib/libtorch_cpu.so": "half" });
    write(living, { "lib/libtorch_cpu.so": "half" });
    mkdirSync(join(cache, "downloads-2.15.0", `pip-${dead}-x`), { recursive: true });
    await setup({ env, from: write(fresh(), { [torchWheel]: torchWheelBytes(), ...nvidiaWheels }) });
    expect(readdirSync(cache).sort()).toEqual(["libtorch-2.15.0-cpu", `libtorch-2.15.0-cpu.partial-${process.ppid}`]);
  });
});

it("replaces a damaged folder in the cache", async () => {
  const { env, target } = environment();
  write(target, libtorchFiles("2.15.0", { "lib/libtorch_cpu.so": elf(["libc10.so"]).subarray(0, 200), "lib/stray.so": "" }));
  await setup({ env, from: write(fresh(), { [torchWheel]: torchWheelBytes(), ...nvidiaWheels }) });
  expect(findLibTorch({ env }).path).toBe(target);
  expect(existsSync(join(target, "lib", "stray.so"))).toBe(false);
});

it("installs an archive and an unpacked folder, a pip torch's NVIDIA libraries included", async () => {
  const inArchive = Object.fromEntries(Object.entries(libtorchFiles("2.15.0")).map(([name, content]) => [`libtorch/${name}`, content]));
  const archive = write(fresh(), { "libtorch-shared-with-deps-2.15.0.zip": zip({ ...inArchive, "libtorch/lib/libdnnl.a": "static" }) });
  const first = environment();
  await setup({ env: first.env, from: archive });
  expect(readdirSync(join(first.target, "lib"))).not.toContain("libdnnl.a");
  const site = fresh();
  write(join(site, "nvidia", "cu13", "lib"), { "libcudart.so.13": elf([]), "libcupti.so.13": elf([]) });
  write(join(site, "torch"), libtorchFiles("2.15.0", { "build-version": undefined, "version.py": "__version__ = '2.15.0+cu132'\n", "lib/libcudart.so.13": undefined, "lib/libcupti.so.13": undefined }));
  const second = environment();
  await setup({ env: second.env, from: join(site, "torch") });
  expect(readdirSync(join(second.target, "lib"))).toContain("libcudart.so.13");
  expect(findLibTorch({ env: second.env }).path).toBe(second.target);
});

it("for cuda keeps NVIDIA's libraries that are opened by name only", async () => {
  const site = fresh();
  write(join(site, "nvidia"), { "cudnn/lib/libcudnn.so.9": elf([]), "cudnn/lib/libcudnn_ops.so.9": elf([]), "cu13/lib/libcudart.so.13": elf([]), "cu13/lib/libcudart_static.a": "" });
  const cuda = { "lib/libtorch_cuda.so": elf(["libcudnn.so.9", "libtorch_cpu.so", "libcuda.so.1"]), "lib/libtorch_cuda_linalg.so": elf([]), "lib/libtorch_python.so": elf([]) };
  write(join(site, "torch"), libtorchFiles("2.15.0", { ...cuda, "lib/libcudart.so.13": undefined }));
  const { env, cache } = environment();
  const { path, variant } = await setup({ env, variant: "cuda", from: join(site, "torch") });
  expect([path, variant]).toEqual([join(cache, "libtorch-2.15.0-cuda"), "cuda"]);
  const names = readdirSync(join(path, "lib"));
  for (const name of ["libcudnn_ops.so.9", "libcudart.so.13", "libtorch_cuda.so"]) expect(names).toContain(name);
  for (const name of ["libtorch_python.so", "libcudart_static.a"]) expect(names).not.toContain(name);
  write(join(site, "torch"), { "lib/libtorch_cuda.so": elf(["libnccl.so.2"]) });
  expect((await failure({ env, variant: "cuda", from: join(site, "torch"), force: true })).message).toContain("needs libnccl.so.2");
  expect(existsSync(path)).toBe(true);
});

it("for cuda is not done where a LibTorch is there that is whole for the CPU only", async () => {
  const { env, cache } = environment();
  const whole = { "lib/libtorch_cuda.so": elf(["libcudnn.so.9"]), "lib/libtorch_cuda_linalg.so": elf([]), "lib/libcudnn.so.9": elf([]) };
  const target = write(join(cache, "libtorch-2.15.0-cuda"), libtorchFiles("2.15.0", { ...whole, "lib/libcudnn.so.9": undefined }));
  await expect(setup({ env, variant: "cuda" })).rejects.toMatchObject({ code: "ERR_DOWNLOAD" });
  const from = write(fresh(), libtorchFiles("2.15.0", whole));
  expect(await setup({ env, variant: "cuda", from })).toMatchObject({ path: target, source: "fetched" });
  expect(await setup({ env, variant: "cuda" })).toMatchObject({ path: target, source: "cache" });
});

it.each([
  ["a missing file", "nowhere.whl", {}, /there is no such file or folder/],
  ["another file", "readme.txt", { "readme.txt": "" }, /its name is neither/],
  ["an empty folder", ".", { "sub/x": "" }, /holds neither a torch wheel nor a libtorch archive/],
])("refuses --from with %s", async (_what, name, files, message) => {
  const { env } = environment();
  const error = await failure({ env, from: join(write(fresh(), files), name) });
  expect(error.code).toBe("ERR_DATA");
  expect(error.message).toMatch(message);
});

it("refuses options it does not know", async () => {
  expect((await failure({ variant: "rocm" as "cpu" })).message).toBe('Expected cpu or cuda for variant but received "rocm" of type string.');
  expect((await failure({ sha256: "abc" })).code).toBe("ERR_OPTION");
});

describe("unpacking", () => {
  const unpack = (bytes: Buffer): Promise<number> => {
    const folder = write(fresh(), { "some.zip": bytes });
    return unpackZip(join(folder, "some.zip"), { select: (name) => name, into: join(folder, "out") });
  };

  it("writes what was selected", async () => {
    expect(await unpack(zip({ a: "1", "b/c": "2" }))).toBe(2);
  });

  it.each([
    ["bytes that differ from their checksum", () => zip({ a: "text" }, "a"), /a fails its CRC-32/],
    ["a file cut short", () => zip({ a: "text" }).subarray(0, -30), /is no whole zip file/],
    ["no zip at all", () => Buffer.from("<html>not found</html>"), /is no whole zip file/],
    ["a path that leaves the folder", () => zip({ "../outside": "text" }), /invalid relative path/],
    ["an absolute path", () => zip({ "/outside": "text" }), /absolute path/],
  ])("refuses %s", async (_what, bytes, message) => {
    await expect(unpack(bytes())).rejects.toThrow(message);
  });
});
