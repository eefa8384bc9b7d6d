import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadCore } from "../../lib/binding/load.js";
import { writeRisk } from "../../lib/risk/risk-file.js";
import { astgnn } from "./cli-capture.js";

const { hasSolver } = loadCore();

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

  it.skipIf(!hasSolver)("keeps to limits of a file and says what they cost", async () => {
    const limits = file("limits.json", JSON.stringify({ maxWeight: 0.6, groups: [{ name: "risky", tickers: ["A", "B"], min: 0.5 }] }));
    const flags = ["portfolio", "--covariance", covariance, "--objective", "minimumVariance", "--limits", limits];
    const found = JSON.parse((await astgnn(...flags, "--json")).out) as { status: string; weights: number[]; value: number; volatility: number; duals: { limit: string; price: number }[] };
    expect(found.status).toBe("optimal");
    expect(found.weights[0]! + found.weights[1]!).toBeCloseTo(0.5, 8);
    expect(found.value).toBe(found.volatility);
    expect(found.duals.map(({ limit }) => limit)).toContain("group:risky");
    expect((await astgnn(...flags)).out).toMatch(/group:risky +at its least +0\.5 +0\.107/);
  });

  it.skipIf(!hasSolver)("ends with 1 and names the limits that contradict each other", async () => {
    const limits = file("tight.json", JSON.stringify({ maxWeight: 0.2, groups: [{ name: "all", tickers: ["A", "B", "C"], max: 2 }] }));
    const flags = ["portfolio", "--covariance", covariance, "--objective", "minimumVariance", "--limits", limits];
    const { code, out } = await astgnn(...flags, "--json");
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ status: "infeasible", conflict: expect.arrayContaining(["net", "maxWeight"]) });
    expect((await astgnn(...flags)).out.split("\n")).toEqual([
      "No portfolio keeps to net and maxWeight together. Without any one of them the others can hold:",
      "  net alone would have to give way by 0.4",
      "  maxWeight alone would have to give way by 0.1333 for every stock",
    ]);
  });

  it("takes the risk model that is stored beside a run, of its date alone", async () => {
    const form = { date: "2020-01-02", tickers: ["A", "B"], factors: ["market"], exposures: Float64Array.of(1, 1), factorCovariance: Float64Array.of(0.04), specificVariance: Float64Array.of(0.01, 0.01) };
    const day = { date: form.date, tickers: form.tickers, returns: new Float64Array(2), exposures: new Float64Array(2) };
    writeFileSync(join(folder, "risk.safetensors"), writeRisk({ form, day, exposures: [], groups: [], slots: form.tickers, options: {}, state: {} }));
    const flags = ["portfolio", "--risk", folder, "--objective", "riskParity", "--json"];
    expect(JSON.parse((await astgnn(...flags, "--date", "2020-01-02")).out)).toMatchObject({ tickers: ["A", "B"], weights: [0.5, 0.5] });
    const other = await astgnn(...flags, "--date", "2020-01-03");
    expect(other).toMatchObject({ code: 1, err: expect.stringContaining("is of 2020-01-02, not of 2020-01-03") });
    expect((await astgnn("portfolio", "--risk", join(folder, "none"), "--objective", "riskParity")).err).toContain("Run astgnn risk --run");
  });

  it.each([
    [["--covariance", covariance, "--objective", "riskParity", "--limits", covariance], 2, "riskParity does not use limits"],
    [["--covariance", covariance, "--objective", "minimumVariance", "--limits", covariance], 1, "is not valid JSON"],
    [["--covariance", covariance, "--risk", "runs", "--objective", "riskParity"], 2, "each name a covariance"],
    [["--covariance", covariance, "--date", "2020-01-01", "--objective", "riskParity"], 2, "--risk, which is not given"],
    [["--objective", "riskParity"], 2, "Expected a factor form, { tickers, values }, { file } or { risk } for --covariance but received nothing"],
    [["--covariance", covariance], 2, "for --objective but received nothing"],
    [["--covariance", "none.csv", "--objective", "riskParity"], 1, "There is no file none.csv"],
  ])("%j ends with %d", async (flags, code, message) => {
    const { code: found, err } = await astgnn("portfolio", ...flags);
    expect(found).toBe(code);
    expect(err).toContain(message);
  });
});
