import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Folder of this package: two levels above both lib/binding (tests) and dist/binding (users), wherever a bundler left it. */
export const packageRoot: string = findRoot(dirname(fileURLToPath(import.meta.url)));

/** Version of this package, from its package.json. */
export const packageVersion: string = (JSON.parse(readFileSync(join(packageRoot, "package.json"), "utf8")) as { version: string }).version;

function findRoot(start: string): string {
  for (let at = start; ; at = dirname(at)) {
    if (existsSync(join(at, "package.json")) && existsSync(join(at, "scripts", "sources.json"))) return at;
    if (dirname(at) === at) throw new Error(`No package.json above ${start}: the package is incomplete. Install it again.`);
  }
}
