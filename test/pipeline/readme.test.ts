import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { packageRoot } from "../../lib/binding/package-root.js";
import { Database } from "../../lib/data/database.js";

// A user's folder: the package under node_modules, prices.parquet, and the example exactly as the README prints it.
const folder = mkdtempSync(join(tmpdir(), "astgnn-readme-"));
const readme = readFileSync(join(packageRoot, "README.md"), "utf8");
const example = /```ts\n([\s\S]*?)```/.exec(readme)![1];

beforeAll(async () => {
  mkdirSync(join(folder, "node_modules", "@types"), { recursive: true });
  symlinkSync(packageRoot, join(folder, "node_modules", "astgnn"));
  symlinkSync(join(packageRoot, "node_modules", "@types", "node"), join(folder, "node_modules", "@types", "node"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "example.ts"), example);
  writeFileSync(join(folder, "example.mjs"), example); // the example has no type annotation, so it is JavaScript too
  await using database = await Database.open();
  await database.run(
    `COPY (SELECT date, 'S' || stock AS ticker, close * 0.99 AS open, close * 1.02 AS high, close * 0.97 AS low, close, 1000 + (stock * 37 + extract(doy FROM date)) % 91 AS volume
      FROM (SELECT CAST(day AS DATE) AS date, stock, 50 + stock + 5 * sin(stock * 1.7 + epoch(day) / 86400 / (3 + stock % 5)) AS close
        FROM generate_series(TIMESTAMP '2015-01-01', TIMESTAMP '2017-04-01', INTERVAL 1 DAY) AS days(day), range(40) AS stocks(stock) WHERE isodow(day) < 6)
      ORDER BY ticker, date) TO '${join(folder, "prices.parquet")}' (FORMAT parquet)`,
    "prices.parquet",
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("the README's example type-checks for a user of the package", () => {
  const options = { strict: true, exactOptionalPropertyTypes: true, module: "nodenext", target: "es2023", lib: ["es2023", "esnext.disposable"], types: ["node"], noEmit: true, skipLibCheck: false };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: ["example.ts"] }));
  const result = spawnSync(process.execPath, [join(packageRoot, "node_modules", "typescript", "bin", "tsc"), "-p", folder], { encoding: "utf8" });
  expect(result.stdout).toBe("");
  expect(result.status).toBe(0);
});

it("the README's example runs as printed", () => {
  const output = execFileSync(process.execPath, ["example.mjs"], { cwd: folder, encoding: "utf8" });
  expect(output).toMatch(/best epoch [1-4], in runs\/first/);
  expect(output).toContain("rankIcir");
  expect(output).toContain("[ 5, 128 ]");
  for (const file of ["model.safetensors", "predictions.parquet", "factors.parquet", "report.md"]) expect(existsSync(join(folder, "runs", "first", file))).toBe(true);
  expect(existsSync(join(folder, "model.safetensors"))).toBe(true);
}, 300_000);
