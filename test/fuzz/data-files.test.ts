import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { tableFromArrays, tableToIPC } from "@uwdata/flechette";
import { afterAll, beforeAll, describe, it, vi } from "vitest";
import { Database } from "../../lib/data/source/database.js";
import { openPanel, Panel, type PanelOptions } from "../../lib/index.js";
import { expectFinite, fuzz, FUZZ_TIMEOUT } from "./fuzz.js";
import type { Mutator } from "./mutate.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-fuzz-data-"));
const at = (...path: string[]): string => join(folder, ...path);
const quiet: PanelOptions = { onWarning: () => {}, maxDropped: 0.9 };

const dates = Array.from({ length: 12 }, (_, t) => new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10));
const rows = dates.flatMap((date, t) => ["A", "B", "C"].map((ticker, n) => ({ date, ticker, close: 10 + n + Math.sin(t + n), volume: 100 * (n + 1) + t, group: n === 0 ? "x" : "y" })));
const csv = `date,ticker,close,volume,group\n${rows.map(({ date, ticker, close, volume, group }) => `${date},${ticker},${close},${volume},${group}`).join("\n")}\n`;
const columnsOf = (): Record<string, (string | number)[]> => Object.fromEntries(["date", "ticker", "close", "volume"].map((name) => [name, rows.map((row) => row[name as "close"])]));
let parquet: Uint8Array;

// Starting DuckDB takes a third of an input's time: a long run has one for many, until one of them is a defect of its own, after which it answers no more.
let shared: Promise<DuckDBInstance> | undefined;
if (process.env["ASTGNN_FUZZ"] !== undefined) {
  const create = DuckDBInstance.create.bind(DuckDBInstance);
  vi.spyOn(DuckDBInstance, "create").mockImplementation((path, options) => (shared ??= create(path, { ...options, enable_external_file_cache: "false" })));
  vi.spyOn(DuckDBInstance.prototype, "closeSync").mockImplementation(() => {});
}

async function renewed(): Promise<void> {
  const connection = await (await shared)?.connect();
  const isAlive = await connection?.run("SELECT 1").then(() => true, () => false);
  connection?.closeSync();
  if (isAlive === false) shared = undefined;
}

beforeAll(async () => {
  writeFileSync(at("seed.csv"), csv);
  await using database = Database.open();
  await database.run(`COPY (SELECT * FROM '${at("seed.csv")}') TO '${at("seed.parquet")}' (FORMAT parquet)`, "seed");
  parquet = readFileSync(at("seed.parquet"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Samples of a panel hold numbers, or NaN where there is none, never infinities. */
async function look(panel: Panel): Promise<void> {
  using dataset = await panel.dataset({ features: panel.columns, window: 2, label: { horizonDays: 1, lagDays: 0 }, maxDropped: 0.9, split: { fractions: [0.5, 0.25, 0.25] } });
  for (const name of ["features", "labels", "targets"] as const) expectFinite(dataset[name], name, true);
}

async function open(source: Parameters<typeof openPanel>[0], options: PanelOptions = {}): Promise<void> {
  await look(await openPanel(source, { ...quiet, ...options }).finally(renewed));
}

/** Lines with cells that were changed, moved, left out or doubled. */
function changedTable(mutator: Mutator, text: string): Uint8Array {
  if (mutator.below(3) === 0) return mutator.bytes(new TextEncoder().encode(text));
  const cells = text.trimEnd().split("\n").map((line) => line.split(",") as unknown[]);
  const lines = [mutator.json(cells)].flat() as unknown[];
  return new TextEncoder().encode(lines.map((line) => [line].flat().map((cell) => (typeof cell === "object" ? JSON.stringify(cell) : String(cell))).join(",")).join("\n"));
}

describe("fuzz: data", { timeout: FUZZ_TIMEOUT }, () => {
  it("csv", () =>
    fuzz("csv", 40, async (mutator) => {
      writeFileSync(at("fuzzed.csv"), changedTable(mutator, csv));
      await open(at("fuzzed.csv"), mutator.below(2) === 0 ? {} : { groupColumn: "group" });
    }));

  it("parquet", () =>
    fuzz("parquet", 40, async (mutator) => {
      writeFileSync(at("fuzzed.parquet"), mutator.bytes(parquet));
      await open(at("fuzzed.parquet"));
    }));

  it("arrow", async () => {
    const bytes = tableToIPC(tableFromArrays(columnsOf()), { format: "file" })!;
    await fuzz("arrow", 80, async (mutator) => {
      writeFileSync(at("fuzzed.arrow"), mutator.bytes(bytes));
      await open(at("fuzzed.arrow"));
    });
  });

  it("group and edge files", () => {
    const groups = "ticker,group\nA,x\nB,y\nC,y\n";
    const { date, ticker, close, volume } = columnsOf();
    const table = { dates: date, tickers: ticker, columns: { close, volume } } as Parameters<typeof Panel.from>[0];
    const edges = "ticker,neighbor,from,to\nA,B,2020-01-02,2020-01-09\nB,C,,\n";
    return fuzz("group and edge files", 40, async (mutator) => {
      const isGroups = mutator.below(2) === 0;
      writeFileSync(at("links.csv"), changedTable(mutator, isGroups ? groups : edges));
      await look(await Panel.from(table, { ...quiet, ...(isGroups ? { groups: { file: at("links.csv"), column: "group" } } : { edges: { file: at("links.csv") } }) }).finally(renewed));
    });
  });

  it("qlib", async () => {
    for (const name of ["calendars", "instruments", "features/a", "features/b"]) mkdirSync(at("qlib", name), { recursive: true });
    const bin = (values: number[]): Uint8Array => new Uint8Array(Float32Array.from([0, ...values]).buffer);
    const files: Record<string, Uint8Array> = {
      "calendars/day.txt": new TextEncoder().encode(`${dates.join("\n")}\n`),
      "instruments/all.txt": new TextEncoder().encode(`A\t${dates[0]}\t${dates.at(-1)}\nB\t${dates[0]}\t${dates.at(-1)}\n`),
    };
    for (const ticker of ["a", "b"]) for (const field of ["close", "volume", "factor"]) files[`features/${ticker}/${field}.day.bin`] = bin(dates.map((_, t) => (field === "factor" ? 1 : 10 + t)));
    const write = (name: string, bytes: Uint8Array): void => writeFileSync(at("qlib", name), bytes);
    for (const [name, bytes] of Object.entries(files)) write(name, bytes);
    await fuzz("qlib", 60, async (mutator) => {
      const name = mutator.pick(Object.keys(files));
      write(name, mutator.bytes(files[name]!));
      try {
        await open({ qlib: at("qlib") });
      } finally {
        write(name, files[name]!);
      }
    });
  });

  it("tables in memory", () =>
    fuzz("tables in memory", 300, async (mutator) => {
      const { date, ticker, close, volume } = columnsOf();
      const table = mutator.json({ dates: date, tickers: ticker, columns: { close, volume } }) as Parameters<typeof Panel.from>[0];
      await look(await Panel.from(table, quiet));
    }));
});
