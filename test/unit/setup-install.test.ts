import { spawnSync, type SpawnSyncReturns } from "node:child_process";
import { existsSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { scratch, write } from "./libtorch-fixture.js";

const repository = join(import.meta.dirname, "..", "..");
const root = scratch();
let count = 0;

/** A package folder with the real install script and these files. */
function clone(files: Record<string, string>, where = join(root, `clone-${++count}`)): string {
  write(where, { "package.json": '{"name":"astgnn","version":"0.0.0","type":"module"}', "scripts/keep": "", ...files });
  for (const name of ["install.mjs", "sources.json"]) copyFileSync(join(repository, "scripts", name), join(where, "scripts", name));
  return where;
}

const install = (folder: string, env: NodeJS.ProcessEnv = process.env): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [join(folder, "scripts", "install.mjs")], { cwd: folder, env, encoding: "utf8" });

it("does nothing, silently, where the package comes compiled and without native sources", () => {
  const folder = clone({ "dist/index.js": "" });
  expect(install(folder)).toMatchObject({ status: 0, stdout: "", stderr: "" });
});

it("says everything that is missing and how to get it", () => {
  const folder = clone({ "lib/index.ts": "", "tsconfig.json": "{}", "native/bootstrap.c": "", "CMakeLists.txt": "" });
  const { status, stderr } = install(folder, { PATH: join(folder, "nothing") });
  expect(status).toBe(1);
  for (const text of ["apt-get install cmake", "apt-get install g++", "apt-get install ninja-build", "Then run: npm run build"]) expect(stderr).toContain(text);
});

it("does not fail the installation of those who depend on it", () => {
  const folder = clone({ "dist/index.js": "", "native/bootstrap.c": "", "CMakeLists.txt": "" }, join(root, "app", "node_modules", "astgnn"));
  const { status, stderr } = install(folder, { PATH: "" });
  expect(status).toBe(0);
  expect(stderr).toContain("Building astgnn needs what is missing here");
});

it("compiles lib/ once, again when a file changed, and prints nothing in between", () => {
  const folder = clone({
    "lib/setup/lock.ts": "export async function withLock<T>(_file: string, _options: object, body: () => Promise<T>): Promise<T> { return body(); }\n",
    "lib/errors.ts": "export const one = 1;\n",
    "tsconfig.json": JSON.stringify({ compilerOptions: { target: "es2023", module: "nodenext", rootDir: "lib", outDir: "dist", types: [] }, include: ["lib"] }),
  });
  symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"));
  expect(install(folder).stdout).toContain("compiled lib/");
  expect(existsSync(join(folder, "dist", "errors.js"))).toBe(true);
  expect(install(folder)).toMatchObject({ status: 0, stdout: "", stderr: "" });
  writeFileSync(join(folder, "lib", "errors.ts"), "export const one: string = 1;\n");
  const broken = install(folder);
  expect(broken.status).toBe(1);
  expect(broken.stderr).toContain("Type 'number' is not assignable to type 'string'");
  expect(install(folder).status).toBe(1);
  writeFileSync(join(folder, "lib", "errors.ts"), "export const one = 2;\n");
  expect(install(folder).status).toBe(0);
  expect(readdirSync(folder).filter((name) => name.startsWith("dist"))).toEqual(["dist"]);
});
