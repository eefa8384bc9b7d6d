import { PRICE_COLUMNS } from "./source/columns.js";
import type { LedgerBuilder } from "./ledger.js";
import type { NumberArray } from "./source/long-table.js";

/** How many of the values of a price column were made missing. */
export interface Cleaned {
  readonly column: string;
  readonly lost: number;
  readonly values: number;
}

/**
 * Makes impossible prices missing, in place and date by date: zero or negative open, high, low, close or volume; high below low makes both missing.
 * `close` is always treated so (labels divide by it); the others only where the table has all five, because a lone `volume` may be any exposure.
 */
export class PriceCleaner {
  readonly #prices: readonly { readonly name: string; readonly column: NumberArray; readonly counts: Counts }[];
  readonly #highLow: readonly [NumberArray, NumberArray] | undefined;
  #crossed = 0;

  constructor(values: ReadonlyMap<string, NumberArray>) {
    const whole = PRICE_COLUMNS.every((name) => values.has(name));
    this.#prices = PRICE_COLUMNS.flatMap((name) => {
      const column = values.get(name);
      return column === undefined || !(whole || name === "close") ? [] : [{ name, column, counts: { zero: 0, negative: 0, positive: 0 } }];
    });
    this.#highLow = whole ? [values.get("high")!, values.get("low")!] : undefined;
  }

  /** Cleans the cells from `first` up to `end`. */
  clean(first: number, end: number): void {
    for (const { column, counts } of this.#prices) dropNotPositive(column, first, end, counts);
    if (this.#highLow !== undefined) this.#crossed += dropCrossed(...this.#highLow, first, end);
  }

  /** Says in the ledger what was made missing. */
  report(ledger: LedgerBuilder): Cleaned[] {
    for (const { name, counts } of this.#prices) {
      ledger.add("clean", `zero_${name}`, counts.zero, "values", `values of ${name} are zero, which means missing`);
      ledger.add("clean", `negative_${name}`, counts.negative, "values", `values of ${name} are negative and were made missing`);
    }
    ledger.add("clean", "high_below_low", this.#crossed, "rows", "rows have high below low: both were made missing");
    return this.#prices.map(({ name, counts: { zero, negative, positive } }) => ({
      column: name,
      lost: zero + negative + (name === "high" || name === "low" ? this.#crossed : 0),
      values: zero + negative + positive,
    }));
  }
}

interface Counts {
  zero: number;
  negative: number;
  positive: number;
}

function dropNotPositive(column: NumberArray, first: number, end: number, counts: Counts): void {
  let positive = 0;
  for (let i = first; i < end; i++) {
    const value = column[i]!;
    if (value > 0) positive++;
    else if (value <= 0) {
      if (value === 0) counts.zero++;
      else counts.negative++;
      column[i] = NaN;
    }
  }
  counts.positive += positive;
}

function dropCrossed(high: NumberArray, low: NumberArray, first: number, end: number): number {
  let crossed = 0;
  for (let i = first; i < end; i++) {
    if (!(high[i]! < low[i]!)) continue;
    crossed++;
    high[i] = low[i] = NaN;
  }
  return crossed;
}
