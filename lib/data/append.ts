import { countEmpty, findPartialDates, NEIGHBOURS, pricedCells } from "./coverage.js";
import { Database } from "./source/database.js";
import { readEdges } from "./edges.js";
import { checkGrid } from "./check-grid.js";
import { refuseTooManyCells } from "./grid-memory.js";
import { KEYS, PanelDigests, type DateDigests } from "./digests.js";
import { readGroups, type Groups } from "./groups.js";
import { lengthen, widen, type GridArray } from "./grow.js";
import { LedgerBuilder } from "./ledger.js";
import { refuseLoss } from "./loss.js";
import { checkRows, type CheckedRows, type NewRows } from "./new-rows.js";
import { Pace } from "./pace.js";
import type { PanelGrid, PanelParts } from "./panel-grid.js";
import { findPriceBreaks, reportPriceBreaks, type PriceBreak, type PriceBreaks } from "./price-breaks.js";
import type { DenseTable } from "./source/long-table.js";
import type { Ledger } from "./types.js";
import { warn, type Warning } from "../warn.js";
import { invalidOption } from "../errors.js";
import { requireObject } from "../options.js";

/** How rows are appended. */
export interface AppendOptions {
  /** As of `openPanel`, counted over the new rows. Default: that of the panel. */
  readonly maxDropped?: number | undefined;
  /** Told what looks wrong in the new rows. Default: Node prints it. */
  readonly onWarning?: ((warning: Warning) => void) | undefined;
}

/**
 * The parts of a panel with rows of later dates: cleaned, checked and counted as `openPanel` does it, the dates that there were untouched. Costs what the
 * new dates hold; the whole panel is laid out anew where a ticker is new.
 */
