import { loadTables } from "../binding/load.js";
import { AstgnnError } from "../errors.js";
import { warn, type Warning } from "../warn.js";
import { PRICE_COLUMNS } from "./source/columns.js";
import type { LedgerBuilder } from "./ledger.js";
import { Pace } from "./pace.js";
import { median } from "./ranks.js";

/** A return that looks like a split, a spin-off or a special dividend that the prices were not adjusted for. */
export interface PriceBreak {
  readonly ticker: string;
  /** First date on the new scale. */
  readonly date: string;
  /** close / the last close before it - 1. */
  readonly return: number;
  /** New shares for old ones: "2:1" halves the price, "1:10" (a reverse split) multiplies it by ten. */
  readonly ratio: string;
}

/** Breaks, the largest move first, and their cells t * stocks + n. */
export interface PriceBreaks {
  readonly breaks: readonly PriceBreak[];
  readonly cells: readonly number[];
}

/** Smallest move of interest, as a factor in either direction: returns below -25 % or above +33 %. */
const SMALLEST_MOVE = Math.log(4 / 3);
/** Factors between these are no such move, without a logarithm. */
const USUAL_FACTORS = [0.76, 1.32] as const;
/** Closes before the move that say what is usual for the stock, and the fewest returns among them. */
const LOOK_BACK = 20;
const FEWEST_RETURNS = 5;
/** Dates without a close that may lie in between: trading is often halted for a split. */
const LONGEST_HALT = 10;
/** How far the move overnight may be from the ratio, the day's own move, and trading from its usual level: as factors. */
const RATIO_TOLERANCE = Math.log(1.04);
const DAY_MOVE = Math.log(1.1);
const USUAL_TRADING = Math.log(4);
/** The same without volumes: then only the night speaks for a split. */
const STRICT_RATIO_TOLERANCE = Math.log(1.02);
const STRICT_DAY_MOVE = Math.log(1.04);
/** How many times the stock's mean daily move. */
const UNUSUAL_MOVE = 8;

type Values = ReadonlyMap<string, Float32Array | Float64Array>;

/**
 * Finds returns beyond -25 % or +33 % that look like a split n:1, 3:2 or the reverse: the price moves overnight, by a split ratio within 4 %, eight
 * times as far as it moves on a usual day, and the day after that night is quiet, with less than 10 % and no more than four times the usual
 * trading (or a quarter of it) in money, as after a split, or in shares, where volumes are adjusted. News moves prices as far, but never without trading.
 * Nothing is read from later dates. Closes alone do not tell a split from a crash: without opens and volumes nothing is found.
 *
 * @param first first date to look at
 */
export async function findPriceBreaks(values: Values, dates: readonly string[], tickers: readonly string[], first = 0): Promise<PriceBreaks> {
  const close = values.get("close");
  const open = values.get("open");
  const volume = PRICE_COLUMNS.every((name) => values.has(name)) ? values.get("volume") : undefined;
  if (close === undefined || (open === undefined && volume === undefined)) return { breaks: [], cells: [] };
  const stocks = tickers.length;
  const pace = new Pace();
  const found: { cell: number; move: number; price: PriceBreak }[] = [];
  const moved = await loadTables().findMoves(close, dates.length, stocks, Math.max(0, first - LONGEST_HALT - 1), first, ...USUAL_FACTORS);
  for (let i = 0; i < moved.length; i += 2) {
    const [cell, before] = [moved[i]!, moved[i + 1]!];
    const move = Math.abs(Math.log(close[cell]! / close[before]!));
    if (move < SMALLEST_MOVE || cell - before > (LONGEST_HALT + 1) * stocks) continue;
    const ratio = splitRatio({ close, open, volume }, before, cell, stocks);
    if (ratio !== undefined) found.push({ cell, move, price: { ticker: tickers[cell % stocks]!, date: dates[Math.floor(cell / stocks)]!, return: close[cell]! / close[before]! - 1, ratio } });
    await pace.step();
  }
  found.sort((a, b) => b.move - a.move || a.cell - b.cell);
  return { breaks: Object.freeze(found.map(({ price }) => Object.freeze(price))), cells: found.map(({ cell }) => cell) };
}

interface Columns {
  readonly close: Float32Array | Float64Array;
  readonly open: Float32Array | Float64Array | undefined;
  readonly volume: Float32Array | Float64Array | undefined;
}

