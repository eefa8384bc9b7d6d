// `node scripts/gpu-archive.mjs`: gpu-check.tar.xz, what scripts/gpu-check needs beside the tracked files on a machine without network, compiler
// and Node: the core, the CUDA library and the tests of the ops, built here against the PyTorch and for the GPU of that machine, with Node, dist/ and
// vitest. On Linux x64, after `npm ci`, with pip, CMake, ninja, a C++20 compiler, tar and xz; no GPU. The first run downloads 700 MB.
//
//   --torch 2.11.0   PyTorch of that machine's python3: the core opens no other
//   --toolkit 13.0   CUDA toolkit, as new as that machine's driver at most
//   --gpu 90         compute capability: machine code for this one alone
import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const PACKAGES = ["vitest", "zod", "node-gyp-build", "node-addon-api", "node-api-headers"];
const TESTS = ["dropout", "norm_activation", "gru", "graph_attention", "relational_embedding", "cross_sectional_loss", "peers", "relational_embedding_bf16", "device", "step_graph"];
const TOOLKIT = ["nvidia-cuda-nvcc", "nvidia-nvvm", "nvidia-cuda-crt", "nvidia-cuda-cccl", "nvidia-cuda-runtime", "nvidia-cuda-cupti"];
const PIP_PLATFORMS = ["manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_25_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"];
/** What can be carried along, the tracked files included. */
const LIMIT_MIB = 60;

const { values: options } = parseArgs({ options: { torch: { type: "string", default: "2.11.0" }, toolkit: { type: "string", default: "13.0" }, gpu: { type: "string", default: "90" } } });
const root = fileURLToPath(new URL("..", import.meta.url));
const archive = join(root, "gpu-check.tar.xz");
const work = join(root, "build", "gpu-archive");
const staging = join(work, "staging");
const run = (command, args, settings = {}) => execFileSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], ...settings });

/** The folder that pip's wheels of `requirements` are unpacked into, in the user cache, once. */
async function unpacked(name, requirements) {
  const { cacheFolder } = await import("../dist/binding/pinned.js");
  const folder = join(cacheFolder(process.env), name);
  if (existsSync(folder)) return folder;
  const partial = `${folder}.partial`;
  rmSync(partial, { recursive: true, force: true });
  const wheels = join(partial, "wheels");
  const platforms = PIP_PLATFORMS.flatMap((platform) => ["--platform", platform]);
  run("python3", ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version", "3.12", "--implementation", "cp", ...platforms, "-d", wheels, ...requirements]);
  for (const wheel of readdirSync(wheels)) run("python3", ["-m", "zipfile", "-e", join(wheels, wheel), partial]);
  rmSync(wheels, { recursive: true });
  renameSync(partial, folder);
  return folder;
}

async function toolkit() {
  const folder = join(await unpacked(`gpu-archive-toolkit-${options.toolkit}`, TOOLKIT.map((name) => `${name}==${options.toolkit}.*`)), "nvidia", "cu13");
  for (const [link, target] of [["lib64", "lib"], ["lib/libcudart.so", "libcudart.so.13"]]) if (!existsSync(join(folder, link))) symlinkSync(target, join(folder, link));
  run("chmod", ["-R", "+x", join(folder, "bin"), join(folder, "nvvm", "bin")]);
  return folder;
}

/** Folders of these packages and of all that they depend on. */
function packageFolders(names, found = new Set()) {
  for (const name of names) {
    const folder = join("node_modules", name);
    // An optional dependency of another platform is not there.
    if (found.has(folder) || !existsSync(join(root, folder))) continue;
    found.add(folder);
    const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
    packageFolders(Object.keys({ ...dependencies, ...optionalDependencies }), found);
  }
  return [...found];
}

// What is carried is the lib/ of now, whether or not it was built.
run(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"]);
const cuda = await toolkit();
const torch = join(await unpacked(`gpu-archive-torch-${options.torch}`, [`torch==${options.torch}`]), "torch");
const binaries = join(work, "build");
run("cmake", ["-S", ".", "-B", binaries, "-G", "Ninja", `-DLIBTORCH=${torch}`, "-DASTGNN_TESTS=ON", `-DASTGNN_NVCC=${join(cuda, "bin", "nvcc")}`,
  `-DASTGNN_CUDA_ARCHITECTURES=${options.gpu}-real`, `-DCMAKE_JS_INC=${join(root, "node_modules", "node-api-headers", "include")}`]);
run("ninja", ["-C", binaries, "astgnn_cuda", "astgnn_core", "astgnn", ...TESTS.map((name) => `${name}_test`)]);

rmSync(staging, { recursive: true, force: true });
const into = (...names) => {
  const folder = join(staging, "build", ...names);
  mkdirSync(folder, { recursive: true });
  return folder;
};
for (const name of ["libastgnn_core.so", "libastgnn_cuda.so", "astgnn.node"]) copyFileSync(join(binaries, "Release", name), join(into("Release"), name));
for (const name of TESTS) copyFileSync(join(binaries, `${name}_test`), join(into("gpu-tests"), `${name}_test`));
copyFileSync(realpathSync(process.execPath), join(into("bin"), "node"));
run("sh", ["-c", "strip build/Release/* build/gpu-tests/* build/bin/node"], { cwd: staging });
run("c++", ["-std=c++20", "-O2", "-fPIC", "-shared", `-I${join(cuda, "include")}`, "test/native/kernel_times.cpp", "-o", join(into(), "libkernel_times.so"), `-L${join(cuda, "lib")}`, "-l:libcupti.so.13"]);
for (const folder of ["dist", ...packageFolders(PACKAGES)]) cpSync(join(root, folder), join(staging, folder), { recursive: true });
run("tar", ["-cJf", archive, "build", "dist", "node_modules"], { cwd: staging, env: { ...process.env, XZ_OPT: "-6 -T0" } });
rmSync(staging, { recursive: true });
const mib = statSync(archive).size / 2 ** 20;
console.log(`gpu-check.tar.xz: ${mib.toFixed(1)} MiB, for torch ${options.torch}, CUDA ${options.toolkit} and compute capability ${options.gpu}`);
if (mib > LIMIT_MIB) throw new Error(`that is more than ${LIMIT_MIB} MiB`);
