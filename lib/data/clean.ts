import { PRICE_COLUMNS } from "./source/columns.js";
import type { LedgerBuilder } from "./ledger.js";

/** How many of the values of a price column were made missing. */
export interface Cleaned {
  readonly column: string;
  readonly lost: number;
  readonly values: number;
}

/**
 * Makes impossible prices missing, in place: zero or negative open, high, low, close or volume; high below low makes both missing.
 * `close` is always treated so (labels divide by it); the others only where the table has all five, because a lone `volume` may be any exposure.
 */
export function cleanPrices(values: ReadonlyMap<string, Float32Array | Float64Array>, ledger: LedgerBuilder): Cleaned[] {
  const whole = PRICE_COLUMNS.every((name) => values.has(name));
  const cleaned: { column: string; lost: number; values: number }[] = [];
  for (const name of PRICE_COLUMNS) {
    const column = values.get(name);
    if (column === undefined || !(whole || name === "close")) continue;
    const { zero, negative, positive } = dropNotPositive(column);
    cleaned.push({ column: name, lost: zero + negative, values: zero + negative + positive });
    ledger.add("clean", `zero_${name}`, zero, "values", `values of ${name} are zero, which means missing`);
    ledger.add("clean", `negative_${name}`, negative, "values", `values of ${name} are negative and were made missing`);
  }
  if (!whole) return cleaned;
  const crossed = dropCrossed(values.get("high")!, values.get("low")!);
  ledger.add("clean", "high_below_low", crossed, "rows", "rows have high below low: both were made missing");
  for (const count of cleaned) if (count.column === "high" || count.column === "low") count.lost += crossed;
  return cleaned;
}

function dropNotPositive(column: Float32Array | Float64Array): { zero: number; negative: number; positive: number } {
  let zero = 0;
  let negative = 0;
  let positive = 0;
  for (let i = 0; i < column.length; i++) {
    const value = column[i]!;
    if (value !== value) continue;
    if (value > 0) {
      positive++;
      continue;
    }
    if (value === 0) zero++;
    else negative++;
    column[i] = NaN;
  }
  return { zero, negative, positive };
}

function dropCrossed(high: Float32Array | Float64Array, low: Float32Array | Float64Array): number {
  let crossed = 0;
  for (let i = 0; i < high.length; i++) {
    if (!(high[i]! < low[i]!)) continue;
    crossed++;
    high[i] = low[i] = NaN;
  }
  return crossed;
}
