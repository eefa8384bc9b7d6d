import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setImmediate as yieldToEventLoop } from "node:timers/promises";
import { DuckDBInstance, type DuckDBConnection, type DuckDBDataChunk, type DuckDBResult } from "@duckdb/node-api";
import { loadTables } from "../../binding/load.js";
import type { NativeTable } from "../../binding/table-types.js";
import { AstgnnError } from "../../errors.js";
import { chunkMemory } from "./vectors.js";

/** How messages name a `{ sql }` source. */
export const QUERY = "the query";

/** Rows that a thread reads in one go: an abort waits for as many. */
const AT_ONCE = 1 << 16;

/**
 * Paths and queries may come from a run's files, which are data: none of them makes DuckDB fetch or load an extension, which would be native code, or go
 * to the network, which takes one. A connection of the caller's may have any.
 */
const CLOSED = { autoinstall_known_extensions: "false", autoload_known_extensions: "false", allow_community_extensions: "false" } as const;

/** An in-memory DuckDB that lives as long as one `openPanel` and speaks in AstgnnErrors. It starts with the first statement: what needs none costs none. */
export class Database implements AsyncDisposable {
  readonly #signal: AbortSignal | undefined;
  readonly #spill: string;
  readonly #isLent: boolean;
  #instance: DuckDBInstance | undefined;
  #connection: Promise<DuckDBConnection> | undefined;
  #interrupt: (() => void) | undefined;
  #borrowed: Database | undefined;
  readonly #reasons: (() => Promise<AstgnnError | undefined>)[] = [];

  private constructor(spill: string, signal: AbortSignal | undefined, lent?: DuckDBConnection) {
    this.#spill = spill;
    this.#signal = signal;
    this.#isLent = lent !== undefined;
    if (lent !== undefined) this.#connection = Promise.resolve(this.#listening(lent));
  }

  static open(signal?: AbortSignal): Database {
    refuseAborted(signal);
    // A query that sorts more than fits into memory spills. By default that would leave a .tmp folder in the user's working directory; this one DuckDB
    // makes when it needs it and removes at the end.
    return new Database(join(tmpdir(), `astgnn-spill-${randomUUID()}`), signal);
  }

  /** The same on a connection of the caller's, which stays open when this database closes. */
  over(connection: DuckDBConnection): Database {
    return (this.#borrowed = new Database(this.#spill, this.#signal, connection));
  }

  async #connect(): Promise<DuckDBConnection> {
    this.#instance = await DuckDBInstance.create(":memory:", { ...CLOSED, temp_directory: this.#spill });
    const connection = this.#listening(await this.#instance.connect());
    refuseAborted(this.#signal);
    return connection;
  }

  #listening(connection: DuckDBConnection): DuckDBConnection {
    this.#interrupt = () => connection.interrupt();
    this.#signal?.addEventListener("abort", this.#interrupt);
    return connection;
  }

  /** Asks `reason` what is wrong with the data where DuckDB fails by a defect of its own, or on bytes that are no text. */
  explain(reason: () => Promise<AstgnnError | undefined>): void {
    this.#reasons.push(reason);
  }

