import { AstgnnError } from "../../errors.js";
import type { FaultyRow, RowFaults } from "./long-table.js";

/** Where a row lies, as far as it is known. */
export interface Place {
  readonly file: string;
  readonly row?: number;
}

const inRow = ({ row }: Place): string => (row === undefined ? "" : ` in row ${row}`);

/**
 * Refuses a table whose rows cannot be laid out.
 *
 * @param name the table as messages name it
 * @param keys names of the date and ticker columns
 * @param placeOf where the first row of a date and ticker lies
 * @throws AstgnnError ERR_DATA on a duplicated (date, ticker) or an infinite value
 */
export async function refuseFaults(name: string, { duplicates, firstDuplicate, infinite }: RowFaults, keys: string, placeOf: (row: FaultyRow) => Promise<Place>): Promise<void> {
  if (firstDuplicate !== undefined) {
    const { date, ticker } = firstDuplicate;
    const place = await placeOf(firstDuplicate);
    throw new AstgnnError("ERR_DATA", `${name} has ${duplicates} duplicated (${keys}) ${duplicates === 1 ? "row" : "rows"}; the first pair is (${date}, ${ticker}), first seen${inRow(place)} of ${place.file}.`, {
      ...place,
      date,
      next: "Keep one row per date and ticker.",
    });
  }
  for (const bad of infinite) {
    const place = await placeOf(bad);
    throw new AstgnnError("ERR_DATA", `Column ${bad.column} of ${place.file} is infinite${inRow(place)} (${bad.date}, ${bad.ticker}).`, {
      ...place,
      column: bad.column,
      date: bad.date,
      next: "Correct it, or leave it empty where the value is missing.",
    });
  }
}
