import { isUtf8 } from "node:buffer";
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { createGunzip } from "node:zlib";
import { AstgnnError } from "../../errors.js";
import { literal } from "./sql.js";

const LONGEST_HEADER = 1 << 20;
/** Bytes in which a header usually ends. */
const USUAL_HEADER = 1 << 13;
/** Files whose headers are read at the same time. */
const AT_ONCE = 8;

/**
 * SQL that reads CSV files, every column as text. The header decides columns and delimiter (comma, semicolon, tab or bar): DuckDB's own detection may settle
 * on one wide column or skip lines where rows have unequal lengths, and data would go unnoticed. Files with the same header are one scan, however many.
 *
 * @param isHive whether folders named key=value on the path become columns, as for files that a glob found
 * @param fileColumn name of a column for the path of each row's file, undefined for none
 * @throws AstgnnError ERR_DATA on an empty file, an incomplete gzip file or a column that is named twice
 */
export async function csvRelation(files: readonly string[], isHive: boolean, fileColumn: string | undefined): Promise<string> {
  const layouts = new Map<string, string>();
  const rest = files.values();
  const work = async (): Promise<void> => {
    for (const file of rest) layouts.set(file, await layoutOf(file));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const alike = new Map<string, string[]>();
  for (const file of files) {
    const layout = layouts.get(file)!;
    const members = alike.get(layout);
    if (members === undefined) alike.set(layout, [file]);
    else members.push(file);
  }
  const scans = [...alike].map(([layout, members]) => {
    const list = `[${members.map(literal).join(", ")}]`;
    return `SELECT * FROM read_csv(${list}, ${layout}${isHive ? "" : ", hive_partitioning = false"}${fileColumn === undefined ? "" : `, filename = ${literal(fileColumn)}`})`;
  });
  return `(${scans.join(" UNION ALL BY NAME ")})`;
}

/** What `read_csv` is told of a file. */
async function layoutOf(path: string): Promise<string> {
  const header = (/\.gz$/i.test(path) ? await gzipHeader(path) : await plainHeader(path)).replace(/^\uFEFF/, "");
  if (header.trim() === "") throw new AstgnnError("ERR_DATA", `${path} is empty.`, { file: path, next: "The first line must name the columns." });
  const delimiter = [",", ";", "\t", "|"].reduce((best, mark) => (header.split(mark).length > header.split(best).length ? mark : best));
  const names = cells(header, delimiter);
  const twice = names.find((name, i) => names.findIndex((other) => other.toLowerCase() === name.toLowerCase()) !== i);
  if (twice !== undefined) throw new AstgnnError("ERR_DATA", `${path} names column ${twice} twice.`, { file: path, column: twice, next: "Give each column its own name; upper and lower case count as one." });
  const types = names.map((name) => `${literal(name)}: 'VARCHAR'`).join(", ");
  return `auto_detect = false, header = true, delim = ${literal(delimiter)}, quote = '"', escape = '"', columns = {${types}}`;
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
    for (let size = USUAL_HEADER; ; size = LONGEST_HEADER) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, 0);
      const bytes = buffer.subarray(0, bytesRead);
      if (bytesRead < size || size === LONGEST_HEADER || /[\r\n]/.test(bytes.toString("latin1"))) return firstLine(bytes);
    }
  } finally {
    await file.close();
  }
}

/** Unpacks the whole file once: DuckDB reads a gzip file that breaks off as if it ended there. */
async function gzipHeader(path: string): Promise<string> {
  const start: Buffer[] = [];
  let size = 0;
  try {
    for await (const part of contentOf(path)) {
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

/** The error about the first line that is no UTF-8, whose text DuckDB does not read; undefined where there is none. */
export async function notUtf8(files: readonly string[]): Promise<AstgnnError | undefined> {
  for (const file of files) {
    let line = 1;
    const wrong = (): AstgnnError => new AstgnnError("ERR_DATA", `${file} is not written in UTF-8: line ${line} holds other bytes.`, { file, next: "Write it again in UTF-8, e.g. iconv -f latin1 -t utf-8." });
    let rest = Buffer.alloc(0);
    for await (const part of contentOf(file)) {
      const bytes = Buffer.concat([rest, part]);
      let begin = 0;
      for (let end; (end = bytes.indexOf(NEW_LINE, begin)) !== -1; begin = end + 1, line++) if (!isUtf8(bytes.subarray(begin, end))) return wrong();
      rest = bytes.subarray(begin);
    }
    if (!isUtf8(rest)) return wrong();
  }
  return undefined;
}

const NEW_LINE = 0x0a;

/** The bytes of a file, unpacked. */
function contentOf(path: string): AsyncIterable<Buffer> {
  const input = createReadStream(path);
  if (!/\.gz$/i.test(path)) return input as AsyncIterable<Buffer>;
  const gunzip = createGunzip();
  input.on("error", (error) => gunzip.destroy(error));
  return input.pipe(gunzip) as AsyncIterable<Buffer>;
}
