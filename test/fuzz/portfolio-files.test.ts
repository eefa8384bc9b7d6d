import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { checkCovariance } from "../../lib/portfolio/covariance.js";
import { readByTicker, readCovariance } from "../../lib/portfolio/files.js";
import { limitRows, readLimits } from "../../lib/portfolio/limits.js";
import { expectFinite, fuzz, FUZZ_TIMEOUT } from "./fuzz.js";
import type { Mutator } from "./mutate.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-fuzz-portfolio-"));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const covariance = [["", "A", "B", "C"], ["A", "0.04", "0.01", "0"], ["B", "0.01", "0.09", "-0.02"], ["C", "0", "-0.02", "0.01"]];
const limits = {
  longOnly: true, maxWeight: 0.6, minWeight: { A: 0.1 }, gross: 1.5, net: { min: 0.5, max: 1 }, turnover: 0.4, maxNames: 3,
  groups: [{ name: "x", tickers: ["A", "B"], max: 0.7 }], factors: [{ name: "size", exposures: { A: 1, B: -1, C: 0.5 }, min: -0.1, max: 0.1 }],
};

/** Cells, rows and bytes of a table changed. */
function changed(mutator: Mutator, table: readonly (readonly string[])[]): Uint8Array {
  const text = (rows: unknown): string => [rows].flat().map((row) => [row].flat().map((cell) => (typeof cell === "object" ? JSON.stringify(cell) : String(cell))).join(",")).join("\n");
  return mutator.below(3) === 0 ? mutator.bytes(new TextEncoder().encode(text(table))) : new TextEncoder().encode(text(mutator.json(table)));
}

describe("fuzz: files of a portfolio", { timeout: FUZZ_TIMEOUT }, () => {
  it("covariance", () =>
    fuzz("covariance", 400, async (mutator) => {
      writeFileSync(at("covariance.csv"), changed(mutator, covariance));
      const { variances, matrix, root, rank } = checkCovariance(await readCovariance(at("covariance.csv")), at("covariance.csv"));
      for (const [what, values] of Object.entries({ variances, matrix: matrix!, root: root! })) expectFinite(values, what);
      expect(variances.every((variance) => variance >= 0) && rank <= variances.length).toBe(true);
    }));

  it("limits", () => {
    const checked = checkCovariance({ tickers: ["A", "B", "C"], values: Float64Array.of(0.04, 0.01, 0, 0.01, 0.09, -0.02, 0, -0.02, 0.01) });
    return fuzz("limits", 400, async (mutator) => {
      const text = JSON.stringify(mutator.json(limits));
      writeFileSync(at("limits.json"), mutator.below(3) === 0 ? mutator.bytes(new TextEncoder().encode(text)) : text);
      const read = await readLimits(at("limits.json"));
      const { variables, rows } = limitRows(read, checked, 3, Float64Array.of(0.2, 0.3, 0.5), true, at("limits.json"));
      expect(variables).toBeGreaterThanOrEqual(0);
      expectFinite(rows.flatMap((row) => Object.values(row).flat(2).filter((value): value is number => typeof value === "number" && Math.abs(value) !== Infinity)), "limits");
    });
  });

  it("numbers by ticker", () =>
    fuzz("numbers by ticker", 400, async (mutator) => {
      const isJson = mutator.below(2) === 0;
      const name = at(isJson ? "weights.json" : "weights.csv");
      writeFileSync(name, isJson ? JSON.stringify(mutator.json({ A: 0.5, B: 0.25, C: 0.25 })) : changed(mutator, [["ticker", "weight"], ["A", "0.5"], ["B", "0.25"], ["C", "0.25"]]));
      expectFinite(Object.values(await readByTicker(name, "current")), "weights");
    }));
});
