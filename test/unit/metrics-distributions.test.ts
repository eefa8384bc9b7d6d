import { describe, expect, it } from "vitest";
import { normalCdf, studentTwoSided } from "../../lib/metrics/distributions.js";
import { fixture } from "./evaluation-fixture.js";

// Relative: both tails must be right to the last digits, not only near 0.
const near = (found: number, expected: number): void => expect(Math.abs(found - expected)).toBeLessThanOrEqual(1e-12 * Math.abs(expected));

describe("normalCdf", () => {
  it.each(fixture.normal)("equals SciPy's at $z", ({ z, p }) => near(normalCdf(z), p));
  it("is NaN for NaN, and 0 and 1 at the ends", () => expect([normalCdf(NaN), normalCdf(-Infinity), normalCdf(Infinity)]).toEqual([NaN, 0, 1]));
});

describe("studentTwoSided", () => {
  it.each(fixture.student)("equals SciPy's at $t with $degrees degrees of freedom", ({ t, degrees, p }) => near(studentTwoSided(t, degrees), p));
  it("is NaN without degrees of freedom or t, and 0 at infinity", () => expect([studentTwoSided(1, 0), studentTwoSided(NaN, 5), studentTwoSided(-Infinity, 5)]).toEqual([NaN, NaN, 0]));
});