/** The ratio that the move between two closes of a stock looks like, if any. */
function splitRatio({ close, open, volume }: Columns, before: number, cell: number, stocks: number): string | undefined {
  const usual = usualDay(close, volume, before, stocks);
  const first = open?.[cell] ?? NaN;
  const start = first > 0 ? first : close[cell]!;
  const trading = usual.shares.length > 0 ? (volume?.[cell] ?? NaN) : NaN;
  const knowsTrading = trading > 0;
  if (!knowsTrading && !(first > 0)) return undefined;

  const night = Math.log(start / close[before]!);
  const factor = Math.exp(Math.abs(night));
  const ratio = [1.5, Math.max(2, Math.round(factor))].reduce((a, b) => (Math.abs(Math.log(factor / b)) < Math.abs(Math.log(factor / a)) ? b : a));
  if (Math.abs(Math.log(factor / ratio)) > (knowsTrading ? RATIO_TOLERANCE : STRICT_RATIO_TOLERANCE)) return undefined;
  if (Math.abs(Math.log(close[cell]! / start)) > (knowsTrading ? DAY_MOVE : STRICT_DAY_MOVE)) return undefined;
  if (usual.returns < FEWEST_RETURNS || Math.abs(night) <= UNUSUAL_MOVE * usual.move) return undefined;
  if (knowsTrading) {
    const inShares = Math.abs(Math.log(trading / median(usual.shares)));
    const inMoney = Math.abs(Math.log((trading * close[cell]!) / median(usual.money)));
    if (Math.min(inShares, inMoney) > USUAL_TRADING) return undefined;
  }
  const [few, many] = ratio === 1.5 ? [2, 3] : [1, ratio];
  return night < 0 ? `${many}:${few}` : `${few}:${many}`;
}

/** Up to LOOK_BACK closes of the stock up to `before`: its mean absolute return, and what was traded. */
function usualDay(close: Columns["close"], volume: Columns["volume"], before: number, stocks: number): { returns: number; move: number; shares: number[]; money: number[] } {
  const shares: number[] = [];
  const money: number[] = [];
  let returns = 0;
  let sum = 0;
  let later = NaN;
  for (let cell = before, closes = 0; cell >= 0 && closes < LOOK_BACK; cell -= stocks) {
    const price = close[cell]!;
    if (price !== price) continue;
    closes++;
    if (later === later) {
      sum += Math.abs(Math.log(later / price));
      returns++;
    }
    later = price;
    const traded = volume?.[cell] ?? NaN;
    if (!(traded > 0)) continue;
    shares.push(traded);
    money.push(traded * price);
  }
  return { returns, move: sum / returns, shares, money };
}

/** How many breaks a stock has had up to each date [dates * stocks]: prices of one number can be compared. Undefined where there is none. */
export function segmentsOf({ cells }: PriceBreaks, dates: number, stocks: number): Int32Array | undefined {
  if (cells.length === 0) return undefined;
  const segments = new Int32Array(dates * stocks);
  for (const cell of cells) segments[cell] = 1;
  for (let cell = stocks; cell < segments.length; cell++) segments[cell]! += segments[cell - stocks]!;
  return segments;
}

/**
 * Lists price breaks in the ledger and warns.
 *
 * @throws AstgnnError ERR_DATA where they are to be an error
 */
export function reportPriceBreaks(
  { breaks }: PriceBreaks, file: string, { extremeReturns, onWarning }: { readonly extremeReturns: "warn" | "error" | "missing"; readonly onWarning?: ((warning: Warning) => void) | undefined }, ledger: LedgerBuilder,
): void {
  if (breaks.length === 0) return;
  const [{ ticker, date }] = breaks as [PriceBreak];
  const what = `${breaks.length === 1 ? "1 return" : `${breaks.length} returns`} of ${file} ${breaks.length === 1 ? "looks like a split, spin-off or special dividend" : "look like splits, spin-offs or special dividends"} that the prices were not adjusted for`;
  if (extremeReturns === "error") {
    throw new AstgnnError("ERR_DATA", `${what}: ${listBreaks(breaks, 5)}.`, {
      file,
      column: "close",
      date,
      option: "extremeReturns",
      next: `Adjust the prices of ${ticker}${breaks.length === 1 ? "" : " and the others"} before that date and the volumes against them, or choose "missing" or "warn" for extremeReturns.`,
    });
  }
  const missing = extremeReturns === "missing" ? "; labels and features that span one are missing" : "";
  ledger.add("clean", "split_like_return", breaks.length, "values", `returns look like a split that the prices were not adjusted for${missing}: ${listBreaks(breaks, 20)}`);
  if (extremeReturns === "warn") warn({ reason: "split_like_return", text: `${what}: ${listBreaks(breaks, 3)}. Adjust them, or make them missing (extremeReturns "missing").` }, onWarning);
}

/** "AAA 2016-03-04 (-90.0 %, 10:1), ...": the first `limit` of them. */
function listBreaks(breaks: readonly PriceBreak[], limit: number): string {
  const named = breaks.slice(0, limit).map(({ ticker, date, return: change, ratio }) => `${ticker} ${date} (${change > 0 ? "+" : ""}${(100 * change).toFixed(1)} %, ${ratio})`);
  return `${named.join(", ")}${breaks.length > limit ? ` and ${breaks.length - limit} more` : ""}`;
}
