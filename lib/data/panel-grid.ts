import type { Replaced } from "../binding/table-types.js";
import type { PanelDigests } from "./digests.js";
import type { Groups } from "./groups.js";
import type { PanelOrigin } from "./origin.js";
import type { PriceBreak } from "./price-breaks.js";
import type { DenseTable } from "./source/long-table.js";
import type { LaterColumns } from "./source/roles.js";
import type { DataDigests, Edges, Ledger } from "./types.js";

/** A panel as datasets read it; cells of its grid are t * stocks + n. */
export interface PanelGrid {
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
  /** Number of price breaks up to the date, undefined where they are not told apart: [dates * stocks]. Prices of unequal numbers are not compared. */
  readonly segments: Int32Array | undefined;
  readonly extremeReturns: "warn" | "error" | "missing";
  readonly ledger: Ledger;
  /** The source as messages name it. */
  readonly source: string;
  readonly origin: PanelOrigin;
  /** Folder of the files that its grids lie in; undefined: in memory. */
  readonly scratch?: string | undefined;
  /** Whether the panel has the column. */
  has(column: string): boolean;
  /** Reads columns that were not needed when the panel was opened. */
  read(columns: readonly string[], options?: { readonly signal?: AbortSignal | undefined }): Promise<void>;
  /** Whether the values of the column are in memory. */
  isRead(column: string): boolean;
  /** A column as [dates * stocks], NaN where missing; not a copy. It has been read. */
  values(column: string): Float32Array | Float64Array;
  /** Digests of what all panels have and of these columns, which have been read. */
  digests(columns: readonly string[]): DataDigests;
}

/** The parts of a panel; cells of the dense grid are t * stocks + n. */
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
  readonly scratch?: string | undefined;
  readonly ledger: Ledger;
  readonly digests: PanelDigests;
  /** Columns that the fingerprint covers: those that were read at once. */
  readonly core: readonly string[];
  /** Columns that are read when they are needed. */
  readonly later: LaterColumns | undefined;
  /** What cleaning replaced, by column; undefined where it is not known of all dates. */
  readonly replaced: ReadonlyMap<string, Replaced> | undefined;
}
