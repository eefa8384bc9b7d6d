import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { astgnn } from "./cli-capture.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-portfolio-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const covariance = file("covariance.csv", "A,B,C\n0.04,0.01,0\n0.01,0.09,0\n0,0,0.01\n");

describe("astgnn portfolio", () => {
  it("prints risk parity as JSON and as a table", async () => {
    const { code, out } = await astgnn("portfolio", "--covariance", covariance, "--objective", "riskParity", "--json");
    expect(code).toBe(0);
    const found = JSON.parse(out) as { status: string; tickers: string[]; weights: number[]; riskShares: number[]; volatility: number };
    expect(found).toMatchObject({ status: "optimal", tickers: ["A", "B", "C"] });
    for (const share of found.riskShares) expect(share).toBeCloseTo(1 / 3, 12);
    expect(found.weights.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
    const table = await astgnn("portfolio", "--covariance", covariance, "--objective", "riskParity");
    expect(table.out).toMatch(/3 of 3 stocks are held; volatility 0\.\d{6}/);
    expect(table.out).toMatch(/C +\d\d\.\d\d % +33\.33 %/);
  });

  it("takes budgets from a file", async () => {
    const budgets = file("budgets.csv", "ticker,budget\nA,2\nB,1\nC,1\n");
    const { out } = await astgnn("portfolio", "--covariance", covariance, "--objective", "riskParity", "--budgets", budgets, "--json");
    expect((JSON.parse(out) as { riskShares: number[] }).riskShares[0]).toBeCloseTo(0.5, 12);
  });

  it.each([
    [["--objective", "riskParity"], 2, "Expected a factor form, { tickers, values } or { file } for --covariance but received nothing"],
    [["--covariance", covariance], 2, "for --objective but received nothing"],
    [["--covariance", "none.csv", "--objective", "riskParity"], 1, "There is no file none.csv"],
  ])("%j ends with %d", async (flags, code, message) => {
    const { code: found, err } = await astgnn("portfolio", ...flags);
    expect(found).toBe(code);
    expect(err).toContain(message);
  });
});