export async function appendRows(panel: PanelGrid & Pick<PanelParts, "priceBreaks">, known: Pick<PanelParts, "digests" | "core">, rows: NewRows, options: AppendOptions): Promise<PanelParts> {
  requireObject(options, "options", "{ maxDropped?, onWarning? }");
  const { maxDropped = panel.origin.options.maxDropped!, onWarning } = options;
  if (onWarning !== undefined && typeof onWarning !== "function") throw invalidOption("onWarning", "a function", onWarning);
  if (typeof maxDropped !== "number" || !(maxDropped >= 0 && maxDropped <= 1)) throw invalidOption("maxDropped", "a share from 0 to 1", maxDropped);
  const checked = checkRows(panel, rows);
  const { dates: days, tickers: rowTickers } = checked;
  const tickers = union(panel.tickers, rowTickers);
  const [before, N] = [panel.dates.length, tickers.length];
  const first = before * N;
  const length = first + days.length * N;
  refuseTooManyCells(before + days.length, N, panel.columns.length);
  const placeOf = new Map(tickers.map((ticker, n) => [ticker, n]));
  const isWider = N > panel.tickers.length;
  const places = isWider ? Int32Array.from(panel.tickers, (ticker) => placeOf.get(ticker)!) : undefined;
  const grow = <G extends GridArray>(grid: G, filler: number): G => (places === undefined ? lengthen(grid, length, filler) : widen(grid, places, N, length, filler));
  const cells = Int32Array.from(rowTickers, (ticker, row) => checked.dateOf[row]! * N + placeOf.get(ticker)!);

  const block = layOut(checked, tickers, cells, panel);
  const ledger = new LedgerBuilder();
  const { groups, edges } = await relationsOf(panel, block, [...panel.dates, ...days], { ledger, maxDropped, onWarning });
  const flags = new Map<string, Uint8Array>();
  if (block.universe !== undefined) flags.set("universe", block.universe);
  if (block.tradable !== undefined) flags.set("tradable", block.tradable);
  const { digests, cleaned, filled, kept } = await checkGrid({ dates: days, tickers, present: block.present, values: block.values, flags, groups }, ledger);

  const when = days.length === 1 ? days[0]! : `${days[0]!} to ${days.at(-1)!}`;
  const pricedNow = block.values.has("close") ? filled : undefined;
  const universe = block.universe ?? pricedNow ?? block.present;
  countEmpty(block, kept, ledger);
  const next = "Complete them, or raise maxDropped if the loss is expected.";
  refuseLoss({ lost: block.rows - kept, of: block.rows, what: `rows of ${when}`, why: "have no usable value" }, maxDropped, { next });
  for (const { column, lost, values } of cleaned) refuseLoss({ lost, of: values, what: `values of ${column} of ${when}`, why: "are impossible and were made missing" }, maxDropped, { column, next });

  const put = <G extends GridArray>(grid: G, filler: number, added: GridArray): G => {
    const grown = grow(grid, filler);
    grown.set(added, first);
    return grown;
  };
  const pace = new Pace();
  const values = new Map<string, Float32Array | Float64Array>();
  for (const name of block.values.keys()) {
    values.set(name, put(panel.values(name), NaN, block.values.get(name)!));
    await pace.step();
  }
  const present = put(panel.present, 0, block.present);
  const dates = [...panel.dates, ...days];
  const table: DenseTable = {
    dates, tickers, rows: block.rows, present, values, groupNames: [], groups: undefined, universe: undefined,
    tradable: panel.tradable === undefined ? undefined : put(panel.tradable, 0, block.tradable!),
  };
  const priced = pricedCells(table, Math.max(0, before - 1 - NEIGHBOURS) * N) ?? present;
  await findPartialDates(table, priced, ledger, (text) => warn({ reason: "partial_dates", text }, onWarning), before);
  const found = await findPriceBreaks(values, dates, tickers, before);
  const { extremeReturns } = panel;
  const joined = groups === undefined ? undefined : joinGroups(panel.groups!, groups, (codes) => grow(codes, -1), first);
  const dateDigests = joinDigests(known.digests.dates, digests);
  // Of all dates, where what they are made of changed for all of them: places of stocks, codes of groups.
  if (isWider) dateDigests.set(KEYS, (await checkGrid({ dates, tickers, present, values: new Map(), flags: new Map(), groups: undefined })).digests.get(KEYS)!);
  if (joined !== undefined && joined.names !== panel.groups!.names) dateDigests.set("groups", (await checkGrid({ dates, tickers, present, values: new Map(), flags: new Map(), groups: joined })).digests.get("groups")!);
  reportPriceBreaks(found, panel.source, { extremeReturns, onWarning }, ledger);
  return {
    source: panel.source,
    origin: panel.origin,
    table,
    universe: panel.universe === panel.present ? present : put(panel.universe, 0, universe),
    groups: joined,
    edges,
    priceBreaks: joinBreaks(panel.priceBreaks, found.breaks),
    segments: extremeReturns === "missing" ? growSegments(panel.segments, found, grow, first, length, N) : undefined,
    extremeReturns,
    ledger: joinLedgers(panel.ledger, ledger.build(block.rows, kept)),
    digests: new PanelDigests({ dates, tickers, groups: joined, edges }, dateDigests),
    core: known.core,
    later: undefined,
    replaced: undefined,
  };
}

/** The digests of the dates before and of the new ones, of what is known of both. */
function joinDigests(before: DateDigests, added: DateDigests): Map<string, Uint8Array> {
  return new Map([...before].flatMap(([part, digests]) => (added.has(part) ? [[part, Buffer.concat([digests, added.get(part)!])] as const] : [])));
}

/** The tickers of both, sorted; the panel's own list where none is new. */
function union(tickers: readonly string[], others: readonly string[]): string[] {
  const known = new Set(tickers);
  const added = [...new Set(others)].filter((ticker) => !known.has(ticker));
  return added.length === 0 ? (tickers as string[]) : [...tickers, ...added].sort();
}

