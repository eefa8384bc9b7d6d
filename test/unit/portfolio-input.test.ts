import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { optimise } from "../../lib/portfolio/optimise.js";
import type { OptimiseOptions } from "../../lib/portfolio/options.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-portfolio-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function file(name: string, text: string): string {
  const path = join(folder, `${files++}-${name}`);
  writeFileSync(path, text);
  return path;
}

const two = { tickers: ["A", "B"], values: Float64Array.of(0.04, 0.01, 0.01, 0.09) };
const with2 = (...values: number[]) => ({ tickers: ["A", "B"], values: Float64Array.from(values) });
const factorForm = { tickers: ["A", "B"], factors: ["market"], exposures: Float64Array.of(1, 1), factorCovariance: Float64Array.of(0.04), specificVariance: Float64Array.of(0.01, 0.02) };

async function failure(options: Partial<OptimiseOptions>): Promise<unknown> {
  return optimise({ covariance: two, objective: "riskParity", ...options }).then(() => undefined, (error: unknown) => error);
}

describe("a covariance that makes no sense is refused by name", () => {
  it.each([
    ["NaN", with2(0.04, NaN, NaN, 0.09), { code: "ERR_DATA", column: "B", row: 1, message: expect.stringContaining("covariance of A and B is NaN") }],
    ["not symmetric", with2(0.04, 0.01, 0.02, 0.09), { code: "ERR_DATA", message: expect.stringContaining("not symmetric: 0.02 of B and A, 0.01 of A and B") }],
    ["a correlation above 1", with2(0.04, 0.07, 0.07, 0.09), { code: "ERR_DATA", message: expect.stringMatching(/of B and A, 0.07, is larger than the product/) }],
    ["a variance below 0", with2(-0.04, 0, 0, 0.09), { code: "ERR_DATA", message: expect.stringContaining("variance of A is -0.04") }],
    ["a riskless stock", with2(0, 0, 0, 0.09), { code: "ERR_DATA", message: expect.stringContaining("A has a variance of 0") }],
    ["three numbers", with2(1, 0, 1), { code: "ERR_SHAPE", message: expect.stringContaining("Expected 4 numbers") }],
    ["a ticker twice", { tickers: ["A", "A"], values: two.values }, { code: "ERR_DATA", message: expect.stringContaining("ticker A twice, in rows 1 and 2") }],
    ["not positive semidefinite", { tickers: ["A", "B", "C"], values: Float64Array.of(1, 0.9, -0.9, 0.9, 1, 0.9, -0.9, 0.9, 1) }, { code: "ERR_DATA", message: expect.stringContaining("not positive semidefinite") }],
    ["NaN exposures", { ...factorForm, exposures: Float64Array.of(1, NaN) }, { code: "ERR_DATA", message: expect.stringContaining("exposure of B to market is NaN") }],
    ["no specific risk", { ...factorForm, specificVariance: Float64Array.of(0.01, 0) }, { code: "ERR_DATA", message: expect.stringContaining("specific variance of B is 0") }],
    ["a factor variance below 0", { ...factorForm, factorCovariance: Float64Array.of(-1) }, { code: "ERR_DATA", message: expect.stringContaining("variance of market is -1") }],
  ])("%s", async (_, covariance, expected) => {
    expect(await failure({ covariance })).toMatchObject({ option: "covariance", ...expected });
  });
});

describe("files say where they are wrong", () => {
  const budgets = (text: string) => ({ budgets: { file: file("budgets.csv", text) } });
  const covariance = (text: string) => ({ covariance: { file: file("covariance.csv", text) } });
  it.each([
    ["no file", { covariance: { file: join(folder, "none.csv") } }, { file: join(folder, "none.csv"), message: expect.stringContaining("There is no file") }],
    ["no header", covariance("0.04,0.01\n0.01,0.09\n"), { row: 1, message: expect.stringContaining("holds numbers, not tickers") }],
    ["a missing row", covariance("A,B\n0.04,0.01\n"), { message: expect.stringContaining("2 columns and 1 rows") }],
    ["a short row", covariance("A,B\n0.04,0.01\n0.01\n"), { row: 3, message: expect.stringContaining("has 1 numbers") }],
    ["text", covariance("A,B\n0.04,x\n0.01,0.09\n"), { row: 2, column: "B", message: expect.stringContaining('found "x"') }],
    ["rows of another order", covariance(",A,B\nB,0.04,0.01\nA,0.01,0.09\n"), { row: 2, message: expect.stringContaining("one order") }],
    ["a budget twice", budgets("ticker,budget\nA,1\nA,1\n"), { row: 3, message: expect.stringContaining("has A twice") }],
    ["a missing budget", budgets("ticker,budget\nA,1\n"), { message: expect.stringContaining("B has no budget") }],
    ["a budget of 0", budgets("ticker,budget\nA,1\nB,0\n"), { message: expect.stringContaining("budget of B is 0") }],
    ["an unknown ticker", budgets("ticker,budget\nA,1\nB,1\nBB,1\n"), { message: expect.stringContaining("names BB, which the covariance does not have. Did you mean B?") }],
    ["one column", budgets("ticker\nA\n"), { message: expect.stringContaining("two columns") }],
  ])("%s", async (_, options, expected) => {
    expect(await failure(options)).toMatchObject({ code: "ERR_DATA", file: expect.stringContaining(folder), ...expected });
  });

  it("an objective that does not exist names those that do", async () => {
    expect(await failure({ objective: "riskparity" as "riskParity" })).toMatchObject({ code: "ERR_OPTION", option: "objective" });
  });
});

it("a covariance with names before its rows, semicolons and quotes is the same", async () => {
  const plain = file("plain.csv", "A,B\n0.04,0.01\n0.01,0.09\n");
  const quoted = file("quoted.csv", '"";"A";"B"\r\n"A";0.04;0.01\r\n"B";0.01;0.09\r\n');
  const [a, b] = await Promise.all([plain, quoted].map((path) => optimise({ covariance: { file: path }, objective: "riskParity" })));
  expect(b).toEqual(a);
  expect(a).toEqual(await optimise({ covariance: two, objective: "riskParity" }));
});

it("budgets are scaled to sum 1, from CSV, JSON or an object", async () => {
  const asObject = await optimise({ covariance: two, objective: "riskParity", budgets: { A: 3, B: 1 } });
  expect(asObject.riskShares[0]).toBeCloseTo(0.75, 12);
  for (const path of [file("b.csv", "ticker,budget\nB,0.25\nA,0.75\n"), file("b.json", '{"A":6,"B":2}')]) {
    expect((await optimise({ covariance: two, objective: "riskParity", budgets: { file: path } })).weights).toEqual(asObject.weights);
  }
});
