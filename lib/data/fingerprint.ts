import { createHash } from "node:crypto";
import type { Groups } from "./groups.js";
import type { Edges } from "./types.js";

/** What a fingerprint covers: the panel's values, flags, groups and edges, by name. */
export interface Fingerprinted {
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  readonly present: Uint8Array;
  readonly values: ReadonlyMap<string, Float32Array | Float64Array>;
  readonly flags: ReadonlyMap<string, Uint8Array>;
  readonly groups: Groups | undefined;
  readonly edges: Edges | undefined;
}

/**
 * SHA-256 over the (date, ticker) rows in order, each column as float64: it depends neither on the file's format nor on the order of its rows or columns.
 * Missing is one NaN whatever the file wrote. The dates are added in order, one at a time, so that a caller can yield and clean a date right after it.
 */
export class Fingerprint {
  readonly #hash = createHash("sha256");
  readonly #panel: Fingerprinted;
  readonly #columns: readonly (Float32Array | Float64Array)[];
  readonly #codes: readonly (Uint8Array | Int32Array)[];
  /** The count of rows of a date, then their stocks. */
  readonly #stocks: Int32Array;
  readonly #numbers: Float64Array;
  readonly #rowCodes: Int32Array;

  constructor(panel: Fingerprinted) {
    const { dates, tickers } = panel;
    const names = [...panel.values.keys()].sort();
    const flags = [...panel.flags.keys()].sort();
    this.#hash.update(JSON.stringify({ format: 1, dates, tickers, columns: names, flags, groups: panel.groups?.names ?? null, edges: panel.edges !== undefined }));
    this.#panel = panel;
    this.#columns = names.map((name) => panel.values.get(name)!);
    this.#codes = [...flags.map((name) => panel.flags.get(name)!), ...(panel.groups === undefined ? [] : [panel.groups.codes])];
    this.#stocks = new Int32Array(1 + tickers.length);
    this.#numbers = new Float64Array(this.#columns.length * tickers.length);
    this.#rowCodes = new Int32Array(this.#codes.length * tickers.length);
  }

  /** Adds the rows of date `t`. */
  addDate(t: number): void {
    const stocks = this.#panel.tickers.length;
    const first = t * stocks;
    const count = listPresent(this.#panel.present, first, stocks, this.#stocks);
    this.#hash.update(this.#stocks.subarray(0, 1 + count));
    this.#columns.forEach((column, k) => gatherNumbers(column, first, this.#stocks, count, this.#numbers, k * count));
    this.#hash.update(this.#numbers.subarray(0, this.#columns.length * count));
    this.#codes.forEach((column, k) => gatherCodes(column, first, this.#stocks, count, this.#rowCodes, k * count));
    this.#hash.update(this.#rowCodes.subarray(0, this.#codes.length * count));
  }

  /** The fingerprint in hex, when all dates are in. */
  digest(): string {
    if (this.#panel.edges !== undefined) {
      const { source, target, from, to } = this.#panel.edges;
      for (const column of [source, target, from, to]) this.#hash.update(column);
    }
    return this.#hash.digest("hex");
  }
}

function listPresent(present: Uint8Array, first: number, stocks: number, list: Int32Array): number {
  let count = 0;
  for (let n = 0; n < stocks; n++) if (present[first + n] === 1) list[1 + count++] = n;
  return (list[0] = count);
}

function gatherNumbers(column: Float32Array | Float64Array, first: number, stocks: Int32Array, count: number, numbers: Float64Array, at: number): void {
  for (let i = 0; i < count; i++) {
    const value = column[first + stocks[1 + i]!]!;
    numbers[at + i] = value === value ? value + 0 : NaN;
  }
}

function gatherCodes(column: Uint8Array | Int32Array, first: number, stocks: Int32Array, count: number, codes: Int32Array, at: number): void {
  for (let i = 0; i < count; i++) codes[at + i] = column[first + stocks[1 + i]!]!;
}
