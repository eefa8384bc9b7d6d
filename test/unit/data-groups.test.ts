import { afterAll, describe, expect, test } from "vitest";
import { openPanel, type PanelOptions } from "../../lib/data/panel.js";
import type { Dataset } from "../../lib/data/types.js";
import type { Warning } from "../../lib/warn.js";
import { csv, Folder, priceRows, weekdays } from "./data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const days = weekdays(16);
const rows = priceRows({ days: 16, stocks: 6 });
const prices = folder.write("prices.csv", csv(rows));
const base = { features: ["close"], window: 2, split: { trainEnd: days[9]!, validEnd: days[12]! }, label: { horizonDays: 1, lagDays: 0 } } as const;
const open = (options: PanelOptions) => openPanel(prices, { maxDropped: 1, onWarning: () => undefined, ...options });
const withGroups = (text: string) => open({ groups: { file: folder.write("groups.csv", text) } });
const withEdges = (text: string, symmetric?: boolean) => open({ edges: { file: folder.write("edges.csv", text), ...(symmetric === undefined ? {} : { symmetric }) } });
const groupsOn = (dataset: Dataset, t: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: dataset.rowOffsets[t + 1]! - dataset.rowOffsets[t]! }, (_, i) => [dataset.tickers[dataset.rowStocks[dataset.rowOffsets[t]! + i]!], dataset.groups![dataset.rowOffsets[t]! + i]!]));
/** Tickers of each group, groups in the order of their first ticker. */
const sameGroup = (groups: Record<string, number>): string[][] => [...new Set(Object.values(groups))].map((code) => Object.keys(groups).filter((ticker) => groups[ticker] === code));
const counts = (dataset: { ledger: Dataset["ledger"] }): Record<string, number> => Object.fromEntries(dataset.ledger.entries.filter((entry) => entry.stage === "graph").map((entry) => [entry.reason, entry.count]));

describe("groups", () => {
  test("from a file hold on every date; null, empty and n/a are each a group of one", async () => {
    const panel = await withGroups("ticker,group\nS000,tech\nS001,tech\nS002,n/a\nS003,\nS004,bank\nS009,bank\n");
    const dataset = await panel.dataset({ ...base, graph: "groups" });
    expect(dataset.graph).toBe("groups");
    expect(sameGroup(groupsOn(dataset, 10))).toEqual([["S000", "S001"], ["S002"], ["S003"], ["S004"], ["S005"]]);
    expect(counts(dataset)).toEqual({ unknown_group_stocks: 1, stocks_without_group: 3, rows_without_group_line: 15 });
  });

  test("change on the dates of their intervals, both ends included", async () => {
    const panel = await withGroups(`ticker,group,from,to\nS000,a,,${days[7]}\nS000,b,${days[8]},${days[10]}\nS001,b,,\nS002,a,2019-01-01,2030-01-01\n`);
    const dataset = await panel.dataset(base);
    expect(sameGroup(groupsOn(dataset, 7))).toContainEqual(["S000", "S002"]);
    expect(sameGroup(groupsOn(dataset, 8))).toContainEqual(["S000", "S001"]);
    expect(sameGroup(groupsOn(dataset, 10))).toContainEqual(["S000", "S001"]);
    expect(sameGroup(groupsOn(dataset, 11))).toContainEqual(["S000"]);
  });

  test("from a column follow it date by date", async () => {
    const path = folder.write("column.csv", csv(rows.map((row) => ({ ...row, sector: row.ticker === "S001" && row.date < days[8]! ? "N/A" : row.ticker < "S003" ? "x" : "y" }))));
    const dataset = await (await openPanel(path, { groupColumn: "sector" })).dataset(base);
    expect(sameGroup(groupsOn(dataset, 7))).toEqual([["S000", "S002"], ["S001"], ["S003", "S004", "S005"]]);
    expect(sameGroup(groupsOn(dataset, 8))).toEqual([["S000", "S001", "S002"], ["S003", "S004", "S005"]]);
  });

  test("may have other column names, and lines that repeat", async () => {
    const file = folder.write("industry.csv", "market,symbol,industry\nX,S000,a\nX,S001,a\nX,S001,a\n");
    const dataset = await (await open({ groups: { file, column: "industry", tickerColumn: "symbol" } })).dataset(base);
    expect(sameGroup(groupsOn(dataset, 10))[0]).toEqual(["S000", "S001"]);
  });

  test("are all groups of one where the graph is none, and absent without a source", async () => {
    const panel = await withGroups("ticker,group\nS000,a\nS001,a\n");
    expect(new Set(Object.values(groupsOn(await panel.dataset({ ...base, graph: "none" }), 10))).size).toBe(6);
    expect((await (await open({})).dataset(base)).groups).toBeUndefined();
  });
});

