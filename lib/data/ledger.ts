import type { Ledger, LedgerEntry } from "./types.js";

/** Collects what was dropped or set missing between source and samples. A line with count 0 is left out. */
export class LedgerBuilder {
  readonly #entries: LedgerEntry[];

  constructor(before: readonly LedgerEntry[] = []) {
    this.#entries = [...before];
  }

  add(stage: LedgerEntry["stage"], reason: string, count: number, unit: LedgerEntry["unit"], text: string): void {
    if (count > 0) this.#entries.push(Object.freeze({ stage, reason, text, count, unit }));
  }

  build(rowsRead: number, rowsKept: number): Ledger {
    return Object.freeze({ entries: Object.freeze([...this.#entries]), rowsRead, rowsKept });
  }
}
