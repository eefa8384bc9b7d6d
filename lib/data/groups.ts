import { AstgnnError } from "../errors.js";
import { warn } from "../warn.js";
import { isoDate } from "./calendar.js";
import type { Database } from "./source/database.js";
import { listed, refuseLoss } from "./loss.js";
import type { GroupsSource } from "./relation-sources.js";
import { readRelations, type RelatedTable, type Relation, type RelationChecks } from "./relations.js";

/** Group of each cell of the dense grid: an index into `names`, -1 where the stock is a group of one. */
export interface Groups {
  readonly codes: Int32Array;
  readonly names: readonly string[];
}

/** @throws AstgnnError ERR_DATA where two intervals of a ticker overlap, a column is missing, or more rows than `maxDropped` have no line */
export async function readGroups(database: Database, source: GroupsSource, { dates, tickers, present }: RelatedTable, { ledger, maxDropped, onWarning }: RelationChecks): Promise<Groups> {
  const { name: file, rows } = await readRelations(
    database,
    source.file,
    { key: source.tickerColumn ?? "ticker", keyOption: "groups.tickerColumn", value: source.column ?? "group", option: "groups.column", onlyThese: false },
    dates,
  );
  refuseOverlaps(rows, file);
  const stockOf = new Map(tickers.map((ticker, n) => [ticker, n]));
  const names = [...new Set(rows.flatMap((row) => (isGroup(row.value) ? [row.value] : [])))].sort();
  const codeOf = new Map(names.map((name, code) => [name, code]));
  const codes = new Int32Array(dates.length * tickers.length).fill(-1);
  const grouped = new Set<string>();
  const covered = new Uint8Array(codes.length);
  for (const row of rows) {
    const n = stockOf.get(row.key);
    if (n === undefined) continue;
    if (isGroup(row.value)) grouped.add(row.key);
    const code = isGroup(row.value) ? codeOf.get(row.value)! : -1;
    for (let t = row.from; t <= row.to; t++) {
      codes[t * tickers.length + n] = code;
      covered[t * tickers.length + n] = 1;
    }
  }
  const unknown = [...new Set(rows.map((row) => row.key).filter((key) => !stockOf.has(key)))];
  ledger.add("graph", "unknown_group_stocks", unknown.length, "stocks", `stocks of ${file} are not in the panel: ${listed(unknown)}`);
  ledger.add("graph", "stocks_without_group", tickers.length - grouped.size, "stocks", `stocks have no group in ${file}: each is a group of one`);
  let all = 0;
  let bare = 0;
  const without = new Set<string>();
  for (let cell = 0; cell < present.length; cell++) {
    if (present[cell] !== 1) continue;
    all++;
    if (covered[cell] === 1) continue;
    bare++;
    without.add(tickers[cell % tickers.length]!);
  }
  const bareTickers = [...without].sort();
  const what = `rows of the panel have no line in ${file}`;
  const example = unknown.length > 0 ? `tickers are written ${unknown[0]!} there` : undefined;
  ledger.add("graph", "rows_without_group_line", bare, "rows", `${what}, so each is a group of one: ${listed(bareTickers)}`);
  refuseLoss({ lost: bare, of: all, what: "rows of the panel", why: `have no line in ${file} (${listed(bareTickers, 3)}${example === undefined ? "" : `; ${example}`})` }, maxDropped, {
    file,
    next: "Write tickers and dates as in the data, complete the file (n/a for a stock that has no group), or raise maxDropped if the loss is expected.",
  });
  if (bare > 0) warn({ reason: "rows_without_group_line", text: `${bare} of ${all} ${what}, so each is a group of one: ${listed(bareTickers, 3)}.` }, onWarning);
  return { codes, names };
}

/**
 * Warns where most rows are alone in their group on their date.
 *
 * @throws AstgnnError ERR_DATA where there is no group at all
 */
export function checkGroups({ codes, names }: Groups, universe: Uint8Array, stocks: number, source: { readonly file: string; readonly option: string }, onWarning: RelationChecks["onWarning"]): void {
  const { file, option } = source;
  if (names.length === 0) throw new AstgnnError("ERR_DATA", `${file} puts no stock into a group (${option}): its groups are empty or n/a.`, { file, option, next: "Name a column that holds groups, such as industries." });
  const sizes = new Int32Array(names.length);
  let all = 0;
  let alone = 0;
  for (let first = 0; first < codes.length; first += stocks) {
    sizes.fill(0);
    let ungrouped = 0;
    for (let cell = first; cell < first + stocks; cell++) {
      if (universe[cell] !== 1) continue;
      all++;
      if (codes[cell]! < 0) ungrouped++;
      else sizes[codes[cell]!]!++;
    }
    alone += ungrouped + sizes.reduce((sum, size) => sum + (size === 1 ? 1 : 0), 0);
  }
  if (alone * 2 <= all) return;
  warn({ reason: "groups_of_one", text: `${((100 * alone) / all).toFixed(1)} % of the rows are alone in their group (${option}), so a graph of groups tells them little: check that it holds groups, such as industries.` }, onWarning);
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