/** The rows on the grid of their dates x all stocks. */
function layOut({ dates, values, universe, tradable, groups }: CheckedRows, tickers: string[], cells: Int32Array, panel: PanelGrid): DenseTable {
  const size = dates.length * tickers.length;
  const scatter = <G extends GridArray>(grid: G, from: ArrayLike<number>): G => {
    for (let row = 0; row < cells.length; row++) grid[cells[row]!] = from[row]!;
    return grid;
  };
  const names = groups === undefined ? [] : [...new Set(groups.filter((name) => name !== null))].sort();
  const codeOf = new Map(names.map((name, code) => [name, code]));
  const numbers = (name: string, from: ArrayLike<number>): Float32Array | Float64Array => {
    const Kind = panel.values(name) instanceof Float32Array ? Float32Array : Float64Array;
    return scatter(new Kind(size).fill(NaN), from);
  };
  return {
    dates: [...dates],
    tickers,
    rows: cells.length,
    present: scatter(new Uint8Array(size), new Uint8Array(cells.length).fill(1)),
    values: new Map([...values].map(([name, from]) => [name, numbers(name, from)])),
    universe: universe === undefined ? undefined : scatter(new Uint8Array(size), universe),
    tradable: tradable === undefined ? undefined : scatter(new Uint8Array(size), tradable),
    groups: groups === undefined ? undefined : scatter(new Int32Array(size).fill(-1), groups.map((name) => (name === null ? -1 : codeOf.get(name)!))),
    groupNames: names,
  };
}

/** Groups of the new dates and edges of all, read again where they come from files: these say from when to when they hold. */
async function relationsOf(
  panel: PanelGrid, block: DenseTable, dates: string[], checks: { ledger: LedgerBuilder; maxDropped: number; onWarning: AppendOptions["onWarning"] },
): Promise<{ groups: Groups | undefined; edges: PanelGrid["edges"] }> {
  const { groups, edges } = panel.origin.options;
  const fromColumn = block.groups === undefined ? undefined : { codes: block.groups, names: block.groupNames };
  if (groups === undefined && edges === undefined) return { groups: fromColumn, edges: undefined };
  await using database = Database.open();
  return {
    groups: groups === undefined ? fromColumn : await readGroups(database, groups, block, checks),
    edges: edges === undefined ? undefined : await readEdges(database, edges, { ...block, dates }, checks),
  };
}

/** Codes of both by one sorted list of names. */
function joinGroups(before: Groups, added: Groups, grow: (codes: Int32Array) => Int32Array, first: number): Groups {
  const known = new Set(before.names);
  const isNew = added.names.some((name) => !known.has(name));
  const names = isNew ? [...new Set([...before.names, ...added.names])].sort() : before.names;
  const codeOf = new Map(names.map((name, code) => [name, code]));
  const recoded = (codes: Int32Array, own: readonly string[]): Int32Array => {
    const code = own.map((name) => codeOf.get(name)!);
    return codes.map((old) => (old < 0 ? old : code[old]!));
  };
  const codes = grow(isNew ? recoded(before.codes, before.names) : before.codes);
  codes.set(recoded(added.codes, added.names), first);
  return { codes, names };
}

/** Number of price breaks up to each new date. */
function growSegments(before: Int32Array | undefined, { cells }: PriceBreaks, grow: (grid: Int32Array, filler: number) => Int32Array, first: number, length: number, stocks: number): Int32Array | undefined {
  if (before === undefined && cells.length === 0) return undefined;
  const segments = before === undefined ? new Int32Array(length) : grow(before, 0);
  for (const cell of cells) segments[cell] = 1;
  for (let cell = first; cell < length; cell++) segments[cell]! += segments[cell - stocks]!;
  return segments;
}

function joinBreaks(before: readonly PriceBreak[], added: readonly PriceBreak[]): readonly PriceBreak[] {
  if (added.length === 0) return before;
  const move = (one: PriceBreak): number => Math.abs(Math.log(1 + one.return));
  return Object.freeze([...before, ...added].sort((a, b) => move(b) - move(a)));
}

/** Counts of a line that says the same of both are summed. */
function joinLedgers(before: Ledger, added: Ledger): Ledger {
  const entries = [...before.entries];
  for (const entry of added.entries) {
    const same = entries.findIndex(({ stage, reason, text }) => stage === entry.stage && reason === entry.reason && text === entry.text);
    if (same < 0) entries.push(entry);
    else entries[same] = Object.freeze({ ...entry, count: entries[same]!.count + entry.count });
  }
  return Object.freeze({ entries: Object.freeze(entries), rowsRead: before.rowsRead + added.rowsRead, rowsKept: before.rowsKept + added.rowsKept });
}
