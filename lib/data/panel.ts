import { z } from "zod";
import { AstgnnError } from "../errors.js";
import { resolveOptions } from "../options.js";
import { warn, type Warning } from "../warn.js";
import { appendRows, type AppendOptions } from "./append.js";
import { cleanPrices } from "./clean.js";
import { countKept, defaultUniverse, findPartialDates } from "./coverage.js";
import { flagSql, numberColumns } from "./source/columns.js";
import { Database } from "./source/database.js";
import { buildDataset } from "./dataset.js";
import type { DatasetOptions } from "./dataset-options.js";
import { readEdges, type EdgesSource } from "./edges.js";
import { fingerprint } from "./fingerprint.js";
import { checkGroups, readGroups, type Groups, type GroupsSource } from "./groups.js";
import { LedgerBuilder } from "./ledger.js";
import { refuseLoss } from "./loss.js";
import type { NewRows } from "./new-rows.js";
import { originOf, type PanelOrigin } from "./origin.js";
import { findPriceBreaks, reportPriceBreaks, segmentsOf, type PriceBreak } from "./price-breaks.js";
import { readTable, type DenseTable } from "./source/read-table.js";
import { openSource, requireColumn, type PanelSource } from "./source/source.js";
import type { Dataset, Edges, Ledger } from "./types.js";

const text = (what: string) => z.string().min(1).describe(what);

const PanelOptionsSchema = z.strictObject({
  dateColumn: text("a column name").default("date"),
  tickerColumn: text("a column name").default("ticker"),
  columns: z.array(text("a column name")).min(1).optional().describe("a list of column names"),
  groupColumn: text("a column name").optional(),
  tradableColumn: text("a column name").optional(),
  universeColumn: text("a column name").optional(),
  groups: z
    .strictObject({ file: text("a path"), column: text("a column name").default("group"), tickerColumn: text("a column name").default("ticker") })
    .optional()
    .describe("{ file, column?, tickerColumn? }"),
  edges: z.strictObject({ file: text("a path"), symmetric: z.boolean().default(true).describe("true or false") }).optional().describe("{ file, symmetric? }"),
  maxDropped: z.number().min(0).max(1).default(0.05).describe("a share from 0 to 1"),
  extremeReturns: z.enum(["warn", "error", "missing"]).default("warn").describe('"warn", "error" or "missing"'),
  onWarning: z.custom<(warning: Warning) => void>((value) => typeof value === "function").optional().describe("a function"),
  signal: z.instanceof(AbortSignal).optional().describe("an AbortSignal"),
});

/** What {@link openPanel} may be told. */
export interface PanelOptions {
  /** Column of dates: DATE, TIMESTAMP, text YYYY-MM-DD or yyyymmdd, whole number yyyymmdd. A time of day is dropped, one with a zone in UTC. Default "date". */
  readonly dateColumn?: string;
  /** Column of tickers, read as text. Default "ticker". */
  readonly tickerColumn?: string;
  /** Numeric columns to read. Default: all that are numeric. */
  readonly columns?: readonly string[];
  /** Column that names each row's group, e.g. an industry; empty and `n/a` are groups of one. */
  readonly groupColumn?: string;
  /** Yes/no column: where it is no on the entry date, there is no label. Default: always tradable. */
  readonly tradableColumn?: string;
  /**
   * Yes/no column: whether the stock counts on that date. Default: it has a close that date, or without a close column a row. Rows of the table on which it does
   * not count are known data all the same: its features are computed on them, and its windows may reach back before it joined.
   */
  readonly universeColumn?: string;
  /** Groups from a file of their own. */
  readonly groups?: GroupsSource;
  /** Edges from a file. */
  readonly edges?: EdgesSource;
  /** Largest share of source rows without a usable close, of a price's values that are impossible, of rows that the groups file has no line for, or of edges of unknown stocks, before reading is refused, 0 to 1. Default .05. */
  readonly maxDropped?: number;
  /**
   * What becomes of returns below -25 % or above +33 % that look like a split which the prices were not adjusted for ({@link Panel.priceBreaks}):
   * `"warn"` lists them in the ledger and keeps them (default), `"error"` refuses, `"missing"` makes every label and price feature that spans one missing.
   */
  readonly extremeReturns?: "warn" | "error" | "missing";
  /** Told what looks wrong in the data. Default: Node prints it (`process.emitWarning`), each text once. */
  readonly onWarning?: (warning: Warning) => void;
  readonly signal?: AbortSignal;
}

/** What a Panel is made of; cells of the dense grid are t * stocks + n. */
export interface PanelParts {
  readonly source: string;
  readonly origin: PanelOrigin;
  readonly table: DenseTable;
  readonly universe: Uint8Array;
  readonly groups: Groups | undefined;
  readonly edges: Edges | undefined;
  readonly priceBreaks: readonly PriceBreak[];
  readonly segments: Int32Array | undefined;
  readonly extremeReturns: "warn" | "error" | "missing";
  readonly ledger: Ledger;
  readonly fingerprint: string;
}

/**
 * A long table of stocks, laid out on the grid of its dates x its tickers: what datasets are cut from.
 *
 * @example
 * const panel = await openPanel("prices.parquet");
 * console.log(panel.summary());
 */
