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
 * Missing is one NaN whatever the file wrote. Yields to the event loop now and then.
 */
export async function fingerprint(panel: Fingerprinted): Promise<string> {
  const { dates, tickers, present } = panel;
  const names = [...panel.values.keys()].sort();
  const flags = [...panel.flags.keys()].sort();
  const hash = createHash("sha256");
  hash.update(JSON.stringify({ format: 1, dates, tickers, columns: names, flags, groups: panel.groups?.names ?? null, edges: panel.edges !== undefined }));
  const stocks = tickers.length;
  const index = new Int32Array(stocks);
  const block = new Float64Array(stocks);
  const codes = new Int32Array(stocks);
  for (let t = 0; t < dates.length; t++) {
    const first = t * stocks;
    const count = listPresent(present, first, stocks, index);
    hash.update(Int32Array.of(count));
    hash.update(index.subarray(0, count));
    for (const name of names) {
      gatherNumbers(panel.values.get(name)!, first, index, count, block);
      hash.update(block.subarray(0, count));
    }
    const codeColumns = [...flags.map((name) => panel.flags.get(name)!), ...(panel.groups === undefined ? [] : [panel.groups.codes])];
    for (const column of codeColumns) {
      for (let i = 0; i < count; i++) codes[i] = column[first + index[i]!]!;
      hash.update(codes.subarray(0, count));
    }
    if (t % 64 === 63) await new Promise(setImmediate);
  }
  if (panel.edges !== undefined) {
    const { source, target, from, to } = panel.edges;
    for (const column of [source, target, from, to]) hash.update(column);
  }
  return hash.digest("hex");
}

// The inner loops are functions of their own: a loop inside an async function falls back to unoptimised code after every await.
function listPresent(present: Uint8Array, first: number, stocks: number, index: Int32Array): number {
  let count = 0;
  for (let n = 0; n < stocks; n++) if (present[first + n] === 1) index[count++] = n;
  return count;
}

function gatherNumbers(column: Float32Array | Float64Array, first: number, index: Int32Array, count: number, block: Float64Array): void {
  for (let i = 0; i < count; i++) {
    const value = column[first + index[i]!]!;
    block[i] = value === value ? value + 0 : NaN;
  }
}
