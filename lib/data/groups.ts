import { AstgnnError } from "../errors.js";
import { isoDate } from "./calendar.js";
import type { Database } from "./database.js";
import type { LedgerBuilder } from "./ledger.js";
import { readRelations, type Relation } from "./relations.js";

/** Where groups come from: a file with a ticker and a group column, optionally from and to (both inclusive). */
export interface GroupsSource {
  readonly file: string;
  /** Column of the group; default "group". */
  readonly column?: string | undefined;
  /** Column of the ticker; default "ticker". */
  readonly tickerColumn?: string | undefined;
}

/** Group of each cell of the dense grid: an index into `names`, -1 where the stock is a group of one. */
export interface Groups {
  readonly codes: Int32Array;
  readonly names: readonly string[];
}

/** @throws AstgnnError ERR_DATA where two intervals of a ticker overlap, or a column is missing */
export async function readGroups(database: Database, source: GroupsSource, dates: readonly string[], tickers: readonly string[], ledger: LedgerBuilder): Promise<Groups> {
  const { name: file, rows } = await readRelations(
    database,
    source.file,
    "groups_file",
    { key: source.tickerColumn ?? "ticker", keyOption: "groups.tickerColumn", value: source.column ?? "group", option: "groups.column", onlyThese: false },
    dates,
  );
  refuseOverlaps(rows, file);
  const stockOf = new Map(tickers.map((ticker, n) => [ticker, n]));
  const names = [...new Set(rows.flatMap((row) => (isGroup(row.value) ? [row.value] : [])))].sort();
  const codeOf = new Map(names.map((name, code) => [name, code]));
  const codes = new Int32Array(dates.length * tickers.length).fill(-1);
  const named = new Set<string>();
  for (const row of rows) {
    const n = stockOf.get(row.key);
    if (n === undefined || !isGroup(row.value)) continue;
    named.add(row.key);
    for (let t = row.from; t <= row.to; t++) codes[t * tickers.length + n] = codeOf.get(row.value)!;
  }
  const unknown = new Set(rows.map((row) => row.key).filter((key) => !stockOf.has(key))).size;
  ledger.add("graph", "unknown_group_stocks", unknown, "stocks", `stocks of ${file} are not in the panel`);
  ledger.add("graph", "stocks_without_group", tickers.length - named.size, "stocks", `stocks have no group in ${file}: each is a group of one`);
  return { codes, names };
}

function isGroup(value: string | null): value is string {
  return value !== null && value.toLowerCase() !== "n/a";
}

function refuseOverlaps(rows: readonly Relation[], file: string): void {
  const sorted = [...rows].sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.fromDay - b.fromDay || a.row - b.row));
  let before: Relation | undefined;
  for (const row of sorted) {
    if (before?.key !== row.key || row.fromDay > before.toDay) {
      before = row;
      continue;
    }
    if (before.value !== row.value) {
      const since = row.fromDay === -Infinity ? "" : ` from ${isoDate(row.fromDay)}`;
      throw new AstgnnError("ERR_DATA", `${file} puts ${row.key} into two groups at once${since} (rows ${Math.min(before.row, row.row)} and ${Math.max(before.row, row.row)}).`, {
        file,
        row: Math.max(before.row, row.row),
        next: "Give each ticker one group at a time: set from and to so that they do not overlap.",
      });
    }
    if (row.toDay > before.toDay) before = row;
  }
}
