import { AstgnnError } from "../errors.js";
import { resolveOptions } from "../options.js";
import { warn, type Warning } from "../warn.js";
import { appendRows, type AppendOptions } from "./append.js";
import { checkTable, type CheckOptions } from "./check-table.js";
import { buildDataset } from "./dataset.js";
import type { DatasetOptions } from "./dataset-options.js";
import { inheritFeatures } from "./feature-cache.js";
import type { Groups } from "./groups.js";
import type { NewRows } from "./new-rows.js";
import { LedgerBuilder } from "./ledger.js";
import { originOf, type PanelOrigin } from "./origin.js";
import { PanelOptionsSchema, type PanelOptions } from "./panel-options.js";
import type { PanelGrid, PanelParts } from "./panel-grid.js";
import type { PriceBreak } from "./price-breaks.js";
import { flagColumn, numberColumns, PRICE_COLUMNS } from "./source/columns.js";
import { Database } from "./source/database.js";
import { readTable } from "./source/read-table.js";
import { nameColumns, requireColumn } from "./source/names.js";
import { openSource, type PanelSource } from "./source/source.js";
import type { Dataset, Edges, Ledger } from "./types.js";

export type { PanelOptions } from "./panel-options.js";

/**
 * A long table of stocks, laid out on the grid of its dates x its tickers: what datasets are cut from.
 *
 * @example
 * const panel = await openPanel("prices.parquet");
 * console.log(panel.summary());
 */
export class Panel implements PanelGrid {
  /** ISO dates, ascending. */
  readonly dates: readonly string[];
  /** Sorted. */
  readonly tickers: readonly string[];
  /** Names of the numeric columns. */
  readonly columns: readonly string[];
  /** 1 where the stock counts on the date: [dates * stocks]. */
  readonly universe: Uint8Array;
  /** 1 where the table has a row: [dates * stocks]. */
  readonly present: Uint8Array;
  /** 1 where the stock may be bought on the date, undefined where always: [dates * stocks]. */
  readonly tradable: Uint8Array | undefined;
  readonly groups: Groups | undefined;
  readonly edges: Edges | undefined;
  /** Returns that look like a split which the prices were not adjusted for, the largest move first. */
  readonly priceBreaks: readonly PriceBreak[];
  /** With `extremeReturns: "missing"` the number of price breaks up to the date, undefined where there is none: [dates * stocks]. Prices of unequal numbers are not compared. */
  readonly segments: Int32Array | undefined;
  readonly extremeReturns: "warn" | "error" | "missing";
  readonly ledger: Ledger;
  /** SHA-256 (hex) over sorted (date, ticker, columns), groups and edges; where rows were appended, over the fingerprint before and that of these rows. */
  readonly fingerprint: string;
  /** The source as messages name it. */
  readonly source: string;
  /** What it was read from and how, as run.json keeps it. */
  readonly origin: PanelOrigin;
  readonly #values: ReadonlyMap<string, Float32Array | Float64Array>;

  constructor(parts: PanelParts) {
    this.source = parts.source;
    this.origin = parts.origin;
    this.dates = Object.freeze(parts.table.dates);
    this.tickers = Object.freeze(parts.table.tickers);
    this.#values = parts.table.values;
    this.columns = Object.freeze([...parts.table.values.keys()]);
    this.universe = parts.universe;
    this.present = parts.table.present;
    this.tradable = parts.table.tradable;
    this.groups = parts.groups;
    this.edges = parts.edges;
    this.ledger = parts.ledger;
    this.priceBreaks = parts.priceBreaks;
    this.segments = parts.segments;
    this.extremeReturns = parts.extremeReturns;
    this.fingerprint = parts.fingerprint;
  }

  /** Whether the panel has the column. */
  has(column: string): boolean {
    return this.#values.has(column);
  }

  /**
   * A column as [dates * stocks], NaN where missing; not a copy. Single precision where the source is.
   *
   * @throws AstgnnError ERR_DATA where the panel has no such column
   */
  values(column: string): Float32Array | Float64Array {
    const values = this.#values.get(column);
    if (values === undefined) throw new AstgnnError("ERR_DATA", `The panel has no column ${column}; it has ${this.columns.join(", ")}.`, { column, next: "Name one of its columns." });
    return values;
  }

  /** First and last date, sizes and the share of cells in the universe: JSON-safe. */
  summary(): { source: string; firstDate: string; lastDate: string; dates: number; stocks: number; columns: readonly string[]; universe: number; rowsRead: number; rowsKept: number; fingerprint: string } {
    let universe = 0;
    for (let i = 0; i < this.universe.length; i++) universe += this.universe[i]!;
    return {
      source: this.source,
      firstDate: this.dates[0]!,
      lastDate: this.dates[this.dates.length - 1]!,
      dates: this.dates.length,
      stocks: this.tickers.length,
      columns: this.columns,
      universe,
      rowsRead: this.ledger.rowsRead,
      rowsKept: this.ledger.rowsKept,
      fingerprint: this.fingerprint,
    };
  }

