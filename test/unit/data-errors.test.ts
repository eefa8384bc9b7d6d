import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { AstgnnError } from "../../lib/errors.js";
import type { DatasetOptions } from "../../lib/data/dataset-options.js";
import { openPanel, type PanelOptions } from "../../lib/data/panel.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const rows = priceRows({ days: 12, stocks: 4 });
const prices = folder.write("prices.csv", csv(rows));
const days = weekdays(12);
const file = (name: string, text: string | Uint8Array): string => folder.write(name, text);
const withChange = (row: number, change: Record<string, unknown>): string => csv(rows.map((r, i) => (i === row - 1 ? { ...r, ...change } : r)));

const latin1 = Buffer.from(csv(rows.map((row, i) => ({ ...row, name: i === 2 ? "Soci\u00e9t\u00e9" : "Co" }))), "latin1");

async function failure(work: () => Promise<unknown>): Promise<AstgnnError> {
  const error = await work().then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof AstgnnError)) throw new Error(`Expected an AstgnnError, got ${String(error)}`, { cause: error });
  return error;
}

interface Case {
  name: string;
  source: () => Parameters<typeof openPanel>[0];
  options?: PanelOptions;
  code: string;
  message: RegExp;
  fields?: Partial<AstgnnError>;
}

const reading: Case[] = [
  { name: "a missing file", source: () => "nowhere.csv", code: "ERR_DATA", message: /^File nowhere\.csv does not exist\. Check the path\.$/, fields: { file: "nowhere.csv" } },
  { name: "a glob without a match", source: () => `${folder.path}/none-*.parquet`, code: "ERR_DATA", message: /^No file matches .*none-\*\.parquet/ },
  { name: "an unknown ending", source: () => "prices.xlsx", code: "ERR_OPTION", message: /a path that ends in \.parquet, \.csv or \.csv\.gz, or one \.feather or \.arrow file for source but received "prices\.xlsx"/ },
  { name: "no path at all", source: () => [], code: "ERR_OPTION", message: /at least one path/ },
  { name: "a mixture of formats", source: () => ["a.csv", "b.parquet"], code: "ERR_OPTION", message: /mixes Parquet and CSV/ },
  { name: "a corrupt Parquet file", source: () => file("bad.parquet", "this is no parquet file at all"), code: "ERR_DATA", message: /^Cannot read .*bad\.parquet.*no complete Parquet file/ },
  { name: "a truncated gzip file", source: () => file("bad.csv.gz", new Uint8Array([31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 1])), code: "ERR_DATA", message: /bad\.csv\.gz is no complete gzip file: unexpected end of file/ },
  { name: "a ragged CSV", source: () => file("ragged.csv", "date,ticker,close\n2020-01-01,A,1\n2020-01-02,A,1,2,3,4\n2020-01-03,A,1\n"), code: "ERR_DATA", message: /^Cannot read .*ragged\.csv: .*CSV Error on Line: 3.*Expected Number of Columns: 3 Found: 4/ },
  { name: "an empty file", source: () => file("nothing.csv", ""), code: "ERR_DATA", message: /nothing\.csv is empty\. The first line must name the columns/ },
  ...["latin1.csv", "latin1.csv.gz"].map((name): Case => ({ name: `text that is no UTF-8, ${name}`, source: () => file(name, name.endsWith("gz") ? gzipSync(latin1) : latin1), code: "ERR_DATA", message: new RegExp(`${name} is not written in UTF-8: line 4 holds other bytes`) })),
  { name: "groups that are no UTF-8", source: () => prices, options: { groups: { file: file("groups.csv", Buffer.from("ticker,group\nS0,Soci\u00e9t\u00e9", "latin1")), column: "group" } }, code: "ERR_DATA", message: /groups\.csv is not written in UTF-8: line 2/ },
  { name: "a gzip file that breaks off", source: () => file("half.csv.gz", gzipSync(csv(rows)).subarray(0, 400)), code: "ERR_DATA", message: /half\.csv\.gz is no complete gzip file/ },
  { name: "a column that is named twice", source: () => file("same.csv", "date,ticker,close,Close\n2020-01-01,A,1,2\n"), code: "ERR_DATA", message: /same\.csv names column Close twice/ },
  { name: "a table without rows", source: () => file("empty.csv", "date,ticker,close\n"), code: "ERR_DATA", message: /empty\.csv has no rows/ },
  { name: "an empty query result", source: () => ({ sql: `select * from '${prices}' where close < 0` }), code: "ERR_DATA", message: /^the query has no rows/ },
  { name: "a query that does not parse", source: () => ({ sql: "selekt 1" }), code: "ERR_DATA", message: /^Cannot read the query: Parser Error/ },
  { name: "an empty query", source: () => ({ sql: " " }), code: "ERR_OPTION", message: /Expected a DuckDB query for source\.sql/ },
  { name: "a missing date column", source: () => file("dates.csv", "dates,ticker,close\n2020-01-01,A,1\n"), code: "ERR_DATA", message: /dates\.csv has no column date \(dateColumn\).*Did you mean dates\?/, fields: { column: "date", option: "dateColumn" } },
  { name: "a missing ticker column", source: () => file("symbol.csv", "date,symbol,close\n2020-01-01,A,1\n"), code: "ERR_DATA", message: /has no column ticker \(tickerColumn\); its columns are date, symbol, close/, fields: { column: "ticker" } },
  { name: "a renamed column that is not there", source: () => prices, options: { rename: { close: "Adj Close" } }, code: "ERR_DATA", message: /has no column Adj Close \(rename\.close\); its columns are date, ticker, open/, fields: { column: "Adj Close", option: "rename.close" } },
  { name: "a number that is text only after the rows from which DuckDB guesses the types of a CSV file", source: () => ({ sql: `select * from '${file("late-nan.csv", `date,ticker,close,volume\n${Array.from({ length: 30_000 }, (_, i) => `2020-01-01,S${i},1,${i === 29_000 ? "NaN" : i}\n`).join("")}`)}'` }), code: "ERR_DATA", message: /^Cannot read the query: .*NaN.* Name the file itself in place of the query, or read it with read_csv\('\.\.\.', sample_size = -1\)\.$/ },
  { name: "a missing requested column", source: () => prices, options: { columns: ["clse"] }, code: "ERR_DATA", message: /has no column clse \(columns\).*Did you mean close\?/, fields: { column: "clse" } },
  { name: "a missing group column", source: () => prices, options: { groupColumn: "industry" }, code: "ERR_DATA", message: /has no column industry \(groupColumn\)/ },
  { name: "a duplicated date and ticker", source: () => file("twice.csv", csv([...rows, rows[5]!, rows[5]!, rows[2]!])), code: "ERR_DATA", message: /twice\.csv has 3 duplicated \(date, ticker\) rows; the first pair is \(2020-01-03, S000\), first seen in row 3 of/, fields: { row: 3, date: "2020-01-03" } },
  { name: "the same day written twice", source: () => file("twoways.csv", "date,ticker,close\n2020-01-01,A,1\n20200101,A,2\n"), code: "ERR_DATA", message: /1 duplicated \(date, ticker\) row; the first pair is \(2020-01-01, A\)/ },
  { name: "an unparsable date", source: () => file("date.csv", withChange(7, { date: "01/02/2020" })), code: "ERR_DATA", message: /Column date of .*date\.csv holds "01\/02\/2020" in row 7, which is no date\. Write dates as YYYY-MM-DD/, fields: { column: "date", row: 7 } },
  { name: "a zone by name", source: () => file("zone.csv", withChange(3, { date: "2020-01-03 00:00:00 America/New_York" })), code: "ERR_DATA", message: /holds "2020-01-03 00:00:00 America\/New_York" in row 3, which is no date/ },
  { name: "an impossible day", source: () => file("day.csv", withChange(3, { date: "2020-02-30" })), code: "ERR_DATA", message: /holds "2020-02-30" in row 3, which is no date/ },
  { name: "a whole number that is no date", source: () => ({ sql: "select 20201301 as date, 'A' as ticker, 1.0 as close" }), code: "ERR_DATA", message: /Column date of the query holds "20201301" in row 1/ },
  { name: "a date column of another type", source: () => ({ sql: "select true as date, 'A' as ticker, 1.0 as close" }), code: "ERR_DATA", message: /Column date of the query has type BOOLEAN, which is no date/ },
  { name: "an empty date", source: () => file("nodate.csv", withChange(9, { date: undefined })), code: "ERR_DATA", message: /Column date of .*nodate\.csv is empty in row 9/, fields: { row: 9 } },
  { name: "an empty ticker", source: () => file("noticker.csv", withChange(4, { ticker: " " })), code: "ERR_DATA", message: /Column ticker of .*noticker\.csv is empty in row 4/, fields: { row: 4 } },
  { name: "text in a price column", source: () => file("text.csv", withChange(6, { close: "n/a" })), code: "ERR_DATA", message: /Column close of .*text\.csv holds the text "n\/a" in row 6 where a number belongs/, fields: { column: "close", row: 6 } },
  { name: "text in a mostly numeric column", source: () => file("beta.csv", csv(rows.map((r, i) => ({ ...r, beta: i === 1 ? "high" : 0.5 })))), code: "ERR_DATA", message: /Column beta of .*beta\.csv holds the text "high" in row 2.*name the columns to read in columns/ },
  { name: "text in the second of two files", source: () => [file("one.csv", csv(rows.slice(0, 9))), file("two.csv", csv(rows.slice(9).map((r, i) => (i === 1 ? { ...r, open: "?" } : r))))], code: "ERR_DATA", message: /two\.csv holds the text "\?" in row 2/ },
  { name: "a requested column that is text", source: () => ({ sql: "select date '2020-01-01' as date, 'A' as ticker, 'tech' as sector" }), options: { columns: ["sector"] }, code: "ERR_DATA", message: /Column sector of the query holds the text "tech" in row 1/ },
  { name: "a requested column that is a list", source: () => ({ sql: "select date '2020-01-01' as date, 'A' as ticker, [1, 2] as pair" }), options: { columns: ["pair"] }, code: "ERR_DATA", message: /Column pair of the query has type INTEGER\[\], which is no number/ },
  { name: "an infinite value", source: () => file("infinite.csv", withChange(8, { high: "inf" })), code: "ERR_DATA", message: /Column high of .*infinite\.csv is infinite in row 8 \(2020-01-10, S000\)/, fields: { column: "high", row: 8, date: "2020-01-10" } },
  { name: "a table without numbers", source: () => ({ sql: "select date '2020-01-01' as date, 'A' as ticker, 'x' as name" }), code: "ERR_DATA", message: /has no numeric column besides date, ticker/ },
  { name: "an empty universe", source: () => file("nobody.csv", csv(rows.map((r) => ({ ...r, u: 0 })))), options: { universeColumn: "u" }, code: "ERR_DATA", message: /universe of .*nobody\.csv is empty.*Check column u/, fields: { column: "u" } },
  { name: "a table in which no close is usable", source: () => file("zero.csv", csv(rows.map((r) => ({ ...r, close: 0 })))), code: "ERR_DATA", message: /universe of .*zero\.csv is empty/ },
  { name: "neither yes nor no", source: () => file("maybe.csv", csv(rows.map((r) => ({ ...r, u: "maybe" })))), options: { tradableColumn: "u" }, code: "ERR_DATA", message: /Column u of .*maybe\.csv \(tradableColumn\) holds "maybe" in row 1 where true or false belongs/ },
  { name: "more dropped rows than allowed", source: () => file("holes.csv", csv(rows.map((r, i) => ({ ...r, close: i % 4 === 0 ? 0 : r.close })))), code: "ERR_DATA", message: /rows of .*holes\.csv \(2\d\.\d %\) have no usable value; maxDropped allows 5\.0 %/ },
  { name: "an unknown option", source: () => prices, options: { dateColum: "x" } as PanelOptions, code: "ERR_OPTION", message: /Unknown option dateColum of openPanel\. Did you mean dateColumn\?/ },
  { name: "a share beyond 1", source: () => prices, options: { maxDropped: 5 }, code: "ERR_OPTION", message: /Expected a share from 0 to 1 for maxDropped but received 5/ },
  { name: "groups from two places", source: () => file("g.csv", csv(rows.map((r) => ({ ...r, g: "x" })))), options: { groupColumn: "g", groups: { file: "x.csv" } }, code: "ERR_OPTION", message: /not both/ },
];

