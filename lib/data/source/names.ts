import { AstgnnError, nearest } from "../../errors.js";
import type { SourceTable } from "./table.js";

/** What columns are called: the panel's name -> the source's. */
export type Rename = Readonly<Record<string, string>>;

/** The table with its columns under the names that the panel knows them by, see {@link sourceNames}. */
export function nameColumns(table: SourceTable, rename: Rename, known: readonly string[]): SourceTable {
  return table.renamed(sourceNames([...table.columns.keys()], rename, known, table.name));
}

/**
 * The names that change, the panel's -> the source's: those of `rename`, and `known` names that the source writes in other cases ("Close" for "close").
 *
 * @param columns names of the source's columns
 * @param file the source as messages name it
 * @throws AstgnnError ERR_DATA where the source lacks a column that `rename` names
 */
export function sourceNames(columns: readonly string[], rename: Rename, known: readonly string[], file: string): Map<string, string> {
  const sources = new Map<string, string>();
  for (const [name, written] of Object.entries(rename)) {
    const source = findColumn(columns, written);
    if (source === undefined) {
      const near = nearest(written, columns);
      throw new AstgnnError("ERR_DATA", `${file} has no column ${written} (rename.${name}); its columns are ${columns.join(", ")}.`, {
        file,
        column: written,
        option: `rename.${name}`,
        next: near === undefined ? `Name a column of the source in rename.${name}.` : `Did you mean ${near}?`,
      });
    }
    sources.set(name, source);
  }
  for (const name of known) {
    if (sources.has(name) || columns.includes(name)) continue;
    const source = findColumn(columns, name);
    if (source !== undefined && ![...sources.values()].includes(source)) sources.set(name, source);
  }
  return sources;
}

/** The column of that name, or the only one that differs from it in upper and lower case alone. */
function findColumn(columns: readonly string[], name: string): string | undefined {
  if (columns.includes(name)) return name;
  const alike = columns.filter((column) => column.toLowerCase() === name.toLowerCase());
  return alike.length === 1 ? alike[0] : undefined;
}

/** The type of a column that must be there. */
export function requireColumn<V>(table: { readonly name: string; readonly columns: ReadonlyMap<string, V> }, column: string, option: string): V {
  const type = table.columns.get(column);
  if (type !== undefined) return type;
  const known = [...table.columns.keys()];
  const near = nearest(column, known);
  throw new AstgnnError("ERR_DATA", `${table.name} has no column ${column} (${option}); its columns are ${known.join(", ")}.`, {
    file: table.name,
    column,
    option,
    next: near === undefined ? `Name the column in ${option}.` : `Did you mean ${near}? Name it in ${option}.`,
  });
}
