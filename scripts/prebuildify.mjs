#!/usr/bin/env node
// `npm run prebuildify`: makes prebuilds/<platform>-<arch>/ of the bootstrap, the core and, where it was built, the CUDA library in build/Release,
// stripped, and build/symbols/<platform>-<arch>/ of what was stripped; gdb and perf find it through the link each file carries.
// prebuildify starts this file again as its node-gyp, where scripts/install.mjs builds what is outdated. It strips in place and moves the .node
// away, so it works on copies: build/Release stays what `npm run build` made.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import prebuildify from "prebuildify";

const file = fileURLToPath(import.meta.url);
const root = fileURLToPath(new URL("..", import.meta.url));
const release = join(root, "build", "Release");
const staging = join(root, "build", "prebuildify");
const staged = join(staging, "build", "Release");
const platform = `${process.platform}-${process.arch}`;
const prebuilds = join(root, "prebuilds", platform);
const symbols = join(root, "build", "symbols", platform);
// objcopy knows ELF; what a Mac strips is in the object files of build/.
const keepsSymbols = process.platform === "linux";

const binaries = (folder) => readdirSync(folder).filter((name) => /^(astgnn\.node|libastgnn_(core|cuda|ranks)\.(so|dylib))$/.test(name));

/** As node-gyp: builds what is outdated and lays a copy where prebuildify looks. */
function rebuild() {
  execFileSync(process.execPath, [join(root, "scripts", "install.mjs")], { cwd: root, stdio: "inherit", env: { ASTGNN_CUDA: "1", ...process.env } });
  const { libtorch } = JSON.parse(readFileSync(join(root, "scripts", "sources.json"), "utf8"));
  const { libtorchVersion } = createRequire(file)(join(release, "astgnn.node"));
  if (libtorchVersion !== libtorch) throw new Error(`build/Release was built against LibTorch ${libtorchVersion}, and users get ${libtorch}: unset ASTGNN_LIBTORCH and LIBTORCH, then run it again.`);
  for (const name of binaries(release)) {
    copyFileSync(join(release, name), join(staged, name));
    if (keepsSymbols) execFileSync("objcopy", ["--only-keep-debug", join(staged, name), join(symbols, `${name}.debug`)]);
  }
}

async function prebuild() {
  for (const folder of [staging, prebuilds, symbols]) rmSync(folder, { recursive: true, force: true });
  for (const folder of [staged, symbols]) mkdirSync(folder, { recursive: true });
  await promisify(prebuildify)({ cwd: staging, out: root, name: "astgnn", napi: true, strip: true, nodeGyp: file, cache: join(staging, "cache") });
  for (const name of binaries(prebuilds)) {
    if (keepsSymbols) execFileSync("objcopy", [`--add-gnu-debuglink=${join(symbols, `${name}.debug`)}`, join(prebuilds, name)]);
    console.log(`prebuilds/${platform}/${name}: ${statSync(join(prebuilds, name)).size} bytes`);
  }
  rmSync(staging, { recursive: true });
}

await (process.argv[2] === "rebuild" ? rebuild() : prebuild());
