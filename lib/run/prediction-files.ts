import { rm } from "node:fs/promises";
import { DOUBLE, DuckDBDataChunk, DuckDBInstance, FLOAT, INTEGER, UTINYINT, VARCHAR, type DuckDBAppender, type DuckDBConnection, type DuckDBType } from "@duckdb/node-api";
import { dayCount } from "../data/calendar.js";
import { literal } from "../data/source/sql.js";
import type { Dataset, Split } from "../data/types.js";
import { moveIntoPlace, partialPath, writing } from "../model/atomic-write.js";
import type { DateSelection } from "../model/predict.js";
import { breathe } from "./breathe.js";
import type { PackedScores } from "./scoring.js";

/** Target files and layout of the scores. */
export interface PredictionFilesOptions {
  dataset: Dataset;
  /** File of the predictions, .parquet or .csv. */
  predictions: string;
  /** Whether it has the columns split and label[_h] too. Default true. */
  labelled?: boolean | undefined;
  /** File of M, .parquet. */
  factors?: string | undefined;
  /** P */
  numPredictions: number;
  /** K, where there are factors. */
  numRiskFactors?: number | undefined;
  /** Number type of the scores. */
  dtype: "float32" | "float64";
}

/** Rows per data chunk (DuckDB takes up to 2048): so few that filling one does not hold up the event loop. */
const CHUNK_ROWS = 256;
const FLUSH_ROWS = 2048;
/**
 * What DuckDB may hold, in MB: rows beyond it wait in a folder beside the files (1.6 GB for M of 12.5 million rows). Of each column it keeps
 * the block in hand twice, 256 KB each.
 */
const memoryLimit = (columns: number): number => 256 + columns;
/** Bytes of a row group, of which each of DuckDB's threads holds one or two while it writes. */
const ROW_GROUP_BYTES = 2 ** 24;
const WRITING_THREADS = 2;
const SPLITS = ["train", "valid", "test", "unlabelled"] as const;

/**
 * The one writer of predictions: (date, ticker, split, prediction[_p], label[_h]), and of factors: (date, ticker, f0 ...). Dates come in the
 * order in which they are appended, the rows of a date by ticker. Missing labels are null. Both files appear whole or not at all.
 */
export class PredictionFiles {
  readonly #options: PredictionFilesOptions;
  readonly #instance: DuckDBInstance;
  readonly #connection: DuckDBConnection;
  readonly #scores: Staging;
  readonly #factors: Staging | undefined;
  /** Rank of each ticker among the tickers; undefined where they are in order, as those of a panel are. */
  readonly #ranks: Int32Array | undefined;
  #rows = 0;

  private constructor(options: PredictionFilesOptions, instance: DuckDBInstance, connection: DuckDBConnection, scores: Staging, factors: Staging | undefined) {
    this.#options = options;
    this.#instance = instance;
    this.#connection = connection;
    this.#scores = scores;
    this.#factors = factors;
    this.#ranks = ranksOf(options.dataset.tickers);
  }

  static async create(options: PredictionFilesOptions): Promise<PredictionFiles> {
    const { dataset, labelled = true, numPredictions, numRiskFactors = 0, dtype } = options;
    const waiting = waitingRows(options.predictions);
    await rm(waiting, { recursive: true, force: true });
    const number = dtype === "float64" ? DOUBLE : FLOAT;
    const scores = [
      ...numbered("prediction", numPredictions).map((name): Column => ({ name, type: number })),
      ...(labelled ? numbered("label", dataset.horizons.length).map((name): Column => ({ name, type: FLOAT })) : []),
    ];
    const factors = Array.from({ length: numRiskFactors }, (_, k): Column => ({ name: `f${k}`, type: number }));
    const memory = `${memoryLimit(scores.length + factors.length)}MB`;
    const instance = await DuckDBInstance.create(":memory:", { temp_directory: waiting, memory_limit: memory, threads: String(WRITING_THREADS) });
    let connection: DuckDBConnection | undefined;
    try {
      connection = await instance.connect();
      return new PredictionFiles(
        options, instance, connection, await Staging.create(connection, "scores", scores),
        options.factors === undefined ? undefined : await Staging.create(connection, "factors", factors),
      );
    } catch (error) {
      connection?.closeSync();
      instance.closeSync();
      await rm(waiting, { recursive: true, force: true });
      throw error;
    }
  }

