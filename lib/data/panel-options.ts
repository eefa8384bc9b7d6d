import { z } from "zod";
import type { Warning } from "../warn.js";
import type { EdgesSource, GroupsSource } from "./relation-sources.js";

const text = (what: string) => z.string().min(1).describe(what);

/** Checks and completes {@link PanelOptions}. */
export const PanelOptionsSchema = z.strictObject({
  dateColumn: text("a column name").default("date"),
  tickerColumn: text("a column name").default("ticker"),
  rename: z.record(text("a column name"), text("a column name")).optional().describe("{ name: name in the source }"),
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
  scratch: text("a folder").optional(),
  onWarning: z.custom<(warning: Warning) => void>((value) => typeof value === "function").optional().describe("a function"),
  signal: z.instanceof(AbortSignal).optional().describe("an AbortSignal"),
});

/** Checks and completes {@link PanelDataOptions}. */
export const PanelDataOptionsSchema = PanelOptionsSchema.omit({ dateColumn: true, tickerColumn: true, scratch: true });

/** What `openPanel` may be told. */
export interface PanelOptions {
  /** Column of dates: DATE, TIMESTAMP, text YYYY-MM-DD or yyyymmdd, whole number yyyymmdd. A time of day is dropped, one with a zone in UTC. Default "date". */
  readonly dateColumn?: string | undefined;
  /** Column of tickers, read as text. Default "ticker". */
  readonly tickerColumn?: string | undefined;
  /**
   * Columns by other names than the source's: `{ close: "Adj Close" }` reads the column Adj Close as close, in place of a column close that there may be.
   * Names match whatever their case where that is unambiguous, so that Close needs no renaming.
   */
  readonly rename?: Readonly<Record<string, string>> | undefined;
  /** Numeric columns to read. Default: all that are numeric. */
  readonly columns?: readonly string[] | undefined;
  /** Column that names each row's group, e.g. an industry; empty and `n/a` are groups of one. */
  readonly groupColumn?: string | undefined;
  /** Yes/no column: where it is no on the entry date, there is no label. Default: always tradable. */
  readonly tradableColumn?: string | undefined;
  /**
   * Yes/no column: whether the stock counts on that date. Default: it has a close that date, or without a close column a row. Rows of the table on which it does
   * not count are known data all the same: its features are computed on them, and its windows may reach back before it joined.
   */
  readonly universeColumn?: string | undefined;
  /** Groups from a file of their own. */
  readonly groups?: GroupsSource | undefined;
  /** Edges from a file. */
  readonly edges?: EdgesSource | undefined;
  /** Largest share of source rows without a usable close, of a price's values that are impossible, of rows that the groups file has no line for, or of edges of unknown stocks, before reading is refused, 0 to 1. Default .05. */
  readonly maxDropped?: number | undefined;
  /**
   * What becomes of returns below -25 % or above +33 % that look like a split which the prices were not adjusted for (`panel.priceBreaks`):
   * `"warn"` lists them in the ledger and keeps them (default), `"error"` refuses, `"missing"` makes every label and price feature that spans one missing.
   */
  readonly extremeReturns?: "warn" | "error" | "missing" | undefined;
  /**
   * Folder for files that the panel's grids lie in, so that a source may be larger than memory: as large as the columns that are read, dates x tickers, without
   * a name and gone with the panel. Default: none, they are in memory.
   */
  readonly scratch?: string | undefined;
  /** Told what looks wrong in the data. Default: Node prints it (`process.emitWarning`), each text once. */
  readonly onWarning?: ((warning: Warning) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What `Panel.from` may be told: what `openPanel` may, without the names of the keys: its table is in memory. */
export type PanelDataOptions = Omit<PanelOptions, "dateColumn" | "tickerColumn" | "scratch">;
