import { afterAll, describe, expect, it } from "vitest";
import { appendRows } from "../../lib/data/append.js";
import { lengthen } from "../../lib/data/grow.js";
import { openPanel, type NewRows, type Panel, type PanelOptions } from "../../lib/index.js";
import type { Warning } from "../../lib/warn.js";
import { csv, Folder, priceRows, weekdays, type PriceRow } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const DAYS = 50;
const days = weekdays(DAYS);
interface Row extends PriceRow {
  member: number;
  buyable: number;
  industry: string;
}
/** S004 lists ten dates before the end, between others; S002 splits 2:1 seven before it; the industry of S006 comes up then; zeros and a gap are planted. */
const rows: Row[] = priceRows({ days: DAYS, stocks: 9 })
  .filter(({ ticker, date }) => (ticker !== "S004" || date >= days[40]!) && (ticker !== "S001" || date !== days[45]))
  .map((row) => {
    const factor = row.ticker === "S002" && row.date >= days[43]! ? 0.5 : 1;
    const n = Number(row.ticker.slice(1));
    return {
      ...row, open: row.open * factor, high: row.high * factor, low: row.low * factor, close: row.close * factor,
      volume: row.ticker === "S003" && (row.date === days[44] || row.date === days[20]) ? 0 : row.volume / factor,
      member: row.ticker === "S005" && row.date < days[46]! ? 0 : 1, buyable: row.ticker === "S006" && row.date === days[47] ? 0 : 1,
      industry: row.ticker === "S006" && row.date >= days[46]! ? "b-new" : n % 4 === 3 ? "n/a" : n % 2 === 0 ? "a" : "c",
    };
  });
const prices = ["open", "high", "low", "close", "volume"] as const;
const quiet = { maxDropped: 0.2, onWarning: () => {} };

let files = 0;
const open = (table: readonly Row[], options: PanelOptions = {}): Promise<Panel> => openPanel(folder.write(`t${files++}.csv`, csv(table)), { ...quiet, ...options });

/** Rows as they are appended, the columns that `names` says. */
function newRows(table: readonly Row[], names: readonly (keyof Row)[] = prices): NewRows {
  return { dates: table.map(({ date }) => date), tickers: table.map(({ ticker }) => ticker), columns: Object.fromEntries(names.map((name) => [name, table.map((row) => row[name])])) };
}

const between = (from: number, to: number): Row[] => rows.filter(({ date }) => date >= days[from]! && date <= days[to]!);

/** What a panel holds but for where it came from; groups where it has a row. */
function contents({ dates, tickers, columns, universe, present, tradable, groups, edges, segments, priceBreaks, ledger }: Panel) {
  const codes = groups?.codes.map((code, cell) => (present[cell] === 1 ? code : -1));
  const counts = Object.fromEntries(ledger.entries.filter(({ stage }) => stage === "clean").map(({ reason, count }) => [reason, count]));
  return { dates, tickers, columns, universe, present, tradable, codes, groupNames: groups?.names, edges, segments, priceBreaks, counts, rowsRead: ledger.rowsRead, rowsKept: ledger.rowsKept };
}

async function expectEqual(appended: Panel, batch: Panel): Promise<void> {
  expect(contents(appended)).toEqual(contents(batch));
  for (const name of batch.columns) expect(appended.values(name)).toEqual(batch.values(name));
  expect(appended.digests()).toEqual(batch.digests());
}

