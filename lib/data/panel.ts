import { AstgnnError } from "../errors.js";
import { requireObject, requireText, requireTexts, resolveOptions } from "../options.js";
import { warn } from "../warn.js";
import { appendRows, type AppendOptions } from "./append.js";
import { checkGrid } from "./check-grid.js";
import { checkTable, type CheckOptions } from "./check-table.js";
import { buildDataset } from "./dataset.js";
import type { DatasetOptions } from "./dataset-options.js";
import { fingerprintOf, type PanelDigests } from "./digests.js";
import { inheritFeatures } from "./feature-cache.js";
import { keepFew } from "./grid-memory.js";
import type { Groups } from "./groups.js";
import type { NewRows } from "./new-rows.js";
import { legacyFingerprint, offerLegacyFingerprint } from "./legacy-fingerprint.js";
import { readLater } from "./later-columns.js";
import { LedgerBuilder } from "./ledger.js";
import { originOf, type PanelOrigin } from "./origin.js";
import { PanelDataOptionsSchema, PanelOptionsSchema, type PanelDataOptions, type PanelOptions } from "./panel-options.js";
import type { PanelGrid, PanelParts } from "./panel-grid.js";
import type { PriceBreak } from "./price-breaks.js";
import { Database } from "./source/database.js";
import { readMemory, requireTable, type PanelData } from "./source/memory.js";
import { readSource } from "./source/read-source.js";
import type { LaterColumns, ReadSource } from "./source/roles.js";
import type { PanelSource } from "./source/panel-source.js";
import type { DataDigests, Dataset, Edges, Ledger } from "./types.js";

export type { PanelOptions } from "./panel-options.js";

