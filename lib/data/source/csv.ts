import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { createGunzip } from "node:zlib";
import { AstgnnError } from "../../errors.js";
import { literal, oneFile } from "./sql.js";

const LONGEST_HEADER = 1 << 20;

/**
 * SQL that reads one CSV file, every column as text, with its path as `__file`. The header decides columns and delimiter (comma, semicolon, tab or bar):
 * DuckDB's own detection may settle on one wide column or skip lines where rows have unequal lengths, and data would go unnoticed.
 *
 * @param isHive whether folders named key=value on the path become columns, as for a file that a glob found
 * @throws AstgnnError ERR_DATA on an empty file, an incomplete gzip file or a column that is named twice
 */
export async function csvSql(path: string, isHive: boolean): Promise<string> {
  const header = (/\.gz$/i.test(path) ? await gzipHeader(path) : await plainHeader(path)).replace(/^\uFEFF/, "");
  if (header.trim() === "") throw new AstgnnError("ERR_DATA", `${path} is empty.`, { file: path, next: "The first line must name the columns." });
  const delimiter = [",", ";", "\t", "|"].reduce((best, mark) => (header.split(mark).length > header.split(best).length ? mark : best));
  const names = cells(header, delimiter);
  const twice = names.find((name, i) => names.findIndex((other) => other.toLowerCase() === name.toLowerCase()) !== i);
  if (twice !== undefined) throw new AstgnnError("ERR_DATA", `${path} names column ${twice} twice.`, { file: path, column: twice, next: "Give each column its own name; upper and lower case count as one." });
  const types = names.map((name) => `${literal(name)}: 'VARCHAR'`).join(", ");
  return `SELECT *, ${literal(path)} AS __file FROM read_csv(${isHive ? literal(path) : oneFile(path)}, auto_detect = false, header = true, delim = ${literal(delimiter)}, quote = '"', escape = '"', columns = {${types}})`;
}

/** Cells of a header line; a name may be quoted. A nameless column, as of a written index, gets its number. */
function cells(header: string, delimiter: string): string[] {
  const names: string[] = [];
  let name = "";
  let isQuoted = false;
  for (const letter of `${header}${delimiter}`) {
    if (letter === '"') isQuoted = !isQuoted;
    else if (letter === delimiter && !isQuoted) {
      names.push(name.trim() === "" ? `column${names.length}` : name.trim());
      name = "";
    } else name += letter;
  }
  return names;
}

async function plainHeader(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(LONGEST_HEADER), 0, LONGEST_HEADER, 0);
    return firstLine(buffer.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}

/** Unpacks the whole file once: DuckDB reads a gzip file that breaks off as if it ended there. */
async function gzipHeader(path: string): Promise<string> {
  const start: Buffer[] = [];
  let size = 0;
  try {
    const gunzip = createGunzip();
    const input = createReadStream(path);
    input.on("error", (error) => gunzip.destroy(error));
    for await (const part of input.pipe(gunzip) as AsyncIterable<Buffer>) {
      if (size < LONGEST_HEADER) start.push(part);
      size += part.length;
    }
  } catch (cause) {
    throw new AstgnnError("ERR_DATA", `${path} is no complete gzip file: ${cause instanceof Error ? cause.message : String(cause)}.`, { file: path, cause, next: "Copy or write it again." });
  }
  return firstLine(Buffer.concat(start));
}

function firstLine(bytes: Buffer): string {
  return bytes.toString("utf8").split(/\r\n|\n|\r/, 1)[0]!;
}