  /** How many statements a text is, without running any. */
  async statements(sql: string, file: string): Promise<number> {
    return (await this.#ask(file, (connection) => connection.extractStatements(sql))).count;
  }

  /** Runs a statement whose rows do not matter. */
  async run(sql: string, file: string): Promise<void> {
    await this.#ask(file, (connection) => connection.run(sql));
  }

  /** All rows of a small result. */
  async rows(sql: string, file: string): Promise<unknown[][]> {
    const reader = await this.#ask(file, (connection) => connection.runAndReadAll(sql));
    return reader.getRowsJS();
  }

  /** A whole result, to be read chunk by chunk with {@link fetch}: of one that is streamed DuckDB's JavaScript does not tell that it failed half-way. */
  async result(sql: string, file: string): Promise<DuckDBResult> {
    return this.#ask(file, (connection) => connection.run(sql));
  }

  /** The next chunk, or null at the end. */
  async fetch(result: DuckDBResult, file: string): Promise<DuckDBDataChunk | null> {
    const chunk = await this.#guard(file, () => result.fetchChunk());
    return chunk === null || chunk.rowCount === 0 ? null : chunk;
  }

  /**
   * Appends all rows of a query to `table`.
   *
   * @param threads how many of DuckDB's take part, undefined for all. Chunks are handed over in order: in a plain scan threads wait for one another, which
   * costs a quarter of the processor time.
   */
  async scan(sql: string, table: NativeTable, file: string, threads?: number): Promise<void> {
    return this.#isLent ? this.#scanHere(sql, table, file) : this.#scanAway(sql, table, file, threads);
  }

  /** On a database of its own and off the event loop: DuckDB's JavaScript takes as long for the chunks as DuckDB does for the rows. */
  async #scanAway(sql: string, table: NativeTable, file: string, threads: number | undefined): Promise<void> {
    const tables = loadTables();
    refuseAborted(this.#signal);
    // What is read once need not be kept.
    tables.startScan(table, duckdbLibrary(), sql, [...Object.entries(CLOSED).flat(), "temp_directory", this.#spill, "enable_external_file_cache", "false", ...(threads === undefined ? [] : ["threads", String(threads)])]);
    const interrupt = (): void => tables.interruptScan(table);
    this.#signal?.addEventListener("abort", interrupt);
    try {
      while (await this.#guard(file, () => tables.readScan(table, AT_ONCE)));
    } finally {
      this.#signal?.removeEventListener("abort", interrupt);
      await tables.closeScan(table);
    }
  }

  /** On the caller's connection. */
  async #scanHere(sql: string, table: NativeTable, file: string): Promise<void> {
    const tables = loadTables();
    const result = await this.result(sql, file);
    for (let chunk = await this.fetch(result, file); chunk !== null; chunk = await this.fetch(result, file)) tables.appendChunk(table, chunk.rowCount, chunkMemory(chunk, result));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#borrowed?.[Symbol.asyncDispose]();
    // What failed to open has said so.
    const connection = await this.#connection?.catch(() => undefined);
    if (this.#interrupt !== undefined) this.#signal?.removeEventListener("abort", this.#interrupt);
    if (this.#instance === undefined) return;
    // Closing takes milliseconds: not in the turn of what came before.
    await yieldToEventLoop();
    connection?.closeSync();
    this.#instance.closeSync();
  }

  async #ask<V>(file: string, work: (connection: DuckDBConnection) => Promise<V>): Promise<V> {
    return this.#guard(file, async () => work(await (this.#connection ??= this.#connect())));
  }

  async #guard<V>(file: string, work: () => Promise<V>): Promise<V> {
    refuseAborted(this.#signal);
    try {
      return await work();
    } catch (cause) {
      refuseAborted(this.#signal, cause);
      if (/^INTERNAL Error|not utf-8 encoded/.test((cause as Error).message)) {
        for (const reason of this.#reasons) {
          const found = await reason().catch(() => undefined);
          if (found !== undefined) throw found;
        }
      }
      throw readingError(cause, file, this.#spill);
    }
  }
}

/** The file that brought DuckDB into the process. */
function duckdbLibrary(): string {
  const bindings = createRequire(import.meta.url).resolve("@duckdb/node-bindings");
  const require = createRequire(bindings);
  const found = Object.keys(require.cache).find((file) => /[\\/]duckdb\.node$/.test(file) && dirname(dirname(file)) === dirname(dirname(bindings)));
  return found ?? require.resolve(`@duckdb/node-bindings-${process.platform}-${process.arch}/duckdb.node`);
}

function refuseAborted(signal: AbortSignal | undefined, cause?: unknown): void {
  if (signal?.aborted !== true) return;
  throw new AstgnnError("ERR_ABORTED", "Reading was stopped by its signal.", { cause: cause ?? signal.reason });
}

function readingError(cause: unknown, file: string, spill: string): AstgnnError {
  // DuckDB says first that a query failed while its rows were drawn, then why.
  const full = (cause instanceof Error ? cause.message : String(cause)).replace(/^Invalid Input Error: Attempting to execute an unsuccessful or closed pending query result\s*Error: |^Failed to extract statements: /, "");
  // A defect of its own it tells with its stack.
  const lines = full.split(/\n*Stack Trace:/)[0]!.split("\n").filter((line) => line.trim() !== "" && !/^(LINE \d+:|\s*\^|Possible (fixes|solutions):)/.test(line));
  const message = lines.slice(0, 3).join(" ").slice(0, 300).replace(/[.\s]*$/, ".");
  if (/No files found/.test(full)) {
    return new AstgnnError("ERR_DATA", `No file matches ${file}.`, { file, cause, next: "Check the path." });
  }
  if (full.includes(spill) || full.includes("max_temp_directory_size")) {
    return new AstgnnError("ERR_OUT_OF_MEMORY", `Reading ${file} needs more than the memory, and it cannot go on in ${dirname(spill)}: ${message}`, {
      file,
      cause,
      next: "Read fewer columns or a shorter date range, or set TMPDIR to a folder with more space.",
    });
  }
  if (/^(Out of Memory|std::bad_alloc)/i.test(full)) {
    return new AstgnnError("ERR_OUT_OF_MEMORY", `Out of memory while reading ${file}: ${message}`, { file, cause, next: "Read fewer columns or a shorter date range." });
  }
  if (/^Missing Extension Error/.test(full)) {
    const next = "Copy the data to this machine, or read them over a DuckDB connection of your own that has loaded the extension: { sql, connection }.";
    return new AstgnnError("ERR_DATA", `Cannot read ${file}: it needs ${/requires the extension (\w+)/.exec(full)?.[1] ?? "an extension"} of DuckDB, and none is loaded for a path or a query.`, { file, cause, next });
  }
  const next = /No magic bytes|too small to be a Parquet/i.test(full)
    ? "The file is no complete Parquet file: write it again or name its real format by its ending."
    : file !== QUERY
      ? "Check that the file is complete and in the format its ending says."
      : /^Conversion Error: CSV Error/.test(full)
        ? "Name the file itself in place of the query, or read it with read_csv('...', sample_size = -1)."
        : "Correct the query.";
  return new AstgnnError("ERR_DATA", `Cannot read ${file}: ${message}`, { file, cause, next });
}
