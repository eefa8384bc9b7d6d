// What scripts/sanitize.mjs has looked at, for scripts/release-check.mjs to compare.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join, relative } from "node:path";

/** Where a complete run is noted. */
export const PASSED = join("build-sanitize", "passed.json");

/** SHA-256 of all native sources and native tests. */
export function sanitizedSources(root) {
  const hash = createHash("sha256");
  for (const folder of ["native", "test/native"]) {
    const files = readdirSync(join(root, folder), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const path of files.map(({ parentPath, name }) => join(parentPath, name)).sort()) hash.update(relative(root, path)).update("\0").update(readFileSync(path));
  }
  return hash.update(readFileSync(join(root, "CMakeLists.txt"))).digest("hex");
}
