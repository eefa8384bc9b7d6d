import { createHash } from "node:crypto";
import { chmodSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { pinnedVersion } from "../../lib/binding/pinned.js";
import { planSetup } from "../../lib/setup/plan.js";
import { setup } from "../../lib/setup/setup.js";
import { elf, libtorchFiles, scratch, write, zip } from "./libtorch-fixture.js";

const root = scratch();
let count = 0;
const fresh = (): string => join(root, `case-${++count}`);

function environment(): { env: NodeJS.ProcessEnv; base: string; target: string } {
  const base = fresh();
  return { env: { HOME: base, XDG_CACHE_HOME: base, PATH: "" }, base, target: join(base, "astgnn", `libtorch-${pinnedVersion}-cpu`) };
}

const torchFiles = Object.fromEntries(Object.entries(libtorchFiles(pinnedVersion)).map(([name, bytes]) => [`torch/${name}`, bytes]));
const wheelName = `torch-${pinnedVersion}-cp312-cp312-manylinux_2_28_x86_64.whl`;

describe("the plan of a set-up", () => {
  it("is to do nothing where a LibTorch is found, and says where", async () => {
    const { env, target } = environment();
    write(target, libtorchFiles(pinnedVersion));
    const plan = await planSetup({ env });
    expect(plan).toMatchObject({ action: "nothing", source: { kind: "cache", at: target }, target, files: [], space: { neededBytes: 0 }, problems: [] });
    expect(plan.skipped[0]).toMatchObject({ what: "everything", why: expect.stringContaining("is there already; --force") });
    expect(await planSetup({ env, force: true, from: target })).toMatchObject({ action: "replace" });
  });

  it.runIf(process.platform === "linux" && process.arch === "x64")("with pip names every pinned wheel with size and checksum", async () => {
    const { env, base, target } = environment();
    write(base, { "bin/pip": "#!/bin/sh\nexit 0\n" });
    chmodSync(join(base, "bin", "pip"), 0o755);
    env["PATH"] = join(base, "bin");
    const plan = await planSetup({ env });
    expect(plan).toMatchObject({ action: "install", source: { kind: "pip", at: "pip" }, target, problems: [] });
    expect(plan.files.map(({ name }) => name.split(" ")[0])).toEqual(["torch", "nvidia-cuda-runtime", "nvidia-cuda-cupti"]);
    for (const file of plan.files) expect(file).toMatchObject({ action: "fetch", bytes: expect.any(Number), sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(plan.space.neededBytes).toBeGreaterThan(plan.files.reduce((sum, { bytes }) => sum + bytes!, 0));
    const cuda = await planSetup({ env, variant: "cuda" });
    expect(cuda.files.slice(0, 3)).toEqual(plan.files);
    // The eleven libraries of NVIDIA that libtorch_cuda and libtorch_cuda_linalg ask for.
    expect(cuda.files.slice(3).map(({ name }) => name.split(" ")[0]!.replace(/^nvidia-(cuda-)?|-cu13$/g, ""))).toEqual(["cublas", "nvrtc", "cudnn", "cufft", "cufile", "cusolver", "cusparse", "cusparselt", "nccl", "nvjitlink", "nvshmem"]);
    for (const file of cuda.files) expect(file).toMatchObject({ action: "fetch", bytes: expect.any(Number), sha256: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(cuda.skipped).toEqual([]);
    expect(cuda.space.neededBytes).toBeGreaterThan(cuda.files.reduce((sum, { bytes }) => sum + bytes!, 0));
    expect(readdirSync(base)).toEqual(["bin"]);
  });

  it("without pip is the archive, says what is there of it, and that its checksum is not known", async () => {
    const { env, base } = environment();
    const url = "http://127.0.0.1:9/libtorch.zip";
    const plan = await planSetup({ env: { ...env, ASTGNN_LIBTORCH_URL: url } });
    expect(plan).toMatchObject({ source: { kind: "download", at: url }, files: [{ name: "libtorch.zip", action: "fetch" }] });
    expect(plan.skipped.map(({ what, why }) => `${what}: ${why}`)).toEqual(["pip: ASTGNN_LIBTORCH_URL names an archive", expect.stringMatching(/^comparing its checksum: none is known/)]);
    expect(existsSync(base)).toBe(false);
    const partial = `downloads-${pinnedVersion}/libtorch.zip.partial`;
    write(join(base, "astgnn"), { [partial]: "12345", [`${partial}.json`]: JSON.stringify({ url }) });
    const sha256 = "a".repeat(64);
    expect(await planSetup({ env: { ...env, ASTGNN_LIBTORCH_URL: url }, sha256 })).toMatchObject({ files: [{ action: "resume", hereBytes: 5, sha256 }], skipped: [{ what: "pip" }] });
  });

  it("from a wheel counts what is unpacked and what is left in it, and is what happens", async () => {
    const { env, target } = environment();
    const bytes = zip({ ...torchFiles, "torch/lib/libtorch_cuda.so": elf([]), "torch/nn.py": "import torch" });
    const from = join(write(fresh(), { [wheelName]: bytes }), wheelName);
    const plan = await planSetup({ env, from });
    expect(plan.files).toEqual([{ name: wheelName, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex"), action: "unpack" }]);
    expect(plan.skipped).toEqual([{ what: `2 files of ${wheelName} (0 MB)`, why: expect.stringContaining("only Python, another variant") }]);
    expect(plan.space.neededBytes).toBe(Object.values(torchFiles).reduce((sum, content) => sum + Buffer.byteLength(content), 0));
    expect(existsSync(target)).toBe(false);
    const result = await setup({ env, from });
    expect(result.path).toBe(plan.target);
    expect(result.files).toEqual(plan.files.map(({ name, sha256 }) => ({ name, sha256 })));
  });

  it("from a folder names what is copied", async () => {
    const { env } = environment();
    const from = write(fresh(), { ...libtorchFiles(pinnedVersion), "bin/protoc": "left" });
    const plan = await planSetup({ env, from });
    expect(plan).toMatchObject({ source: { kind: "folder", at: from } });
    expect(plan.files.map(({ name }) => name).sort()).toEqual(["build-version", "include", "lib/libc10.so", "lib/libcudart.so.13", "lib/libcupti.so.13", "lib/libgomp.so.1", "lib/libtorch_cpu.so"]);
    expect(plan.space.neededBytes).toBe(plan.files.reduce((sum, { bytes }) => sum + bytes!, 0));
  });

  it("lists the damaged LibTorch that it would replace", async () => {
    const { env, target } = environment();
    write(target, libtorchFiles(pinnedVersion, { "lib/libtorch_cpu.so": "" }));
    const plan = await planSetup({ env: { ...env, ASTGNN_LIBTORCH_URL: "http://127.0.0.1:9/a.zip" } });
    expect(plan).toMatchObject({ action: "replace", skipped: expect.arrayContaining([{ what: `${target} (the user cache)`, why: expect.stringMatching(/libtorch_cpu\.so is empty$/) }]) });
  });

  it("fails with the same words as the set-up where there is no source", async () => {
    const { env } = environment();
    const options = { env: { ...env, ASTGNN_LIBTORCH_URL: "http://127.0.0.1:9/a.zip" }, variant: "cuda" } as const;
    const message = /LibTorch cannot be fetched: .*ASTGNN_LIBTORCH_URL names an archive instead\. Ways out:\n {2}1\. unset ASTGNN_LIBTORCH_URL/;
    await expect(planSetup(options)).rejects.toThrow(message);
    await expect(setup(options)).rejects.toThrow(message);
  });
});