export class Panel {
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
    return new Panel(await appendRows(this, rows, options));
  }

  /**
   * Cuts features, rows, labels and splits from the panel.
   *
   * @throws AstgnnError ERR_OPTION, ERR_DATA or ERR_LEAKAGE
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
  const table = await openSource(database, source, "panel_source");
  requireColumn(table, resolved.dateColumn, "dateColumn");
  requireColumn(table, resolved.tickerColumn, "tickerColumn");
  if (resolved.groupColumn !== undefined) requireColumn(table, resolved.groupColumn, "groupColumn");
  const { dateColumn, tickerColumn, groupColumn, universeColumn, tradableColumn } = resolved;
  const reserved = new Set([dateColumn, tickerColumn, groupColumn, universeColumn, tradableColumn].filter((name) => name !== undefined));
  const { columns, skipped } = await numberColumns(database, table, resolved.columns, reserved);
  if (columns.length === 0) {
    throw new AstgnnError("ERR_DATA", `${table.name} has no numeric column besides ${[...reserved].join(", ")}.`, { file: table.name, next: "Add prices or exposures as numeric columns." });
  }
  const dense = await readTable(database, table, {
    dateColumn,
    tickerColumn,
    groupColumn,
    columns,
    universeSql: universeColumn === undefined ? undefined : await flagSql(table, universeColumn, "universeColumn"),
    tradableSql: tradableColumn === undefined ? undefined : await flagSql(table, tradableColumn, "tradableColumn"),
  });

  const ledger = new LedgerBuilder();
  ledger.add("source", "skipped_columns", skipped.length, "values", `columns are not numeric and were not read: ${skipped.join(", ")}`);
  reportMovedDates(dense.movedDates, dateColumn, ledger, resolved.onWarning);
  const checks = { ledger, maxDropped: resolved.maxDropped, onWarning: resolved.onWarning };
  const fromColumn = dense.groups === undefined ? undefined : { codes: dense.groups, names: dense.groupNames };
  const groups = resolved.groups === undefined ? fromColumn : await readGroups(database, resolved.groups, dense, checks);
  const edges = resolved.edges === undefined ? undefined : await readEdges(database, resolved.edges, dense, checks);
  const flags = new Map<string, Uint8Array>();
  if (dense.universe !== undefined) flags.set("universe", dense.universe);
  if (dense.tradable !== undefined) flags.set("tradable", dense.tradable);
  const digest = await fingerprint({ dates: dense.dates, tickers: dense.tickers, present: dense.present, values: dense.values, flags, groups, edges });

  const cleaned = cleanPrices(dense.values, ledger);
  const universe = dense.universe ?? defaultUniverse(dense);
  if (!universe.includes(1)) {
    throw new AstgnnError("ERR_DATA", `The universe of ${table.name} is empty: no stock counts on any date.`, {
      file: table.name,
      ...(universeColumn === undefined ? { column: "close" } : { column: universeColumn }),
      next: universeColumn === undefined ? "Check the close column." : `Check column ${universeColumn}: it is true nowhere.`,
    });
  }
  const kept = countKept(dense, ledger);
  const next = "Check the file, or raise maxDropped if the loss is expected.";
  refuseLoss({ lost: dense.rows - kept, of: dense.rows, what: `rows of ${table.name}`, why: "have no usable value" }, resolved.maxDropped, { file: table.name, next });
  for (const { column, lost, values } of cleaned) {
    refuseLoss({ lost, of: values, what: `values of ${column} in ${table.name}`, why: "are impossible and were made missing" }, resolved.maxDropped, { file: table.name, column, next });
  }
  if (groups !== undefined) {
    const column = groupColumn === undefined ? { file: resolved.groups!.file, option: "groups.column" } : { file: table.name, option: "groupColumn" };
    checkGroups(groups, universe, dense.tickers.length, column, resolved.onWarning);
  }
  findPartialDates(dense, ledger, (text) => warn({ reason: "partial_dates", text }, resolved.onWarning));
  const { extremeReturns } = resolved;
  const found = findPriceBreaks(dense.values, dense.dates, dense.tickers);
  reportPriceBreaks(found, table.name, resolved, ledger);
  return new Panel({
    source: table.name,
    origin: originOf(source, resolved as PanelOptions),
    table: dense,
    universe,
    groups,
    edges,
    priceBreaks: found.breaks,
    segments: extremeReturns === "missing" ? segmentsOf(found, dense.dates.length, dense.tickers.length) : undefined,
    extremeReturns,
    ledger: ledger.build(dense.rows, kept),
    fingerprint: digest,
  });
}

function reportMovedDates(count: number, column: string, ledger: LedgerBuilder, onWarning: ((warning: Warning) => void) | undefined): void {
  if (count === 0) return;
  const text = `of column ${column} are written with a time zone and fall on another day in UTC, which is the one that counts`;
  ledger.add("source", "dates_in_utc", count, "dates", `times ${text}`);
  warn({ reason: "dates_in_utc", text: `${count} ${count === 1 ? "time" : "times"} ${text}. Write days as YYYY-MM-DD where the local day is meant.` }, onWarning);
}