describe("openPanel refuses", () => {
  test.each(reading)("$name", async ({ source, options, code, message, fields }) => {
    const error = await failure(async () => {
      const panel = await openPanel(source(), options);
      await panel.read(panel.columns);
    });
    expect(error.message).toMatch(message);
    expect(error).toMatchObject({ code, ...fields });
  });
});

const relations: { name: string; text: string; kind: "groups" | "edges"; message: RegExp; fields?: Partial<AstgnnError> }[] = [
  { name: "a groups file without the group column", kind: "groups", text: "ticker,industry\nS000,a\n", message: /has no column group \(groups\.column\); its columns are ticker, industry/ },
  { name: "a groups file without the ticker column", kind: "groups", text: "symbol,group\nS000,a\n", message: /has no column ticker \(groups\.tickerColumn\)/ },
  { name: "overlapping intervals of a ticker", kind: "groups", text: "ticker,group,from,to\nS000,a,2020-01-01,2020-01-08\nS001,a,,\nS000,b,2020-01-08,\n", message: /puts S000 into two groups at once from 2020-01-08 \(rows 1 and 3\)/, fields: { row: 3 } },
  { name: "a short interval inside a long one", kind: "groups", text: "ticker,group,from,to\nS000,a,2020-01-01,2021-01-01\nS000,a,2020-01-02,2020-01-03\nS000,b,2020-06-01,2020-06-02\n", message: /two groups at once from 2020-06-01 \(rows 1 and 3\)/ },
  { name: "a ticker with two groups", kind: "groups", text: "ticker,group\nS000,a\nS000,b\n", message: /puts S000 into two groups at once \(rows 1 and 2\)/ },
  { name: "an empty ticker among groups", kind: "groups", text: "ticker,group\nS000,a\n,b\n", message: /Column ticker of .* is empty in row 2/ },
  { name: "an unparsable interval", kind: "groups", text: "ticker,group,from\nS000,a,soon\n", message: /Column from of .* holds "soon" in row 1, which is no date/, fields: { column: "from", row: 1 } },
  { name: "an interval that ends before it begins", kind: "groups", text: "ticker,group,from,to\nS000,a,2020-02-01,2020-01-01\n", message: /Row 1 of .* ends on 2020-01-01, before it begins on 2020-02-01/ },
  { name: "an edges file without neighbor", kind: "edges", text: "ticker,neighbour\nS000,S001\n", message: /has no column neighbor \(edges\.file\).*Did you mean neighbour\?/ },
  { name: "an edges file with an unknown column", kind: "edges", text: "ticker,neighbor,weight\nS000,S001,1\n", message: /has the unknown column weight; it may have ticker, neighbor, from, to/, fields: { column: "weight" } },
];

