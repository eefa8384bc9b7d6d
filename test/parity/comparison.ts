import { expect } from "vitest";
import { relativeError } from "./fixture.js";

/** Collects the largest error of each kind of value over many cases, so that a run can say how close it came to its bars. */
export class Comparison {
  readonly #worst = new Map<string, { error: number; share: number; where: string }>();
  readonly #cases = new Set<string>();

  /** Holds an error to its bar and remembers it. */
  check(kind: string, where: string, error: number, bar: number): void {
    this.#cases.add(where.split(" ")[0]!);
    const before = this.#worst.get(kind);
    if (before === undefined || error / bar > before.share) this.#worst.set(kind, { error, share: error / bar, where });
    expect(error, `${kind}, ${where}: relative error`).toBeLessThanOrEqual(bar);
  }

  /** Holds values to expected ones: max|a - b| / max|b| at most `bar`. */
  values(kind: string, where: string, a: ArrayLike<number>, b: ArrayLike<number>, bar: number): void {
    this.check(kind, where, relativeError(a, b), bar);
  }

  /** One line per kind: the error that came closest to its bar. */
  summary(title: string): string {
    const lines = [...this.#worst].map(([kind, { error, share, where }]) => `  ${kind.padEnd(36)} ${error.toExponential(1)} (${(100 * share).toPrecision(2)} % of its bar; ${where})`);
    return [`${title}: ${this.#cases.size} cases ran; largest errors`, ...lines].join("\n");
  }
}