  /**
   * The panel with rows of later dates, which are cleaned, checked and counted as `openPanel` does it. This one stays as it is; the two share what they have
   * in common, so that a date costs what the date holds. New tickers may come in: then everything is laid out anew.
   *
   * Groups and edges that come from files are read from these again.
   *
   * @example
   * panel = await panel.append({ dates: "2024-01-02", tickers: ["AAA", "BBB"], columns: { open, high, low, close, volume } });
   * @throws AstgnnError ERR_DATA where dates are not after the panel's last (restated or out of order), a row stands twice, a column is missing or
   *   unknown, a value infinite, or more than `maxDropped` is lost; ERR_OPTION
   */
  async append(rows: NewRows, options: AppendOptions = {}): Promise<Panel> {
    const panel = new Panel(await appendRows(this, rows, options));
    if (panel.tickers === this.tickers) inheritFeatures(panel, this);
    return panel;
  }

  /**
   * Cuts features, rows, labels and splits from the panel, off the event loop. Datasets with the same features and processors share them;
   * the newest stay in memory for the next dataset of the panel.
   *
   * @throws AstgnnError ERR_OPTION, ERR_DATA, ERR_LEAKAGE, ERR_OUT_OF_MEMORY or ERR_ABORTED
   */
  async dataset(options: DatasetOptions): Promise<Dataset> {
    return buildDataset(this, options);
  }
}

/**
 * Reads a long table of stocks: Parquet, CSV (also gzip) or any DuckDB query.
 *
 * @throws AstgnnError ERR_DATA naming file, column, row or date; ERR_OPTION; ERR_ABORTED
 * @example
 * const panel = await openPanel("prices.parquet", { groups: { file: "industry.csv", column: "industry" } });
 */
export async function openPanel(source: PanelSource, options: PanelOptions = {}): Promise<Panel> {
  const resolved = resolveOptions(PanelOptionsSchema, options, "openPanel");
  if (resolved.groupColumn !== undefined && resolved.groups !== undefined) {
    throw new AstgnnError("ERR_OPTION", "Groups come either from a column (groupColumn) or from a file (groups), not both.", { option: "groups", next: "Leave one out." });
  }
  await using database = await Database.open(resolved.signal);
  const { dateColumn, tickerColumn, groupColumn, universeColumn, tradableColumn } = resolved;
  const keys = [dateColumn, tickerColumn, groupColumn, universeColumn, tradableColumn].filter((name) => name !== undefined);
  const table = nameColumns(await openSource(database, source), resolved.rename ?? {}, [...keys, ...(resolved.columns ?? PRICE_COLUMNS)]);
  requireColumn(table, resolved.dateColumn, "dateColumn");
  requireColumn(table, resolved.tickerColumn, "tickerColumn");
  if (resolved.groupColumn !== undefined) requireColumn(table, resolved.groupColumn, "groupColumn");
  const reserved = new Set(keys);
  const { columns, skipped } = await numberColumns(database, table, resolved.columns, reserved);
  if (columns.length === 0) {
    throw new AstgnnError("ERR_DATA", `${table.name} has no numeric column besides ${[...reserved].join(", ")}.`, { file: table.name, next: "Add prices or exposures as numeric columns." });
  }
  const { dense, movedDates, lateRows } = await readTable(database, table, {
    dateColumn,
    tickerColumn,
    groupColumn,
    columns,
    universe: universeColumn === undefined ? undefined : flagColumn(table, universeColumn, "universeColumn"),
    tradable: tradableColumn === undefined ? undefined : flagColumn(table, tradableColumn, "tradableColumn"),
  });
  const ledger = new LedgerBuilder();
  ledger.add("source", "skipped_columns", skipped.length, "values", `columns are not numeric and were not read: ${skipped.join(", ")}`);
  reportMovedDates(movedDates, dateColumn, ledger, resolved.onWarning);
  reportLateRows(lateRows, dateColumn, ledger, resolved.onWarning);
  return new Panel({ ...(await checkTable(database, dense, table.name, resolved as CheckOptions, ledger)), origin: originOf(source, resolved as PanelOptions) });
}

function reportMovedDates(count: number, column: string, ledger: LedgerBuilder, onWarning: ((warning: Warning) => void) | undefined): void {
  if (count === 0) return;
  const text = `of column ${column} are written with a time zone and fall on another day in UTC, which is the one that counts`;
  ledger.add("source", "dates_in_utc", count, "dates", `times ${text}`);
  warn({ reason: "dates_in_utc", text: `${count} ${count === 1 ? "time" : "times"} ${text}. Write days as YYYY-MM-DD where the local day is meant.` }, onWarning);
}

/** A time of 15:00 in UTC may be the close of that day or midnight of the next one in Tokyo: only a person can tell. */
function reportLateRows(count: number, column: string, ledger: LedgerBuilder, onWarning: ((warning: Warning) => void) | undefined): void {
  if (count === 0) return;
  const text = `of column ${column} are 10:00 or later in UTC, whose day counts; east of UTC it may be the next day by then (midnight in Tokyo is 15:00 of the day before)`;
  ledger.add("source", "late_times", count, "rows", `times ${text}`);
  warn({ reason: "late_times", text: `${count} ${count === 1 ? "time" : "times"} ${text}. Store days as DATE where the local day is meant.` }, onWarning);
}
