import { describe, expect, it } from "vitest";
import { lineChart } from "../../lib/report/charts/lines.js";
import { thinned, unbrokenRuns } from "../../lib/report/charts/points.js";
import { niceScale, spreadOut } from "../../lib/report/charts/scale.js";
import { shortened, textWidth } from "../../lib/report/charts/text-width.js";
import { drawChart } from "../../lib/report/vega.js";
import { count, digitsOf, fixed, value } from "../../lib/report/format.js";

describe("niceScale", () => {
  it("has round ticks inside a domain that holds every value, and ends on a tick that is near", () => {
    expect(niceScale([0, 0.0391, 0.0286])).toEqual({ domain: [0, 0.04], ticks: [0, 0.01, 0.02, 0.03, 0.04], digits: 2 });
    const wide = niceScale([-1.9, 9.4]);
    expect(wide.ticks).toEqual([0, 5, 10]);
    expect(wide.domain[0]).toBeLessThan(-1.9);
  });

  it.each([[[]], [[5]], [[0, 0]], [[NaN, -3]]])("has a domain also for %j", (values) => {
    const { domain, ticks } = niceScale(values);
    expect(domain[0]).toBeLessThan(domain[1]);
    expect(ticks.length).toBeGreaterThan(0);
  });
});

describe("lines over dates", () => {
  it.each([[1, 498], [2, 498], [3, 358], [3, 1040], [6, 498], [12, 498], [40, 1040]])("of %i days name none twice, %i pixels wide", async (days, width) => {
    const x = Array.from({ length: days }, (_, i) => new Date(Date.UTC(2005, 2, 7 + i)).toISOString().slice(0, 10));
    const { markup } = await drawChart(lineChart({ x, lines: [{ name: "IC", colour: "black", values: x.map((_, i) => i) }] }, width), "chart");
    const named = [...markup.matchAll(/>(\d+ (?:Mar|Apr))</g)].map(([, day]) => day);
    expect(named.length).toBeGreaterThan(0);
    expect(new Set(named).size).toBe(named.length);
  });
});

describe("points of a line", () => {
  it("are all kept where there is room, else the extremes of each stretch and the last", () => {
    const values = Array.from({ length: 1000 }, (_, i) => Math.sin(i / 7));
    values[501] = 9;
    expect(thinned(values, 1000)).toHaveLength(1000);
    const kept = thinned(values, 100);
    expect(kept.length).toBeLessThanOrEqual(102);
    expect(kept).toContain(501);
    expect(kept.at(-1)).toBe(999);
    expect(kept).toEqual([...new Set(kept)].sort((a, b) => a - b));
  });

  it("do not join dates between which there are weeks without any", () => {
    const days = [0, 1, 4, 60, 61].map((day) => day * 86_400_000);
    expect(unbrokenRuns(days, true)).toEqual([[0, 3], [3, 5]]);
    expect(unbrokenRuns([1, 2, 3], false)).toEqual([[0, 3]]);
  });
});

describe("labels", () => {
  it("are pushed apart as little as needed", () => {
    expect(spreadOut([10, 12, 50], 10)).toEqual([6, 16, 50]);
  });

  it("are cut with an ellipsis where they are too wide", () => {
    expect(shortened("Retail", 12, 100)).toBe("Retail");
    expect(textWidth(shortened("Computer Software: Prepackaged", 12, 80), 12)).toBeLessThanOrEqual(80);
    expect(shortened("Computer Software: Prepackaged", 12, 80)).toMatch(/…$/);
  });

  it("have a typographic minus, thin spaces between thousands, and as many decimals as say something", () => {
    expect([fixed(-0.5, 1), fixed(-0.00001, 2), count(1234567), count(-1234)]).toEqual(["−0.5", "0.00", "1\u202f234\u202f567", "−1\u202f234"]);
    expect([digitsOf([0.31, 0.03], 2), digitsOf([0.004], 2), digitsOf([], 3)]).toEqual([2, 4, 3]);
    expect(value(null, count, "no date")).toEqual({ text: "–", reason: "no date" });
  });
});
