import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { codeProblem, deviceProblem, openCuda, type CudaHost } from "../../lib/binding/cuda.js";
import { inspectLibTorch, type LibTorchSource } from "../../lib/binding/libtorch.js";
import { elf, libtorchFiles, scratch, write } from "./libtorch-fixture.js";

const root = scratch();
let count = 0;
const fresh = (): string => join(root, `case-${++count}`);

const host: CudaHost = { isOff: false, nvidiaDriver: true, rebuild: "run `npm run build`" };
/** Of the CUDA side as far as the order of opening goes; nvshmem and libtorch_cuda need each other, of which only the one is written down. */
const cudaFiles = {
  "lib/libtorch_cuda.so": elf(["libtorch_nvshmem.so", "libc10_cuda.so", "libcudnn.so.9", "libtorch_cpu.so"]),
  "lib/libtorch_nvshmem.so": elf(["libnvshmem_host.so.3"]),
  "lib/libnvshmem_host.so.3": elf([]),
  "lib/libc10_cuda.so": elf(["libc10.so", "libcudart.so.13"]),
  "lib/libcudnn.so.9": elf([]),
};

interface Case {
  libtorch?: Record<string, Buffer | string | undefined>;
  source?: LibTorchSource;
  /** The folder of the native build. */
  build?: Record<string, Buffer | string>;
  host?: Partial<CudaHost>;
  /** What the loader says of a file. */
  refuse?: (file: string) => string | undefined;
}

function opening({ libtorch = cudaFiles, source = "cache", build = { "Release/libastgnn_cuda.so": elf(["libc10.so"]) }, host: change = {}, refuse = () => undefined }: Case): { opened: string[]; problem: ReturnType<typeof openCuda> } {
  const found = inspectLibTorch(write(fresh(), libtorchFiles("2.15.0", libtorch)));
  if ("problem" in found) throw new Error(found.problem);
  const library = join(write(fresh(), build), "Release", "libastgnn_cuda.so");
  const opened: string[] = [];
  const open = (paths: string[]): void => {
    for (const path of paths) {
      const said = refuse(path);
      if (said !== undefined) throw new Error(said);
      opened.push(basename(path));
    }
  };
  return { problem: openCuda(open, { ...found, source }, library, { ...host, ...change }), opened };
}

describe("the CUDA side", () => {
  it("is opened dependencies first, then LibTorch's, then ours; nvshmem is left to the loader, which alone can settle a circle", () => {
    const { problem, opened } = opening({});
    expect(problem).toBeUndefined();
    const order = ["libnvshmem_host.so.3", "libc10.so", "libcudart.so.13", "libc10_cuda.so", "libcudnn.so.9", "libgomp.so.1", "libcupti.so.13", "libtorch_cpu.so", "libtorch_cuda.so", "libastgnn_cuda.so"];
    expect(opened).toEqual(order);
  });

  it.each<[string, Case, RegExp, boolean]>([
    ["there is no driver", { host: { nvidiaDriver: false } }, /^This machine has no NVIDIA driver\. Install one/, false],
    ["ASTGNN_CUDA is 0", { host: { isOff: true } }, /^ASTGNN_CUDA is 0, .*\. Unset it\.$/, false],
    ["LibTorch is the CPU's", { libtorch: {} }, /^The LibTorch in use, \S+ \(the user cache\), is the one for the CPU\. Run `npx astgnn setup --variant cuda`\.$/, true],
    ["the environment names the CPU's", { libtorch: {}, source: "LIBTORCH" }, /Run `npx astgnn setup --variant cuda`, and unset LIBTORCH\.$/, true],
    ["a prebuilt core comes without it", { build: {} }, /^The CUDA half of the native core, \S+libastgnn_cuda\.so, is not there\. To get it, run `npm run build`\.$/, true],
    ["the build left it out", { build: { "stamp.json": '{"cuda":{"reason":"No CUDA compiler was found."}}' } }, /is not there: the build left it out \(No CUDA compiler was found\)\. To get it, run/, true],
    ["our half is cut short", { build: { "Release/libastgnn_cuda.so": elf([]).subarray(0, -5) } }, /libastgnn_cuda\.so, is cut short\. To mend it, run `npm run build`\.$/, true],
    ["a library of NVIDIA's is missing", { libtorch: { ...cudaFiles, "lib/libcudnn.so.9": undefined } }, /^The LibTorch at \S+ lacks libcudnn\.so\.9, which its CUDA side needs\. Run `npx astgnn setup --variant cuda`\.$/, true],
    ["one of them is damaged", { libtorch: { ...cudaFiles, "lib/libcudnn.so.9": "" } }, /cannot be used: lib\/libcudnn\.so\.9 is empty\. Run `npx astgnn setup --variant cuda`\.$/, true],
  ])("stays unopened where %s, and says what to do", (_what, given, message, isMissed) => {
    expect(opening(given)).toEqual({ opened: [], problem: { message: expect.stringMatching(message), isMissed } });
  });

  const refusing = (name: string, said: (file: string) => string): Case => ({ refuse: (file) => (basename(file) === name ? said(file) : undefined) });
  it.each<[string, Case, RegExp]>([
    ["for a library of the system", refusing("libcudnn.so.9", () => "libz.so.1: cannot open shared object file: No such file or directory"), /^CUDA cannot be opened: libz\.so\.1: cannot open shared object file: .*\. Install the package that has libz\.so\.1\.$/],
    ["because LibTorch is of another make", refusing("libtorch_cuda.so", (file) => `${file}: undefined symbol: ncclX`), /^CUDA cannot be opened: \S+libtorch_cuda\.so: undefined symbol: ncclX\. Run `npx astgnn setup --variant cuda`\.$/],
    ["because our half is of another version", refusing("libastgnn_cuda.so", (file) => `${file}: undefined symbol: _ZN3c10`), /undefined symbol: _ZN3c10\. To mend it, run `npm run build`\.$/],
  ])("that the loader refuses %s keeps the loader's words", (_what, given, message) => {
    expect(opening(given).problem).toEqual({ message: expect.stringMatching(message), isMissed: true });
  });
});

it("takes what the CUDA runtime says of the driver for a problem, and silence for none", () => {
  expect(deviceProblem(undefined)).toBeUndefined();
  expect(deviceProblem("CUDA driver version is insufficient for CUDA runtime version")).toEqual({ message: expect.stringMatching(/finds no GPU to use: CUDA driver version is insufficient.*\. `nvidia-smi` lists/), isMissed: true });
});

it("takes a GPU that the CUDA library has no code for for a problem", () => {
  expect(codeProblem(undefined)).toBeUndefined();
  expect(codeProblem("The CUDA library has no machine code.")).toEqual({ message: "The CUDA library has no machine code.", isMissed: true });
});