describe("edges", () => {
  const list = ({ edges }: Dataset): string[] => Array.from(edges!.source, (s, i) => `${s}>${edges!.target[i]!} ${edges!.from[i]!}-${edges!.to[i]!}`);

  test("go both ways by default; duplicates and self edges are ignored, unknown stocks counted", async () => {
    const dataset = await (await withEdges("ticker,neighbor\nS000,S001\nS001,S000\nS002,S002\nS000,S004\nS000,NOBODY\nS003,\n")).dataset({ ...base, graph: "edges" });
    expect(list(dataset)).toEqual(["0>1 0-15", "0>4 0-15", "1>0 0-15", "4>0 0-15"]);
    expect(counts(dataset)).toEqual({ unknown_edge_stocks: 1, edges_of_unknown_stocks: 2, self_edges: 1, duplicate_edges: 2 });
  });

  test("go one way where symmetric is false", async () => {
    expect(list(await (await withEdges("ticker,neighbor\nS000,S001\nS003,S001\n", false)).dataset(base))).toEqual(["0>1 0-15", "3>1 0-15"]);
  });

  test("hold on the panel dates of their intervals, once per date", async () => {
    const text = `ticker,neighbor,from,to\nS000,S001,2020-01-04,${days[5]}\nS000,S001,${days[4]},${days[8]}\nS000,S001,${days[9]},\nS000,S002,,2019-12-31\nS000,S003,${days[3]},${days[3]}\nS000,S003,${days[5]},${days[6]}\n`;
    const dataset = await (await withEdges(text, false)).dataset(base);
    // 2020-01-04 is a Saturday: the edge begins on Monday, days[3].
    expect(list(dataset)).toEqual(["0>1 3-15", "0>3 3-3", "0>3 5-6"]);
    expect(counts(dataset)).toEqual({ edges_outside_dates: 1, duplicate_edges: 2 });
  });
});

describe("What matches nothing", () => {
  const all = ["S000", "S001", "S002", "S003", "S004", "S005"];
  const lines = (tickers: readonly string[], group = (i: number): string => `g${i % 2}`): string => ["ticker,group", ...tickers.map((ticker, i) => `${ticker},${group(i)}`), ""].join("\n");
  const strict = async (options: PanelOptions) => {
    const warnings: Warning[] = [];
    const panel = await openPanel(prices, { onWarning: (warning) => warnings.push(warning), ...options });
    return { panel, warnings };
  };
  const groups = (text: string, more: PanelOptions = {}) => strict({ groups: { file: folder.write("strict.csv", text) }, ...more });
  const edges = (text: string, more: PanelOptions = {}) => strict({ edges: { file: folder.write("strict-edges.csv", text) }, ...more });

  test("among groups is refused past maxDropped, with both ways of writing tickers", async () => {
    await expect(groups(lines(all.map((ticker) => `${ticker}.US`)))).rejects.toMatchObject({
      code: "ERR_DATA",
      option: "maxDropped",
      message: expect.stringMatching(/^89 of 89 rows of the panel \(100\.0 %\) have no line in .*strict\.csv \(S000, S001, S002 and 3 more; tickers are written S000\.US there\); maxDropped allows 5\.0 %/) as string,
    });
    await expect(groups(lines(all.slice(1)))).rejects.toMatchObject({ code: "ERR_DATA" });
    await expect(groups(`ticker,group,from\n${all.map((ticker) => `${ticker},a,${days[12]!}`).join("\n")}\n`)).rejects.toMatchObject({ code: "ERR_DATA" });
  });

  test("among groups is counted and warned of below that; stocks that the panel has not, and n/a, are no loss", async () => {
    const { panel, warnings } = await groups(lines([...all.slice(1), "OTHER"]), { maxDropped: 0.2 });
    expect(panel.ledger.entries).toContainEqual(expect.objectContaining({ stage: "graph", reason: "rows_without_group_line", count: 16, unit: "rows", text: expect.stringContaining("S000") as string }));
    expect(warnings).toMatchObject([{ reason: "rows_without_group_line", text: expect.stringMatching(/^16 of 89 rows of the panel have no line in .*, so each is a group of one: S000\.$/) as string }]);
    expect((await groups(lines([...all, ...all.map((ticker) => `${ticker}.X`)], (i) => (i === 5 ? "n/a" : `g${i % 2}`)))).warnings).toEqual([]);
  });

  test("and groups of one are warned of, and no group at all is refused", async () => {
    expect((await groups(lines(all, (i) => `own ${i}`))).warnings).toMatchObject([{ reason: "groups_of_one", text: expect.stringMatching(/^100\.0 % of the rows are alone in their group \(groups\.column\)/) as string }]);
    await expect(groups(lines(all, () => "n/a"))).rejects.toMatchObject({ code: "ERR_DATA", option: "groups.column" });
    const path = folder.write("empty-sector.csv", csv(rows.map((row) => ({ ...row, sector: "" }))));
    await expect(openPanel(path, { groupColumn: "sector" })).rejects.toMatchObject({ code: "ERR_DATA", option: "groupColumn" });
  });

  test("among edges is refused past maxDropped, warned of below it, and an empty list is an error", async () => {
    const known = "ticker,neighbor\nS000,S001\nS001,S002\nS002,S003\n";
    await expect(edges(`${known}S003,S004.US\n`)).rejects.toMatchObject({
      code: "ERR_DATA",
      option: "maxDropped",
      message: expect.stringMatching(/^1 of 4 edges of .* \(25\.0 %\) name a stock that is not in the panel, or none \(S004\.US; the panel writes S000\); maxDropped allows 5\.0 %/) as string,
    });
    expect((await edges(`${known}S003,S004.US\n`, { maxDropped: 0.3 })).warnings).toMatchObject([{ reason: "edges_of_unknown_stocks" }]);
    expect((await edges(known)).warnings).toEqual([]);
    for (const nothing of ["ticker,neighbor\nA,B\n", "ticker,neighbor,to\nS000,S001,2019-01-01\n", "ticker,neighbor\nS000,S000\n"]) {
      await expect(edges(nothing, { maxDropped: 1 })).rejects.toMatchObject({ code: "ERR_DATA", option: "edges.file" });
    }
  });
});
