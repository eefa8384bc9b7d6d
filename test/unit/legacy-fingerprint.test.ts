import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { legacyFingerprint } from "../../lib/data/legacy-fingerprint.js";
import { digestedParts, openPanel, Panel, type PanelOptions } from "../../lib/data/panel.js";
import { csv, Folder, priceRows } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const quiet = { maxDropped: 1, onWarning: () => undefined };
/** Zero, negative and crossed prices, which cleaning makes missing; flags, groups, and two columns besides. */
const rows = priceRows({ days: 12, stocks: 7 }).map((row, i) => ({
  ...row,
  volume: i % 9 === 4 ? 0 : row.volume, open: i === 11 ? -row.open : row.open, close: i === 30 ? 0 : row.close, ...(i % 13 === 5 ? { high: row.low, low: row.high } : {}),
  member: i % 7 === 0 ? 0 : 1, buyable: i % 11 === 0 ? 0 : 1, industry: ["a", "b", "n/a"][i % 3]!, beta: i % 5 === 0 ? "" : i / 7, score: i,
}));
const table = folder.write("table.csv", csv(rows));
const edges = folder.write("edges.csv", "ticker,neighbor,to\nS000,S001,2020-01-08\nS003,S005,\n");
const legacy = (panel: Panel): Promise<string | undefined> => legacyFingerprint(panel, digestedParts(panel).replaced);

// What commit d2709d6 gave, the last with one SHA-256 over all columns.
describe("the fingerprint of older versions", () => {
  test.each<[string, string, PanelOptions]>([
    ["all columns", "b2d029478048a1151c34ed769fd678d3aff3479a16e8a43e3fdc2baf85604a33", {}],
    ["the columns that are named", "e17e43f6e30fbe6437e8f030c419f3fc95701235bbcb669a2afb8a5eb142d310", { columns: ["score", "close"] }],
    ["flags, groups and edges", "7d76d870ca57942e7bfdbdff591239b792981690d3a5c09b5eb5fc94a75bdfe1", { universeColumn: "member", tradableColumn: "buyable", groupColumn: "industry", edges: { file: edges } }],
    ["no close", "798642b4bafa55ce9a15f7c3c685471ef40e9cd4baab634c06ebb6e7375fffe1", { columns: ["beta", "open"] }],
  ])("covers %s", async (_, expected, options) => {
    const panel = await openPanel(table, { ...quiet, ...options });
    expect(await legacy(panel)).toBe(expected);
    expect(await legacy(panel)).toBe(expected);
  });

  test("is the same of a table in memory and in single precision, and that of a run of 0.1.0", async () => {
    const single = { sql: `SELECT * REPLACE (close::float AS close, open::float AS open) FROM read_csv('${table}')` };
    const column = (name: "close" | "open") => Float32Array.from(rows, (row) => row[name]);
    const panel = await Panel.from({ dates: rows.map(({ date }) => date), tickers: rows.map(({ ticker }) => ticker), columns: { close: column("close"), open: column("open") } }, quiet);
    expect(await legacy(panel)).toBe(await legacy(await openPanel(single, { ...quiet, columns: ["open", "close"] })));
    expect(await legacy(panel)).toBe("410d7472a9469ba1728e01cf8af48def78a5cdce99e97c6a16dfb6a3674a5e51");
    expect(await legacy(await openPanel(join(import.meta.dirname, "..", "fixtures", "run-0.1.0", "prices.parquet")))).toBe("9e4740098bdf85b91b176da4d839011068be128bbc4ebab020616408c42b3366");
  });

  test("is not known where rows were appended", async () => {
    const panel = await openPanel(table, { ...quiet, columns: ["close"] });
    const appended = await panel.append({ dates: "2021-01-04", tickers: ["S000"], columns: { close: [1] } }, quiet);
    expect(await legacy(appended)).toBeUndefined();
  });
});