describe("a relations file is refused for", () => {
  test.each(relations)("$name", async ({ text, kind, message, fields }) => {
    const path = file("relations.csv", text);
    const error = await failure(() => openPanel(prices, kind === "groups" ? { groups: { file: path } } : { edges: { file: path } }));
    expect(error.message).toMatch(message);
    expect(error).toMatchObject({ code: "ERR_DATA", ...fields });
  });

  test("not being there", async () => {
    expect((await failure(() => openPanel(prices, { groups: { file: "gone.csv" } }))).message).toMatch(/^File gone\.csv does not exist/);
  });
});

const split = { trainEnd: days[6]!, validEnd: days[8]! };
const base = { features: ["close", "open"], window: 3, split, maxDropped: 1 } as const;
const cutting: { name: string; options: unknown; code: string; message: RegExp; fields?: Partial<AstgnnError> }[] = [
  { name: "a window longer than the panel", options: { ...base, window: 13 }, code: "ERR_DATA", message: /prices\.csv has 12 dates, but a sample needs 13: the dates of its window\. .* Read 1 more date before 2020-01-01\./ },
  { name: "a window of 0", options: { ...base, window: 0 }, code: "ERR_OPTION", message: /Expected a whole number of panel dates from 1 for window but received 0/ },
  { name: "an unknown feature", options: { ...base, features: ["close", "beta1"] }, code: "ERR_DATA", message: /lacks the column beta1 for features/, fields: { column: "beta1" } },
  { name: "a feature listed twice", options: { ...base, features: ["close", "close"] }, code: "ERR_OPTION", message: /Feature close is listed twice/ },
  { name: "a label that is a feature", options: { ...base, label: { column: "open", horizonDays: 1 } }, code: "ERR_LEAKAGE", message: /Column open is both the label and a feature/ },
  { name: "a missing label column", options: { ...base, label: { column: "ret", horizonDays: 1 } }, code: "ERR_DATA", message: /has no column ret for the label/ },
  { name: "a label column that does not say which dates it looks at", options: { ...base, label: { column: "open", lagDays: 1 } }, code: "ERR_OPTION", message: /The label column "open" needs label\.horizonDays: .*State label\.horizonDays, the panel dates from the label's entry to its end \(0 if it looks at no later date\)/, fields: { option: "label.horizonDays" } },
  { name: "a horizon of 0", options: { ...base, label: { horizonDays: 0, lagDays: 0 } }, code: "ERR_OPTION", message: /Expected a whole number of panel dates from 1, or a list of them for label\.horizonDays but received 0/ },
  { name: "no split", options: { features: "ohlcv" }, code: "ERR_OPTION", message: /for split but received nothing/ },
  { name: "trainEnd before the panel", options: { ...base, split: { ...split, trainEnd: "2019-12-31" } }, code: "ERR_OPTION", message: /split\.trainEnd 2019-12-31 lies outside the panel, which has dates from 2020-01-01 to 2020-01-16/, fields: { option: "split.trainEnd", date: "2019-12-31" } },
  { name: "validEnd after the panel", options: { ...base, split: { ...split, validEnd: "2021-01-01" } }, code: "ERR_OPTION", message: /split\.validEnd 2021-01-01 lies outside the panel/ },
  { name: "a day that does not exist", options: { ...base, split: { ...split, trainEnd: "2020-01-32" } }, code: "ERR_OPTION", message: /Expected a date as YYYY-MM-DD for split\.trainEnd but received "2020-01-32"/ },
  { name: "validEnd before trainEnd", options: { ...base, split: { trainEnd: days[8], validEnd: days[6] } }, code: "ERR_OPTION", message: /split\.validEnd .* is not after split\.trainEnd/ },
  { name: "start after trainEnd", options: { ...base, split: { ...split, start: days[7] } }, code: "ERR_OPTION", message: /split\.start .* is after split\.trainEnd/ },
  { name: "no training dates", options: { ...base, window: 6, split: { ...split, trainEnd: days[2] } }, code: "ERR_DATA", message: /There are no training dates left.*train ends on 2020-01-03/ },
  { name: "no validation dates", options: { ...base, label: { horizonDays: 3 } }, code: "ERR_DATA", message: /There are no validation dates left/ },
  { name: "an embargo that eats the validation dates", options: { ...base, embargo: 2 }, code: "ERR_DATA", message: /There are no validation dates left/ },
  { name: "fractions that do not sum to 1", options: { ...base, split: { fractions: [0.5, 0.2, 0.2] } }, code: "ERR_OPTION", message: /Expected shares that sum to 1 for split\.fractions/ },
  { name: "groups without a source", options: { ...base, graph: "groups" }, code: "ERR_OPTION", message: /Graph "groups" needs groups, and the panel has none/ },
  { name: "edges without a source", options: { ...base, graph: "edges" }, code: "ERR_OPTION", message: /Graph "edges" needs edges/ },
  { name: "an unknown graph", options: { ...base, graph: "tree" }, code: "ERR_OPTION", message: /"complete", "groups", "edges" or "none" for graph but received "tree"/ },
  { name: "an unknown processor", options: { ...base, processors: ["ranks"] }, code: "ERR_OPTION", message: /"rank", "zscore", "winsorize", "standardize" or "fill".* for processors\.0 but received "ranks"/ },
  { name: "a processor for an unknown feature", options: { ...base, processors: [{ name: "rank", columns: ["high"] }] }, code: "ERR_OPTION", message: /Processor rank names the unknown feature high/ },
  { name: "an unknown option", options: { ...base, horizon: 1 }, code: "ERR_OPTION", message: /Unknown option horizon of dataset/ },
];

describe("panel.dataset refuses", () => {
  test.each(cutting)("$name", async ({ options, code, message, fields }) => {
    const panel = await openPanel(prices);
    const error = await failure(async () => panel.dataset(options as DatasetOptions));
    expect(error.message).toMatch(message);
    expect(error).toMatchObject({ code, ...fields });
  });

  test("ohlcv without its columns, naming them", async () => {
    const panel = await openPanel(prices, { columns: ["close", "open"] });
    const error = await failure(async () => panel.dataset({ split }));
    expect(error.message).toMatch(/lacks the columns high, low, volume for features "ohlcv"/);
  });

  test("more dropped rows than allowed, naming the feature that costs most", async () => {
    const panel = await openPanel({ sql: `select *, case when open > high - 0.2 then null else 1 end as gappy from '${prices}'` });
    const error = await failure(async () => panel.dataset({ ...base, features: ["close", "gappy"], maxDropped: 0.1 }));
    expect(error.message).toMatch(/^\d+ of 34 rows \(\d+\.\d %\) lack a feature in their window, most often gappy\. maxDropped allows 10\.0 %\./);
    expect(error).toMatchObject({ code: "ERR_DATA", column: "gappy", option: "maxDropped" });
  });

  test("ohlcv of which a missing volume spoils weeks, saying why, where to look and which maxDropped would do", async () => {
    const long = priceRows({ days: 200, stocks: 4 });
    const panel = await openPanel(file("holes-in-volume.csv", csv(long.map((row, i) => (i % 40 === 39 ? { ...row, volume: 0 } : row)))), { onWarning: () => undefined });
    const error = await failure(async () => panel.dataset({ split: { fractions: [0.6, 0.2, 0.2] }, window: 3 }));
    const [, share, enough] = /^\d+ of \d+ rows \((\d+\.\d) %\) lack a feature in their window, most often volume_over_mean_20; a processor would fill \d+ of them\. maxDropped allows 5\.0 %\. A missing price or volume makes the features that look back on it missing, for up to 120 dates\. Look in panel\.ledger for prices that were made missing, begin later with split\.start, or raise maxDropped if the loss is expected: (\d\.\d+) is enough\.$/.exec(error.message)!;
    expect(Number(enough)).toBeGreaterThanOrEqual(Number(share) / 100);
    expect(Number(enough) - Number(share) / 100).toBeLessThan(0.0105); // the share is rounded to a tenth of a per cent, what is enough up to a whole one
    expect((await panel.dataset({ split: { fractions: [0.6, 0.2, 0.2] }, window: 3, maxDropped: Number(enough) })).train.dates.length).toBeGreaterThan(0);
  });

  test("a value beyond single precision", async () => {
    const panel = await openPanel({ sql: `select *, case when close > 0 then 1e300 end as huge from '${prices}'` });
    const error = await failure(async () => panel.dataset({ ...base, features: ["huge"] }));
    expect(error.message).toMatch(/Feature huge is 1e\+300 for S000 on 2020-01-01, beyond single precision/);
  });
});
