import { AstgnnError, invalidOption } from "../../errors.js";
import { groupName, type NumberArray } from "./long-table.js";

/** A column in memory: numbers with NaN or null where missing, yes/no as true/false or 1/0, names of groups with null for none. */
export type Cells = ArrayLike<number | bigint | boolean | string | null | undefined>;

/** The date and ticker of a row, for messages. */
export type Where = (row: number) => { readonly date: string; readonly ticker: string };

/** Rows `from` up to `end` of a column of numbers: a view where the column is one of floats. `option` names it in messages. */
export function readNumbers(cells: Cells, from: number, end: number, option: string, at: Where): NumberArray {
  if (cells instanceof Float64Array || cells instanceof Float32Array) return cells.subarray(from, end);
  const numbers = new Float64Array(end - from);
  for (let row = from; row < end; row++) {
    const cell = cells[row];
    if (cell === null || cell === undefined) numbers[row - from] = NaN;
    else if (typeof cell === "number" || typeof cell === "bigint") numbers[row - from] = Number(cell);
    else notA("a number", cell, option, at(row));
  }
  return numbers;
}

/** Rows `from` up to `end` of a yes/no column; missing is no. */
export function readFlags(cells: Cells, from: number, end: number, option: string, at: Where): Uint8Array {
  const flags = new Uint8Array(end - from);
  for (let row = from; row < end; row++) {
    const cell = cells[row];
    if (cell === true || cell === 1 || cell === 1n) flags[row - from] = 1;
    else if (!(cell === false || cell === 0 || cell === 0n || cell === null || cell === undefined || Number.isNaN(cell))) notA("true or false, or 1 or 0,", cell, option, at(row));
  }
  return flags;
}

/** The name of a group in row `row`, null for none. */
export function readGroup(cells: Cells, row: number, option: string, at: Where): string | null {
  const cell = cells[row];
  if (cell === null || cell === undefined) return null;
  return typeof cell === "string" ? groupName(cell) : notA("the name of a group", cell, option, at(row));
}

/** A ticker without spaces around it. */
export function readTicker(cell: unknown, option: string): string {
  const trimmed = typeof cell === "string" ? cell.replace(/^ +| +$/g, "") : "";
  return trimmed === "" ? refuse(invalidOption(option, "a ticker", cell)) : trimmed;
}

function notA(what: string, cell: unknown, option: string, { date, ticker }: { date: string; ticker: string }): never {
  throw invalidOption(option, what, cell, `It is that of ${ticker} on ${date}.`);
}

function refuse(error: AstgnnError): never {
  throw error;
}
