import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadCore } from "../../lib/binding/load.js";
import { packageRoot } from "../../lib/binding/package-root.js";
import { Database } from "../../lib/data/source/database.js";

// A user's folder: the package under node_modules, prices.parquet, and every example exactly as README.md and docs/ print it.
// A fence that says `norun` needs a network, a GPU or minutes.
const folder = mkdtempSync(join(tmpdir(), "astgnn-docs-"));
const pages = ["README.md", ...readdirSync(join(packageRoot, "docs")).filter((name) => name.endsWith(".md")).map((name) => join("docs", name))];
const withoutSolver = loadCore().hasSolver ? [] : [join("docs", "portfolio.md")];
if (withoutSolver.length > 0) console.log("Left out: the examples of docs/portfolio.md, for the core was built without cargo.");
const examples = pages.filter((page) => !withoutSolver.includes(page)).flatMap((page) =>
  [...readFileSync(join(packageRoot, page), "utf8").matchAll(/^```(ts|js|sh)\n([\s\S]*?)^```$/gm)].map(([, language, text], i) => ({
    page,
    language: language!,
    text: text!,
    name: `${page.replace(/\W/g, "-")}-${i + 1}`,
  })),
);
const of = (language: string) => examples.filter((example) => example.language === language);

beforeAll(async () => {
  mkdirSync(join(folder, "node_modules", "@types"), { recursive: true });
  symlinkSync(packageRoot, join(folder, "node_modules", "astgnn"));
  symlinkSync(join(packageRoot, "node_modules", "@types", "node"), join(folder, "node_modules", "@types", "node"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  for (const { language, name, text } of examples) {
    if (language === "ts") {
      writeFileSync(join(folder, `${name}.ts`), text);
      writeFileSync(join(folder, `${name}.mjs`), text); // no example has a type annotation, so that it is JavaScript too
    }
    if (language === "js") writeFileSync(join(folder, `${name}.cjs`), text);
  }
  await using database = Database.open();
  await database.run(
    `COPY (SELECT date, 'S' || stock AS ticker, close * 0.99 AS open, close * 1.02 AS high, close * 0.97 AS low, close, 1000 + (stock * 37 + extract(doy FROM date)) % 91 AS volume
      FROM (SELECT CAST(day AS DATE) AS date, stock, 50 + stock + 5 * sin(stock * 1.7 + epoch(day) / 86400 / (3 + stock % 5)) AS close
        FROM generate_series(TIMESTAMP '2015-01-01', TIMESTAMP '2017-04-01', INTERVAL 1 DAY) AS days(day), range(40) AS stocks(stock) WHERE isodow(day) < 6)
      ORDER BY ticker, date) TO '${join(folder, "prices.parquet")}' (FORMAT parquet)`,
    "prices.parquet",
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
  expect(status, `${stdout}${stderr}`).toBe(0);
  return stdout;
}

it("the examples type-check for a user of the package", () => {
  const options = { strict: true, exactOptionalPropertyTypes: true, module: "nodenext", target: "es2023", lib: ["es2023", "esnext.disposable"], types: ["node"], noEmit: true, skipLibCheck: false };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: of("ts").map(({ name }) => `${name}.ts`) }));
  run(process.execPath, [join(packageRoot, "node_modules", "typescript", "bin", "tsc"), "-p", folder]);
});

describe("examples run as printed", () => {
  it("README.md", () => {
    const output = run(process.execPath, ["README-md-1.mjs"]);
    expect(output).toMatch(/best epoch [1-4], in runs\/first/);
    expect(output).toContain("rankIcir");
    expect(output).toContain("[ 5, 128 ]");
    for (const file of ["model.safetensors", "predictions.parquet", "factors.parquet", "report.json"]) expect(existsSync(join(folder, "runs", "first", file))).toBe(true);
    expect(existsSync(join(folder, "model.safetensors"))).toBe(true);
  }, 300_000);

  it.each(of("ts").filter(({ page }) => page !== "README.md"))("$name", ({ name }) => {
    run(process.execPath, [`${name}.mjs`]);
  });

  it.each(of("js"))("$name", ({ name }) => {
    run(process.execPath, [`${name}.cjs`]);
  });

  it.each(of("sh"))("$name", ({ text }) => {
    for (const line of text.split("\n").filter(Boolean)) {
      expect(line).toMatch(/^npx astgnn /);
      run(process.execPath, [join(packageRoot, "dist", "cli", "main.js"), ...line.replace(/#.*/, "").trim().split(/\s+/).slice(2).map((word) => word.replace(/^'(.*)'$/, "$1"))]);
    }
  });
});

it("links and pages that README.md and docs/ name are there", () => {
  for (const page of pages) {
    for (const [, target] of readFileSync(join(packageRoot, page), "utf8").matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)) {
      expect(existsSync(join(packageRoot, dirname(page), target!)), `${page}: ${target}`).toBe(true);
    }
  }
});
