/** A name as a SQL identifier. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A text as a SQL literal. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/** A path as a SQL literal for `glob` and the functions that read files: each character stands for itself, `*`, `?` and `[` too. */
export const pathLiteral = (path: string): string => literal(path.replace(/[*?[]/g, "[$&]"));

/** Arguments of `read_parquet` or `read_csv` for one file that is there: folders named key=value on its path make no columns. */
export const oneFile = (path: string): string => `${pathLiteral(path)}, hive_partitioning = false`;
