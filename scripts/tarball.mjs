// `npm pack` as a release does it, with the binaries of this platform: for the tests of what users get.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Packs into a folder: the file, its bytes packed and unpacked, and the paths in it with their bytes. */
export function packTarball(into) {
  // stdout belongs to whoever asked for the tarball.
  execFileSync(process.execPath, [join(root, "scripts", "prebuildify.mjs")], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  const printed = execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", into], { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  const [{ filename, size, unpackedSize, files }] = Object.values(JSON.parse(printed));
  return { file: join(into, filename), packedBytes: size, unpackedBytes: unpackedSize, files: files.map(({ path, size: bytes }) => ({ path, bytes })) };
}