describe("panel.append", () => {
  it("gives the panel that all rows at once give: a date, several, new tickers, dropped prices, breaks, flags and groups", async () => {
    const options: PanelOptions = { columns: prices, extremeReturns: "missing", universeColumn: "member", tradableColumn: "buyable", groupColumn: "industry" };
    const names = [...prices, "member", "buyable", "industry"] as const;
    let panel = await open(between(0, 38), options);
    const steps: [number, number][] = [[39, 39], [40, 42], [43, 43], [44, 44], [45, 45], [46, 49]];
    for (const [from, to] of steps) panel = await panel.append(newRows(between(from, to).reverse(), names), quiet);
    const batch = await open(rows, options);
    expect(batch.priceBreaks).toMatchObject([{ ticker: "S002", date: days[43] }]);
    expect(batch.groups!.names).toEqual(["a", "b-new", "c"]);
    await expectEqual(panel, batch);
  });

  it("reads groups and edges of the new dates from their files", async () => {
    const groups = folder.write("groups.csv", `ticker,group,from,to\n${["S000,x,,", `S001,x,,${days[46]}`, `S001,y,${days[47]},`, "S002,y,,", "S004,y,,", ...["3", "5", "6", "7", "8"].map((n) => `S00${n},z,,`)].join("\n")}\n`);
    const edges = folder.write("edges.csv", `ticker,neighbor,from,to\nS000,S001,,\nS002,S003,,${days[41]}\nS003,S005,${days[48]},\nS004,S007,,\n`);
    const options: PanelOptions = { columns: prices, groups: { file: groups }, edges: { file: edges }, maxDropped: 1 };
    const panel = await (await open(between(0, 38), options)).append(newRows(between(39, 49)), quiet);
    const batch = await open(rows, options);
    await expectEqual(panel, batch);
  });

  it("leaves the panel as it was, adds to its arrays in place, and lets two panels grow from one", async () => {
    const whole = await open(between(0, 42), { columns: prices });
    const base = await whole.append(newRows(between(43, 43)), quiet);
    const before = structuredClone(contents(base));
    const [a, b] = [await base.append(newRows(between(44, 45)), quiet), await base.append(newRows(between(44, 44).map((row) => ({ ...row, close: row.close + 1, high: row.high + 1 }))), quiet)];
    expect(a.values("close").buffer).toBe(base.values("close").buffer);
    expect(b.values("close").buffer).not.toBe(base.values("close").buffer);
    expect(structuredClone(contents(base))).toEqual(before);
    await expectEqual(a, await open(between(0, 45), { columns: prices }));
    expect(b.values("close").at(-9)! - a.values("close")[44 * 9]!).toBeCloseTo(1, 5);
    expect(new Set([whole.fingerprint, base.fingerprint, a.fingerprint, b.fingerprint]).size).toBe(4);
    expect(a.fingerprint).toBe((await open(between(0, 45), { columns: prices })).fingerprint);
    expect((await base.append(newRows(between(44, 45)), quiet)).fingerprint).toBe(a.fingerprint);
  });

  it("takes typed arrays, one date for all rows, null for a number that is not known, and names what looks wrong", async () => {
    const panel = await open(between(0, 42), { columns: prices });
    const today = between(43, 43);
    const warnings: Warning[] = [];
    const appended = await panel.append({
      dates: days[43]!, tickers: today.map(({ ticker }) => ticker).slice(0, 4),
      columns: { ...Object.fromEntries(prices.map((name) => [name, Float32Array.from(today.slice(0, 4), (row) => row[name])])), open: [null, 1, 2, 3] },
    }, { onWarning: (warning) => warnings.push(warning) });
    expect([...appended.values("open").subarray(43 * 9, 43 * 9 + 4)]).toEqual([NaN, 1, 2, 3]);
    expect(warnings.map(({ reason }) => reason)).toContain("partial_dates");
    expect(warnings.find(({ reason }) => reason === "partial_dates")!.text).toContain(`${days[43]} (4 of 9 stocks, without S004, S005, S006 and 2 more)`);
  });

  const day = between(43, 43);
  const columns = newRows(day).columns;
  it.each<[string, Partial<NewRows>, object]>([
    ["a restated date", { dates: days[42]! }, { code: "ERR_DATA", date: days[42], message: expect.stringMatching(`are of ${days[42]}, and the panel ends on ${days[42]}\\. Append later dates only; open the panel again`) as string }],
    ["dates out of order, among new ones", { dates: day.map((_, i) => [days[3]!, days[43]!, days[9]!][i % 3]!) }, { code: "ERR_DATA", date: days[3], message: expect.stringContaining(`are of ${days[3]}, ${days[9]}, and the panel ends on`) as string }],
    ["what is no date", { dates: "tomorrow" }, { code: "ERR_OPTION", message: expect.stringContaining('received "tomorrow"') as string }],
    ["a row twice", { tickers: day.map(({ ticker }, i) => (i === 3 ? "S000" : ticker)) }, { code: "ERR_DATA", date: days[43], row: 4, message: expect.stringContaining(`(${days[43]}, S000) twice`) as string }],
    ["no ticker", { tickers: day.map(({ ticker }, i) => (i === 3 ? " " : ticker)) }, { code: "ERR_OPTION", option: "rows.tickers[3]" }],
    ["a missing column", { columns: { open: columns["open"]!, close: columns["close"]! } }, { code: "ERR_DATA", column: "high", message: expect.stringContaining("lack the columns high, low, volume of the panel") as string }],
    ["an unknown column", { columns: { ...columns, Close: columns["close"]! } }, { code: "ERR_DATA", column: "Close", message: expect.stringContaining("Did you mean close?") as string }],
    ["columns of another length", { columns: { ...columns, low: [1, 2] } }, { code: "ERR_OPTION", option: "rows.columns.low" }],
    ["text for a number", { columns: { ...columns, low: day.map(() => "1") } }, { code: "ERR_OPTION", message: expect.stringContaining(`It is that of S000 on ${days[43]}`) as string }],
    ["an infinite value", { columns: { ...columns, low: day.map((_, i) => (i === 2 ? Infinity : 1)) } }, { code: "ERR_DATA", column: "low", row: 3, date: days[43] }],
    ["more losses than maxDropped", { columns: { ...columns, close: day.map((_, i) => (i < 2 ? NaN : 1)) } }, { code: "ERR_DATA", option: "maxDropped", message: expect.stringContaining(`2 of 9 rows of ${days[43]}`) as string }],
  ])("refuses %s", async (_, change, error) => {
    const panel = await open(between(0, 42), { columns: prices });
    await expect(panel.append({ ...newRows(day), dates: days[43]!, ...change })).rejects.toMatchObject(error);
  });
});

describe("a panel that append would make too large", () => {
  it("for indices is refused before anything is laid out", async () => {
    // No element but the last: what reads one of the others fails.
    const dates = new Array<string>(2 ** 30 - 1);
    dates[dates.length - 1] = "2020-01-01";
    const panel = { dates, tickers: ["A", "B"], columns: [], isRead: () => true, origin: { source: null, options: { maxDropped: 0 } } } as unknown as Parameters<typeof appendRows>[0];
    const known = {} as Parameters<typeof appendRows>[1];
    await expect(appendRows(panel, known, { dates: "2020-01-02", tickers: ["A"], columns: {} }, {})).rejects.toMatchObject({ code: "ERR_OUT_OF_MEMORY", message: expect.stringMatching(/A panel of 1073741824 dates x 2 stocks x 0 columns does not fit into memory/) as string });
  });

  it("for memory is refused by name", () => {
    expect(() => lengthen(new Float64Array(1), 2 ** 50, NaN)).toThrow(expect.objectContaining({ code: "ERR_OUT_OF_MEMORY", message: expect.stringMatching(/A column of 1125899906842624 cells/) as string }) as Error);
  });
});
