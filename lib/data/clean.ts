import type { CheckCounts } from "../binding/table-types.js";
import { PRICE_COLUMNS } from "./source/columns.js";
import type { LedgerBuilder } from "./ledger.js";

/** How many of the values of a price column were made missing. */
export interface Cleaned {
  readonly column: string;
  readonly lost: number;
  readonly values: number;
}

/**
 * The price columns in which impossible values are missing ones: zero or negative open, high, low, close or volume; high below low makes both missing.
 * `close` is always treated so (labels divide by it); the others only where the table has all five, because a lone `volume` may be any exposure.
 */
export function pricesOf(columns: readonly string[]): readonly string[] {
  const whole = PRICE_COLUMNS.every((name) => columns.includes(name));
  return PRICE_COLUMNS.filter((name) => columns.includes(name) && (whole || name === "close"));
}

/** Says in the ledger what was made missing. */
export function countPrices(prices: readonly string[], counts: CheckCounts, ledger: LedgerBuilder): Cleaned[] {
  prices.forEach((name, i) => {
    const { zero, negative } = counts.prices[i]!;
    ledger.add("clean", `zero_${name}`, zero, "values", `values of ${name} are zero, which means missing`);
    ledger.add("clean", `negative_${name}`, negative, "values", `values of ${name} are negative and were made missing`);
  });
  ledger.add("clean", "high_below_low", counts.crossed, "rows", "rows have high below low: both were made missing");
  return prices.map((name, i) => {
    const { zero, negative, positive } = counts.prices[i]!;
    return { column: name, lost: zero + negative + (name === "high" || name === "low" ? counts.crossed : 0), values: zero + negative + positive };
  });
}
