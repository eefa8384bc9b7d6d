// What scripts/sanitize.mjs has found nothing in, for scripts/release-check.mjs to ask.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** Parts of a run. */
export const PARTS = ["address", "node", "thread", "fuzz"];

const passedFile = (root) => join(root, "build-sanitize", "passed.json");

/** The sources that each part has passed with last. */
function passed(root) {
  return existsSync(passedFile(root)) ? JSON.parse(readFileSync(passedFile(root), "utf8")) : {};
}

/** Notes what a part has passed with, or undefined where it has not. */
export function notePassed(root, part, sources) {
  const noted = { ...passed(root), [part]: sources };
  mkdirSync(dirname(passedFile(root)), { recursive: true });
  writeFileSync(passedFile(root), `${JSON.stringify(noted, null, 1)}\n`);
}

/** Parts that the sources of today have not passed. */
export function notSanitized(root) {
  const [noted, sources] = [passed(root), sanitizedSources(root)];
  return PARTS.filter((part) => noted[part] !== sources);
}

/** SHA-256 of all native sources and native tests. */
export function sanitizedSources(root) {
  const hash = createHash("sha256");
  for (const folder of ["native", "test/native"]) {
    const files = readdirSync(join(root, folder), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const path of files.map(({ parentPath, name }) => join(parentPath, name)).sort()) hash.update(relative(root, path)).update("\0").update(readFileSync(path));
  }
  return hash.update(readFileSync(join(root, "CMakeLists.txt"))).digest("hex");
}
