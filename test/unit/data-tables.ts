import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder of small files that goes when the tests are done. */
export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), "astgnn-data-"));

  write(name: string, content: string | Uint8Array): string {
    const path = join(this.path, name);
    writeFileSync(path, content);
    return path;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** Numbers in [0, 1) from a seed (Lehmer generator). */
export function randomNumbers(seed: number): () => number {
  let state = seed * 2 + 1;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

/** The first `count` weekdays from 2020-01-01 on. */
export function weekdays(count: number): string[] {
  const days: string[] = [];
  for (let day = Date.UTC(2020, 0, 1); days.length < count; day += 86_400_000) {
    if (new Date(day).getUTCDay() % 6 !== 0) days.push(new Date(day).toISOString().slice(0, 10));
  }
  return days;
}

export interface PriceRow {
  date: string;
  ticker: string;
  open: number;
  high: number;
  low: number;
  close: number;
  volume: number;
}

/** Random-walk prices with two decimals; stock k lists `k % 4` dates late. Earlier days do not depend on how many follow. */
export function priceRows({ days, stocks, seed = 1 }: { days: number; stocks: number; seed?: number }): PriceRow[] {
  const dates = weekdays(days);
  const cents = (x: number): number => Math.round(x * 100) / 100;
  const rows: PriceRow[] = [];
  for (let k = 0; k < stocks; k++) {
    const random = randomNumbers(seed * 1000 + k);
    for (let i = 0; i < 20; i++) random();
    let close = 20 + 80 * random();
    for (let t = 0; t < days; t++) {
      const open = close * (1 + 0.02 * (random() - 0.5));
      close = open * (1 + 0.04 * (random() - 0.5));
      const high = Math.max(open, close) * (1 + 0.01 * random());
      const low = Math.min(open, close) * (1 - 0.01 * random());
      const volume = Math.round(1000 + 9000 * random());
      if (t < k % 4) continue;
      rows.push({ date: dates[t]!, ticker: `S${String(k).padStart(3, "0")}`, open: cents(open), high: cents(high), low: cents(low), close: cents(close), volume });
    }
  }
  return rows;
}

/** CSV text of rows; undefined cells are empty. */
export function csv(rows: readonly object[], columns: readonly string[] = Object.keys(rows[0]!)): string {
  const line = (row: object): string => columns.map((name) => (row as Record<string, unknown>)[name] ?? "").join(",");
  return [columns.join(","), ...rows.map(line), ""].join("\n");
}