  /** Rows appended so far. */
  get rows(): number {
    return this.#rows;
  }

  /** Adds the rows of some dates; `split` undefined leaves the column null. */
  async append({ dataset, dates }: DateSelection, scores: PackedScores, split?: Split["name"]): Promise<void> {
    const { numPredictions, numRiskFactors = 0, labelled = true } = this.#options;
    const [stocks, horizons] = [dataset.tickers.length, labelled ? dataset.horizons.length : 0];
    const splitIndex = split === undefined ? null : SPLITS.indexOf(split);
    let first = 0;
    for (const t of dates) {
      const day = dayCount(dataset.dates[t]!);
      const rowStocks = dataset.rowStocks.subarray(dataset.rowOffsets[t], dataset.rowOffsets[t + 1]);
      for (const i of this.#byTicker(rowStocks)) {
        const [row, stock] = [first + i, rowStocks[i]!];
        const key = { day, ticker: dataset.tickers[stock]!, split: splitIndex };
        this.#scores.row(key, (set) => {
          for (let p = 0; p < numPredictions; p++) set(p, scores.predictions[row * numPredictions + p]!);
          for (let h = 0; h < horizons; h++) set(numPredictions + h, dataset.labels[(t * stocks + stock) * horizons + h]!);
        });
        this.#factors?.row(key, (set) => {
          for (let k = 0; k < numRiskFactors; k++) set(k, scores.riskFactors![row * numRiskFactors + k]!);
        });
        if (row % 64 === 0) await breathe();
      }
      first += rowStocks.length;
      this.#rows += rowStocks.length;
    }
  }

  /** Positions of one date's rows, by ticker. */
  #byTicker(rowStocks: Int32Array): Iterable<number> {
    const ranks = this.#ranks;
    return ranks === undefined ? rowStocks.keys() : [...rowStocks.keys()].sort((a, b) => ranks[rowStocks[a]!]! - ranks[rowStocks[b]!]!);
  }

  /** Writes the files and frees everything. */
  async finish(): Promise<void> {
    try {
      await this.#scores.write(this.#options.predictions, this.#options.labelled ?? true);
      if (this.#factors !== undefined) await this.#factors.write(this.#options.factors!, false);
    } finally {
      await this.close();
    }
  }

  /** Frees everything; files that are not finished never appear. */
  async close(): Promise<void> {
    this.#connection.closeSync();
    this.#instance.closeSync();
    await rm(waitingRows(this.#options.predictions), { recursive: true, force: true });
  }
}

/** Folder for rows spilled from memory. The one of a killed run is removed by the next. */
const waitingRows = (predictions: string): string => `${partialPath(predictions)}.rows`;

function ranksOf(tickers: readonly string[]): Int32Array | undefined {
  if (tickers.every((ticker, n) => n === 0 || tickers[n - 1]! < ticker)) return undefined;
  const ranks = new Int32Array(tickers.length);
  for (const [rank, n] of [...tickers.keys()].sort((a, b) => (tickers[a]! < tickers[b]! ? -1 : 1)).entries()) ranks[n] = rank;
  return ranks;
}

/** `name` alone for one column, else `name_0`, `name_1`, ... */
export function numbered(name: string, count: number): string[] {
  return count === 1 ? [name] : Array.from({ length: count }, (_, i) => `${name}_${i}`);
}

interface Column {
  name: string;
  type: DuckDBType;
}

interface RowKey {
  day: number;
  ticker: string;
  split: number | null;
}

/** A DuckDB table filled chunk by chunk: a call per value and column would take minutes for M. */
class Staging {
  readonly #connection: DuckDBConnection;
  readonly #appender: DuckDBAppender;
  readonly #table: string;
  readonly #columns: readonly Column[];
  readonly #types: DuckDBType[];
  readonly #keys: RowKey[] = [];
  #unflushed = 0;
  readonly #values: Float64Array;

  private constructor(connection: DuckDBConnection, table: string, columns: readonly Column[], appender: DuckDBAppender) {
    this.#connection = connection;
    this.#table = table;
    this.#columns = columns;
    this.#appender = appender;
    this.#types = [INTEGER, VARCHAR, UTINYINT, ...columns.map(({ type }) => type)];
    this.#values = new Float64Array(CHUNK_ROWS * columns.length);
  }

  static async create(connection: DuckDBConnection, table: string, columns: readonly Column[]): Promise<Staging> {
    const definitions = columns.map(({ name, type }) => `"${name}" ${type.toString()}`).join(", ");
    await connection.run(`CREATE TABLE ${table} (day INTEGER, ticker VARCHAR, split UTINYINT, ${definitions})`);
    return new Staging(connection, table, columns, await connection.createAppender(table));
  }

  row(key: RowKey, fill: (set: (column: number, value: number) => void) => void): void {
    const at = this.#keys.push(key) - 1;
    fill((column, value) => (this.#values[column * CHUNK_ROWS + at] = value));
    if (this.#keys.length === CHUNK_ROWS) this.#flush();
  }

  async write(path: string, hasSplit: boolean): Promise<void> {
    this.#flush();
    this.#appender.closeSync();
    const names = this.#columns.map(({ name }) => `CASE WHEN isnan("${name}") THEN NULL ELSE "${name}" END AS "${name}"`).join(", ");
    const split = `CASE split ${SPLITS.map((name, i) => `WHEN ${i} THEN '${name}'`).join(" ")} END AS split`;
    const partial = partialPath(path);
    const columns = `DATE '1970-01-01' + day AS date, ticker${hasSplit ? `, ${split}` : ""}, ${names}`;
    const format = /\.csv$/i.test(path) ? "csv, HEADER" : `parquet, ROW_GROUP_SIZE ${this.#rowGroup()}`;
    await writing(path, async () => {
      await this.#connection.run(`COPY (SELECT ${columns} FROM ${this.#table}) TO ${literal(partial)} (FORMAT ${format})`);
      await moveIntoPlace(partial, path);
    });
  }

  /** Rows of a row group: DuckDB's own number, or fewer where rows are wide. */
  #rowGroup(): number {
    return Math.min(122_880, Math.max(FLUSH_ROWS, Math.floor(ROW_GROUP_BYTES / (16 + 8 * this.#columns.length) / FLUSH_ROWS) * FLUSH_ROWS));
  }

  #flush(): void {
    const rows = this.#keys.length;
    if (rows === 0) return;
    const chunk = DuckDBDataChunk.create(this.#types, rows);
    chunk.setColumnValues(0, this.#keys.map(({ day }) => day));
    chunk.setColumnValues(1, this.#keys.map(({ ticker }) => ticker));
    chunk.setColumnValues(2, this.#keys.map(({ split }) => split));
    for (const c of this.#columns.keys()) {
      const vector = chunk.getColumnVector(3 + c);
      for (let i = 0; i < rows; i++) vector.setItem(i, this.#values[c * CHUNK_ROWS + i]!);
      vector.flush();
    }
    this.#appender.appendDataChunk(chunk);
    // Left to itself the appender collects 200,000 rows and then works for a second; a flush per chunk costs three times as much in all.
    this.#unflushed += rows;
    if (this.#unflushed >= FLUSH_ROWS) {
      this.#appender.flushSync();
      this.#unflushed = 0;
    }
    this.#keys.length = 0;
  }
}
