import type { Database } from "./database.js";
import { literal, quoted } from "./sql.js";

/** Where a row of a source lies. */
export interface Located {
  readonly file: string;
  /** Row of that file from 1, the header not counted. */
  readonly row: number;
  readonly values: readonly unknown[];
}

/** Columns of a numbered relation: the file of a row and its number from 1, in that file or counted over all files. */
const FILE = "__file";
const ROW = "__row";

/** What a {@link SourceTable} is made of. */
export interface TableParts {
  /** For messages: the path as written, or the query. */
  readonly name: string;
  /** SQL to select from: it reads the source anew, in the order of its rows. */
  readonly relation: string;
  readonly columns: ReadonlyMap<string, string>;
  /** Whether a scan reads no more of the source than the columns that it names: then keys can be read first. */
  readonly isColumnar?: boolean;
  /**
   * The same with the file of each row and, where the source knows it, the row's number in that file: SQL for both in terms of `relation`.
   * Asked for where an error has to name a row.
   */
  readonly places: () => Promise<{ readonly relation: string; readonly file: string; readonly row?: string }>;
}

/** A table as SQL, its columns with their types, and how to find the row that meets a condition. */
export class SourceTable {
  readonly name: string;
  readonly relation: string;
  readonly columns: ReadonlyMap<string, string>;
  readonly isColumnar: boolean;
  /** Where `relation` can be read. */
  readonly database: Database;
  readonly #parts: TableParts;
  readonly #projection: string;

  constructor(database: Database, parts: TableParts, projection = "*") {
    this.database = database;
    this.#parts = parts;
    this.#projection = projection;
    this.name = parts.name;
    this.columns = parts.columns;
    this.isColumnar = parts.isColumnar === true;
    this.relation = projection === "*" ? parts.relation : `(SELECT ${projection} FROM ${parts.relation})`;
  }

  /** The table with the columns of `sources` by new names: new name -> name in the source. A column whose name another one takes is gone. */
  renamed(sources: ReadonlyMap<string, string>): SourceTable {
    if (sources.size === 0) return this;
    const names = renameEntries(new Map([...this.columns.keys()].map((name) => [name, name])), sources);
    const columns = new Map([...names].map(([name, source]) => [name, this.columns.get(source)!]));
    const projection = [...names].map(([name, source]) => `${quoted(source)} AS ${quoted(name)}`).join(", ");
    return new SourceTable(this.database, { ...this.#parts, columns }, projection);
  }

  /** The first row `s` that meets `condition`, with the values of `expressions`; undefined where a query gives other rows when it is asked again. */
  async locate(condition: string, expressions: readonly string[]): Promise<Located | undefined> {
    const { relation, file, row } = await this.#parts.places();
    const numbered = `(SELECT ${this.#projection}, ${file} AS ${quoted(FILE)}, ${row ?? "row_number() OVER ()"} AS ${quoted(ROW)} FROM ${relation})`;
    const values = expressions.map((expression) => `CAST(${expression} AS VARCHAR)`).join(", ");
    const order = row === undefined ? "2" : "1, 2";
    const found = (await this.database.rows(`SELECT s.${quoted(FILE)}, s.${quoted(ROW)}, ${values} FROM ${numbered} s WHERE ${condition} ORDER BY ${order} LIMIT 1`, this.name))[0];
    if (found === undefined) return undefined;
    const located = { file: String(found[0]), row: Number(found[1]), values: found.slice(2) };
    if (row !== undefined) return located;
    const first = await this.database.rows(`SELECT min(${quoted(ROW)}) FROM ${numbered} WHERE ${quoted(FILE)} = ${literal(located.file)}`, this.name);
    return { ...located, row: located.row - Number(first[0]![0]) + 1 };
  }
}

/** Names and types of the columns of a relation. */
export async function describe(database: Database, relation: string, name: string): Promise<Map<string, string>> {
  const rows = await database.rows(`DESCRIBE SELECT * FROM ${relation}`, name);
  return new Map(rows.map((row) => [String(row[0]), String(row[1])]));
}

/** " in row 7", or nothing where the row is not known. */
export function placeOf(located: Located | undefined): string {
  return located === undefined ? "" : ` in row ${located.row}`;
}

/** Columns by name with those of `sources` under new names; one whose name another takes is gone. */
export function renameEntries<V>(columns: ReadonlyMap<string, V>, sources: ReadonlyMap<string, string>): Map<string, V> {
  const taken = new Set([...sources.keys(), ...sources.values()].map((name) => name.toLowerCase()));
  return new Map([...[...columns].filter(([name]) => !taken.has(name.toLowerCase())), ...[...sources].map(([name, source]) => [name, columns.get(source)!] as const)]);
}
