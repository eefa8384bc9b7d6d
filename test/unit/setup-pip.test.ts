import { createHash } from "node:crypto";
import { chmodSync, existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { nvidiaContents, torchContents } from "../../lib/setup/contents.js";
import { fetchWheels, findPip } from "../../lib/setup/pip.js";
import { scratch, write, zip } from "./libtorch-fixture.js";

const root = scratch();
let count = 0;
const fresh = (): string => join(root, `case-${++count}`);

const torch = zip({ "torch/lib/libtorch_cpu.so": "" });
const index: Record<string, [string, Buffer]> = {
  "torch==2.15.0": ["torch-2.15.0-cp311-cp311-manylinux_2_28_x86_64.whl", torch],
  "nvidia-cuda-runtime==13.2.86": ["nvidia_cuda_runtime-13.2.86-py3-none-any.whl", zip({ a: "runtime" })],
  "nvidia-nccl-cu13==2.30.7": ["nvidia_nccl_cu13-2.30.7-py3-none-any.whl", zip({ a: "nccl" })],
};

/** A program that takes pip's arguments, logs them and copies files from a folder instead of an index. */
function fakePip(): { bin: string; env: NodeJS.ProcessEnv; calls: () => string[][] } {
  const folder = write(fresh(), Object.fromEntries(Object.values(index).map(([name, bytes]) => [`index/${name}`, bytes])));
  const names = JSON.stringify(Object.fromEntries(Object.entries(index).map(([requirement, [name]]) => [requirement, name])));
  const script = `#!${process.execPath}
const fs = require("node:fs"), path = require("node:path"), args = process.argv.slice(2), names = ${names};
if (args[0] === "--version") process.exit(0);
fs.appendFileSync(${JSON.stringify(join(folder, "calls"))}, JSON.stringify(args) + "\\n");
if (process.env.PIP_HANGS) setInterval(() => {}, 1000);
else {
  const dest = args[args.indexOf("--dest") + 1];
  fs.mkdirSync(dest, { recursive: true });
  for (const requirement of args.filter((a) => a.includes("==") )) {
    if (names[requirement] === undefined) { console.error("ERROR: No matching distribution found for " + requirement); process.exit(1); }
    fs.copyFileSync(path.join(${JSON.stringify(join(folder, "index"))}, names[requirement]), path.join(dest, names[requirement]));
  }
}
`;
  write(folder, { "bin/pip": script });
  chmodSync(join(folder, "bin", "pip"), 0o755);
  const log = join(folder, "calls");
  return {
    bin: join(folder, "bin", "pip"),
    env: { PATH: join(folder, "bin") },
    calls: () => (existsSync(log) ? readFileSync(log, "utf8").trim().split("\n").map((line) => JSON.parse(line) as string[]) : []),
  };
}

const hashOf = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
const wheels = [
  { name: "torch", version: "2.15.0", sha256: hashOf(torch) },
  { name: "nvidia-cuda-runtime", version: "13.2.86", sha256: hashOf(index["nvidia-cuda-runtime==13.2.86"]![1]) },
];
const cudaWheels = [{ name: "nvidia-nccl-cu13", version: "2.30.7", sha256: hashOf(index["nvidia-nccl-cu13==2.30.7"]![1]) }];
const sources = { python: "3.11", implementation: "cp", platforms: ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64"], cudaPlatforms: ["manylinux_2_18_x86_64"], wheels, cudaWheels };

describe("fetching with pip", () => {
  it("makes one call with the target spelled out, and checks what came", async () => {
    const pip = fakePip();
    const into = fresh();
    const files = await fetchWheels({ pip: [pip.bin], sources, into, variant: "cpu", env: pip.env });
    expect(files.map(({ sha256 }) => sha256).sort()).toEqual(wheels.map(({ sha256 }) => sha256).sort());
    expect(pip.calls()).toHaveLength(1);
    expect(pip.calls()[0]!.join(" ")).toMatch(
      /^download .*--only-binary=:all: --no-deps --python-version 3\.11 --implementation cp --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 torch==2\.15\.0 nvidia-cuda-runtime==13\.2\.86$/,
    );
    expect(readdirSync(into).every((name) => name.endsWith(".whl"))).toBe(true);
  });

  it("fetches only what is not there whole", async () => {
    const pip = fakePip();
    const into = write(fresh(), { [index["torch==2.15.0"]![0]]: torch, [index["nvidia-cuda-runtime==13.2.86"]![0]]: "half" });
    await fetchWheels({ pip: [pip.bin], sources, into, variant: "cpu", env: pip.env });
    expect(pip.calls().map((call) => call.at(-1))).toEqual(["nvidia-cuda-runtime==13.2.86"]);
    expect(pip.calls()[0]).not.toContain("torch==2.15.0");
    await fetchWheels({ pip: [pip.bin], sources, into, variant: "cpu", env: pip.env });
    expect(pip.calls()).toHaveLength(1);
  });

  it("refuses a wheel with another checksum and deletes it", async () => {
    const pip = fakePip();
    const into = fresh();
    const pinned = [{ ...wheels[0]!, sha256: "0".repeat(64) }];
    const fetched = fetchWheels({ pip: [pip.bin], sources: { ...sources, wheels: pinned }, into, variant: "cpu", env: pip.env });
    await expect(fetched).rejects.toMatchObject({ code: "ERR_DOWNLOAD", message: expect.stringContaining(`has SHA-256 ${wheels[0]!.sha256}, expected 000`) });
    expect(readdirSync(into)).toEqual([]);
  });

  it("for cuda also fetches NVIDIA's other libraries, which carry platforms of their own, and checks them", async () => {
    const pip = fakePip();
    const into = fresh();
    const files = await fetchWheels({ pip: [pip.bin], sources, into, variant: "cuda", env: pip.env });
    expect(files.map(({ sha256 }) => sha256).sort()).toEqual([...wheels, ...cudaWheels].map(({ sha256 }) => sha256).sort());
    expect(pip.calls().map((call) => call.join(" "))).toEqual([expect.stringMatching(/--platform manylinux_2_18_x86_64 torch==2\.15\.0 nvidia-cuda-runtime==13\.2\.86 nvidia-nccl-cu13==2\.30\.7$/)]);
    const others = { ...sources, cudaWheels: [{ ...cudaWheels[0]!, sha256: "0".repeat(64) }] };
    await expect(fetchWheels({ pip: [pip.bin], sources: others, into, variant: "cuda", env: pip.env })).rejects.toThrow(/nvidia_nccl_cu13\S+ has SHA-256 \w+, expected 000/);
  });

  it("passes on what pip says when it fails", async () => {
    const pip = fakePip();
    const unknown = { ...sources, wheels: [{ name: "torch", version: "9.9.9" }] };
    const fetched = fetchWheels({ pip: [pip.bin], sources: unknown, into: fresh(), variant: "cpu", env: pip.env });
    await expect(fetched).rejects.toMatchObject({ code: "ERR_DOWNLOAD", message: expect.stringMatching(/No matching distribution found for torch==9\.9\.9\. Check pip/) });
  });

  it("ends pip and leaves nothing when it is cancelled", async () => {
    const pip = fakePip();
    const into = fresh();
    const abort = new AbortController();
    const fetched = fetchWheels({ pip: [pip.bin], sources, into, variant: "cpu", env: { ...pip.env, PIP_HANGS: "1" }, signal: abort.signal, onProgress: () => abort.abort() });
    await expect(fetched).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
    expect(readdirSync(into)).toEqual([]);
  });

  it("finds pip on PATH, or none", async () => {
    expect(await findPip({ PATH: dirname(fakePip().bin) })).toEqual(["pip"]);
    expect(await findPip({ PATH: fresh() })).toBeUndefined();
  });
});

describe("what is kept", () => {
  it.each([
    ["torch/lib/libtorch_cpu.so", "lib/libtorch_cpu.so", "lib/libtorch_cpu.so"],
    ["torch/lib/libgomp.so.1", "lib/libgomp.so.1", "lib/libgomp.so.1"],
    ["torch/lib/libgomp-24e2ab19.so.1.0.0", "lib/libgomp-24e2ab19.so.1.0.0", "lib/libgomp-24e2ab19.so.1.0.0"],
    ["torch/lib/libtorch_cuda.so", undefined, "lib/libtorch_cuda.so"],
    ["torch/lib/libc10_cuda.so", undefined, "lib/libc10_cuda.so"],
    ["torch/lib/libtorch_python.so", undefined, undefined],
    ["torch/include/ATen/ATen.h", "include/ATen/ATen.h", "include/ATen/ATen.h"],
    ["torch/nn/functional.py", undefined, undefined],
    ["libtorch/lib/libtorch_cpu.dylib", "lib/libtorch_cpu.dylib", "lib/libtorch_cpu.dylib"],
    ["libtorch/lib/libdnnl.a", undefined, undefined],
    ["libtorch/build-version", "build-version", "build-version"],
    ["libtorch/bin/protoc", undefined, undefined],
  ])("of %s", (name, cpu, cuda) => {
    expect([torchContents("cpu")(name), torchContents("cuda")(name)]).toEqual([cpu, cuda]);
  });

  it("of NVIDIA's wheels: two libraries for the CPU part, all for cuda", () => {
    expect(nvidiaContents("cpu")("nvidia/cu13/lib/libcudart.so.13")).toBe("lib/libcudart.so.13");
    expect(nvidiaContents("cpu")("nvidia/cu13/lib/libnvperf_host.so")).toBeUndefined();
    expect(nvidiaContents("cuda")("nvidia/cudnn/lib/libcudnn.so.9")).toBe("lib/libcudnn.so.9");
    expect(nvidiaContents("cuda")("nvidia/cu13/include/cuda.h")).toBeUndefined();
  });
});
