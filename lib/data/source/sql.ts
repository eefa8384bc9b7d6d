/** A name as a SQL identifier. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** A text as a SQL literal. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/**
 * Arguments of `read_parquet` or `read_csv` for one file that is there. DuckDB takes its path as it is, whatever characters it has, and would make
 * columns of folders named key=value.
 */
export const oneFile = (path: string): string => `${literal(path)}, hive_partitioning = false`;

/** The same for several files that have the same columns. */
export const severalFiles = (paths: readonly string[]): string => `[${paths.map(literal).join(", ")}], hive_partitioning = false`;
