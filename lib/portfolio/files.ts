import { readFile } from "node:fs/promises";
import { AstgnnError } from "../errors.js";
import type { CovarianceMatrix } from "./covariance.js";

/** A file in place of numbers. */
export interface NumbersFile {
  readonly file: string;
}

/** Numbers by ticker. */
export type ByTicker = Readonly<Record<string, number>>;

/** The text of a file; `option` is what it was named for. */
export async function textOf(file: string, option: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw new AstgnnError("ERR_DATA", missing ? `There is no file ${file}, which ${option} names.` : `The file ${file} of ${option} cannot be read: ${(cause as Error).message}.`, { file, option, cause, ...(missing ? { next: "Check the path." } : {}) });
  }
}

/**
 * A covariance as CSV: a header of tickers, then the rows of the matrix in the same order. Rows may begin with their ticker, under an empty header.
 *
 * @throws AstgnnError ERR_DATA naming file, row and column of what is no number, or a row of another length
 */
export async function readCovariance(file: string): Promise<CovarianceMatrix> {
  const rows = cells(await textOf(file, "covariance"));
  const header = rows[0] ?? [];
  const isNamed = header[0] === "" || header[0]?.toLowerCase() === "ticker";
  const tickers = isNamed ? header.slice(1) : header;
  const n = tickers.length;
  const where = { file, option: "covariance" };
  if (n === 0 || tickers.some((ticker) => ticker === "")) throw new AstgnnError("ERR_DATA", `The header of ${file} must name a ticker in every column.`, { ...where, row: 1 });
  if (tickers.every((ticker) => Number.isFinite(Number(ticker)))) throw new AstgnnError("ERR_DATA", `The first line of ${file} holds numbers, not tickers.`, { ...where, row: 1, next: "Put a line of tickers above the matrix." });
  if (rows.length !== n + 1) throw new AstgnnError("ERR_DATA", `The matrix in ${file} has ${n} columns and ${rows.length - 1} rows.`, where);
  const values = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    const row = rows[i + 1]!;
    if (isNamed && row[0] !== tickers[i]) throw new AstgnnError("ERR_DATA", `Row ${i + 2} of ${file} is of ${row[0]}, column ${i + 1} of ${tickers[i]}: rows and columns must have one order.`, { ...where, row: i + 2 });
    const entries = isNamed ? row.slice(1) : row;
    if (entries.length !== n) throw new AstgnnError("ERR_DATA", `Row ${i + 2} of ${file} has ${entries.length} numbers; there are ${n} tickers.`, { ...where, row: i + 2 });
    for (let j = 0; j < n; j++) values[i * n + j] = numberIn(entries[j]!, file, "covariance", i + 2, tickers[j]!);
  }
  return { tickers, values };
}

/**
 * Numbers by ticker: a CSV file of two columns, the ticker first, or a .json file { "TICKER": number }.
 *
 * @throws AstgnnError ERR_DATA naming file and row of what is no number, or a ticker that is there twice
 */
export async function readByTicker(file: string, option: string): Promise<ByTicker> {
  const text = await textOf(file, option);
  if (file.endsWith(".json")) {
    const value = parsedJson(text, file, option);
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new AstgnnError("ERR_DATA", `Expected an object of numbers by ticker in ${file}.`, { file, option });
    for (const [ticker, number] of Object.entries(value)) if (typeof number !== "number") throw new AstgnnError("ERR_DATA", `The value of ${ticker} in ${file} is no number: ${JSON.stringify(number)}.`, { file, option });
    return value as ByTicker;
  }
  const [header = [], ...rows] = cells(text);
  if (header.length !== 2) throw new AstgnnError("ERR_DATA", `Expected two columns in ${file}, a ticker and a number, but the header has ${header.length}.`, { file, option, row: 1, next: "Write a header such as ticker,weight and a line per ticker." });
  const values = new Map<string, number>();
  rows.forEach(([ticker = "", text = ""], i) => {
    if (values.has(ticker)) throw new AstgnnError("ERR_DATA", `${file} has ${ticker} twice.`, { file, option, row: i + 2, next: "Keep one line of it." });
    values.set(ticker, numberIn(text, file, option, i + 2, header[1]!));
  });
  return Object.fromEntries(values);
}

/** @throws AstgnnError ERR_DATA where the text is not JSON */
export function parsedJson(text: string, file: string, option: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new AstgnnError("ERR_DATA", `${file} is not valid JSON: ${(cause as Error).message}.`, { file, option, cause });
  }
}

/** Lines that are not empty, cut at commas, semicolons or tabs; quotes around a cell go. */
function cells(text: string): string[][] {
  const lines = text.replace(/^﻿/, "").split(/\r?\n/).filter((line) => line.trim() !== "");
  const separator = /[,;\t]/.exec(lines[0] ?? "")?.[0] ?? ",";
  return lines.map((line) => line.split(separator).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1")));
}

function numberIn(text: string, file: string, option: string, row: number, column: string): number {
  const value = Number(text);
  if (text === "" || !Number.isFinite(value)) throw new AstgnnError("ERR_DATA", `Expected a number in row ${row}, column ${column}, of ${file} but found ${text === "" ? "nothing" : JSON.stringify(text)}.`, { file, option, row, column, next: "Leave the ticker out, or fill in the number." });
  return value;
}