/** What a panel knows of the data that it holds: for panels that are made of it. */
export let digestedParts: (panel: Panel) => Pick<PanelParts, "digests" | "core" | "replaced">;

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
  /** Names of the numeric columns, those that are read when they are needed among them. */
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
  /**
   * SHA-256 (hex) over digests of the sorted (date, ticker) rows, groups, edges, and the columns that `columns` names or else prices, as they are after cleaning.
   * It does not depend on the format of the source, nor on whether rows were appended or read with the others. A dataset has one of the columns that it uses.
   */
  readonly fingerprint: string;
  /** The source as messages name it. */
  readonly source: string;
  /** Folder of the files that its grids lie in; undefined: in memory. */
  readonly scratch: string | undefined;
  /** What it was read from and how, as run.json keeps it. */
  readonly origin: PanelOrigin;
  readonly #values: Map<string, Float32Array | Float64Array>;
  readonly #digests: PanelDigests;
  readonly #core: readonly string[];
  readonly #later: LaterColumns | undefined;
  readonly #replaced: PanelParts["replaced"];
  /** Columns are read one call after the other. */
  #reading: Promise<void> = Promise.resolve();

  constructor(parts: PanelParts) {
    this.source = parts.source;
    this.origin = parts.origin;
    this.dates = Object.freeze(parts.table.dates);
    this.tickers = Object.freeze(parts.table.tickers);
    this.#values = parts.table.values;
    this.#digests = parts.digests;
    this.#core = parts.core;
    this.#later = parts.later;
    this.#replaced = parts.replaced;
    this.columns = Object.freeze([...(parts.later?.order ?? parts.table.values.keys())]);
    this.universe = parts.universe;
    this.present = parts.table.present;
    this.tradable = parts.table.tradable;
    this.groups = parts.groups;
    this.edges = parts.edges;
    this.ledger = parts.ledger;
    this.priceBreaks = parts.priceBreaks;
    this.segments = parts.segments;
    this.extremeReturns = parts.extremeReturns;
    this.scratch = parts.scratch;
    this.fingerprint = fingerprintOf(parts.digests.of(parts.core));
  }

  /**
   * A panel of a table in memory, long or dense; cleaned, checked and counted as `openPanel` does it. Columns are copied.
   *
   * @example
   * const panel = await Panel.from({ dates: ["2024-01-02", "2024-01-03"], tickers: ["AAA", "BBB"], columns: { close: Float64Array.of(10, 20, 11, 19) } });
   * @throws AstgnnError ERR_DATA or ERR_OPTION
   */
  static async from(data: PanelData, options: PanelDataOptions = {}): Promise<Panel> {
    const resolved = { ...resolveOptions(PanelDataOptionsSchema, options, "Panel.from"), dateColumn: "date", tickerColumn: "ticker" };
    refuseTwoGroups(resolved);
    requireTable(data);
    await using database = Database.open(resolved.signal);
    return await panelOf(database, await readMemory(data, resolved, "the data"), resolved as CheckOptions, originOf(undefined, resolved as PanelOptions));
  }

  /** Whether the panel has the column. */
  has(column: string): boolean {
    return this.#values.has(column) || this.#later?.names.includes(column) === true;
  }

  /** Whether the values of the column are in memory. */
  isRead(column: string): boolean {
    return this.#values.has(column);
  }

  /**
   * Reads columns that were not needed when the panel was opened, from the same source: datasets, audits and evaluations do so themselves.
   *
   * @example
   * await panel.read(["turnover"]);
   * console.log(panel.values("turnover").length);
   * @throws AstgnnError ERR_DATA where the panel has no such column, or the source has changed since it was opened; as `openPanel`
   */
  async read(columns: readonly string[], options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
    requireObject(options, "options", "{ signal? }");
    const { signal } = options;
    requireTexts(columns, "columns", "a list of column names");
    for (const column of columns) if (!this.has(column)) throw this.#lacks(column);
    if (columns.every((column) => this.#values.has(column) && this.#digests.has(column))) return;
    const reading = this.#reading.catch(() => undefined).then(() => this.#read(columns, signal));
    this.#reading = reading;
    return reading;
  }

  async #read(columns: readonly string[], signal: AbortSignal | undefined): Promise<void> {
    using _ = keepFew(this.scratch);
    const missing = columns.filter((column) => !this.#values.has(column));
    if (missing.length > 0) {
      const { values, digests } = await readLater(this.source, this.#later!, missing, (names) => this.#digests.of(names), signal, this.scratch);
      this.#digests.add(digests);
      for (const [column, grid] of values) this.#values.set(column, grid);
    }
    const held = columns.filter((column) => !this.#digests.has(column));
    if (held.length === 0) return;
    const { dates, tickers, present, scratch } = this;
    const values = new Map(held.map((column) => [column, this.#values.get(column)!]));
    // Prices that nobody named are no prices to be cleaned: they stand beside no close.
    this.#digests.add((await checkGrid({ dates, tickers, present, values, flags: new Map(), groups: undefined, scratch })).digests);
  }

  #lacks(column: string): AstgnnError {
    return new AstgnnError("ERR_DATA", `The panel has no column ${column}; it has ${this.columns.join(", ")}.`, { column, next: "Name one of its columns." });
  }

  /**
   * A column as [dates * stocks], NaN where missing; not a copy: its buffer must not be transferred while a dataset is computed, which reads it. Single precision where the source is.
   *
   * @throws AstgnnError ERR_DATA where the panel has no such column, or has not read it
   */
  values(column: string): Float32Array | Float64Array {
    const values = this.#values.get(column);
    if (values !== undefined) return values;
    requireText(column, "column", "a column name");
    if (!this.has(column)) throw this.#lacks(column);
    throw new AstgnnError("ERR_DATA", `Column ${column} of ${this.source} has not been read: nothing needed it so far.`, { file: this.source, column, next: `await panel.read(["${column}"]), or name it in columns of openPanel.` });
  }

  /**
   * Digests of the parts of the data, as run.json keeps them: dates and tickers, flags, groups and edges, and these columns, which have been read. Default: those that
   * the fingerprint covers.
   */
  digests(columns: readonly string[] = this.#core): DataDigests {
    return this.#digests.of(columns);
  }

  static {
    digestedParts = (panel) => ({ digests: panel.#digests, core: panel.#core, replaced: panel.#replaced });
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
   * Columns that have not been read may be given, or else are none of the new panel. Groups and edges that come from files are read from these again.
   *
   * @example
   * panel = await panel.append({ dates: "2024-01-02", tickers: ["AAA", "BBB"], columns: { open, high, low, close, volume } });
   * @throws AstgnnError ERR_DATA where dates are not after the panel's last (restated or out of order), a row stands twice, a column is missing or
   *   unknown, a value infinite, or more than `maxDropped` is lost; ERR_OPTION
   */
  async append(rows: NewRows, options: AppendOptions = {}): Promise<Panel> {
    const given = Object.keys(rows?.columns ?? {}).filter((column) => this.#later?.names.includes(column) === true);
    await this.read(given);
    const panel = new Panel(await appendRows(this, digestedParts(this), rows, options));
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
    const dataset = await buildDataset(this, options);
    offerLegacyFingerprint(dataset, () => legacyFingerprint(this, this.#replaced));
    return dataset;
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
  refuseTwoGroups(resolved);
  using _ = keepFew(resolved.scratch);
  await using database = Database.open(resolved.signal);
  // Awaited: the database closes where this function ends.
  return await panelOf(database, await readSource(database, source, resolved), resolved as CheckOptions, originOf(source, resolved as PanelOptions));
}

function refuseTwoGroups({ groupColumn, groups }: { readonly groupColumn?: unknown; readonly groups?: unknown }): void {
  if (groupColumn === undefined || groups === undefined) return;
  throw new AstgnnError("ERR_OPTION", "Groups come either from a column (groupColumn) or from a file (groups), not both.", { option: "groups", next: "Leave one out." });
}

/** Checks what was read and makes a panel of it. */
async function panelOf(database: Database, { name, dense, notes, later }: ReadSource, options: CheckOptions, origin: PanelOrigin): Promise<Panel> {
  const ledger = new LedgerBuilder();
  for (const { reason, count, unit, text, warning } of notes) {
    ledger.add("source", reason, count, unit, text);
    if (count > 0 && warning !== undefined) warn({ reason, text: `${count} ${warning}` }, options.onWarning);
  }
  return new Panel({ ...(await checkTable(database, dense, name, options, ledger)), origin, later });
}
