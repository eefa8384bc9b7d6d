import { AstgnnError } from "../../errors.js";
import type { LedgerEntry } from "../types.js";
import type { DenseTable } from "./long-table.js";
import type { Rename } from "./names.js";

/** What a source is asked for. */
export interface SourceRoles {
  readonly dateColumn: string;
  readonly tickerColumn: string;
  readonly columns?: readonly string[] | undefined;
  readonly rename?: Rename | undefined;
  readonly groupColumn?: string | undefined;
  readonly universeColumn?: string | undefined;
  readonly tradableColumn?: string | undefined;
  /** Folder of files for grids; undefined: memory. */
  readonly scratch?: string | undefined;
}

/** Something about a source that belongs in the ledger, and where a person should look at it in a warning. */
export interface SourceNote extends Omit<LedgerEntry, "stage"> {
  /** What follows the count in the warning. */
  readonly warning?: string;
}

/** Numeric columns of a source that have not been read. */
export interface LaterColumns {
  /** Names of all columns of the source, those that were read among them, in its order. */
  readonly order: readonly string[];
  readonly names: readonly string[];
  /** Reads columns as they are by now. */
  read(names: readonly string[], signal: AbortSignal | undefined): Promise<DenseTable>;
}

/** A source on the grid. */
export interface ReadSource {
  /** As messages name it. */
  readonly name: string;
  readonly dense: DenseTable;
  /** Undefined where every column was read. */
  readonly later?: LaterColumns | undefined;
  readonly notes: readonly SourceNote[];
}

/** Columns that are no numbers to read. */
export function keyColumns({ dateColumn, tickerColumn, groupColumn, universeColumn, tradableColumn }: SourceRoles): string[] {
  return [dateColumn, tickerColumn, groupColumn, universeColumn, tradableColumn].filter((name) => name !== undefined);
}

/** The error about a source without numbers. */
export function noNumbers(name: string, keys: readonly string[]): AstgnnError {
  return new AstgnnError("ERR_DATA", `${name} has no numeric column besides ${keys.join(", ")}.`, { file: name, next: "Add prices or exposures as numeric columns." });
}

/** Columns that were not read. */
export function skippedNote(skipped: readonly string[]): SourceNote {
  return { reason: "skipped_columns", count: skipped.length, unit: "values", text: `columns are not numeric and were not read: ${skipped.join(", ")}` };
}

/** Dates that were written with a time zone. */
export function movedNote(count: number, column: string): SourceNote {
  const text = `of column ${column} are written with a time zone and fall on another day in UTC, which is the one that counts`;
  return { reason: "dates_in_utc", count, unit: "dates", text: `times ${text}`, warning: `${count === 1 ? "time" : "times"} ${text}. Write days as YYYY-MM-DD where the local day is meant.` };
}

/** A time of 15:00 in UTC may be the close of that day or midnight of the next one in Tokyo: only a person can tell. */
export function lateNote(count: number, column: string): SourceNote {
  const text = `of column ${column} are 10:00 or later in UTC, whose day counts; east of UTC it may be the next day by then (midnight in Tokyo is 15:00 of the day before)`;
  return { reason: "late_times", count, unit: "rows", text: `times ${text}`, warning: `${count === 1 ? "time" : "times"} ${text}. Store days as DATE where the local day is meant.` };
}
