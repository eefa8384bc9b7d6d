import { z } from "zod";
import { AstgnnError, nearest } from "../errors.js";
import { resolveOptions } from "../options.js";
import type { CheckedCovariance } from "./covariance.js";
import { type ByTicker, parsedJson, textOf } from "./files.js";
import type { Row } from "./programme.js";

/** What a portfolio must keep to. Weights are shares of the capital. */
export interface Limits {
  /** No weight below 0. Default: true, unless `minWeight` names one below 0. */
  longOnly?: boolean | undefined;
  /** Of every stock, or by ticker: those not named have none. */
  maxWeight?: number | ByTicker | undefined;
  minWeight?: number | ByTicker | undefined;
  /** Most of the sum of absolute weights. */
  gross?: number | undefined;
  /** The sum of weights, or its range. Default 1. */
  net?: number | Range | undefined;
  /** Most of the sum of absolute differences from `current`. */
  turnover?: number | undefined;
  /** Sums of the weights of some tickers, named `group:<name>` in results. */
  groups?: readonly ({ name: string; tickers: readonly string[] } & Range)[] | undefined;
  /** Exposures sum w_i x_i, named `factor:<name>`: x of a factor of the risk model, or by ticker, 0 where not named. */
  factors?: readonly ({ name: string; exposures?: ByTicker | undefined } & Range)[] | undefined;
  /** Most stocks with a weight other than 0, by a heuristic. Whole, from 1. */
  maxNames?: number | undefined;
}

export interface Range {
  min?: number | undefined;
  max?: number | undefined;
}

const number = z.number().describe("a number");
const weights = z.union([number, z.record(z.string(), number)]).describe("a number or numbers by ticker");
const range = { min: number.optional(), max: number.optional() };
const name = z.string().min(1).describe("a name");

export const limitsSchema = z.strictObject({
  longOnly: z.boolean().optional().describe("true or false"),
  maxWeight: weights.optional(),
  minWeight: weights.optional(),
  gross: z.number().min(0).optional().describe("a number from 0"),
  net: z.union([number, z.strictObject(range)]).optional().describe("a number or { min, max }"),
  turnover: z.number().min(0).optional().describe("a number from 0"),
  groups: z.array(z.strictObject({ name, tickers: z.array(z.string()).min(1).describe("a list of tickers"), ...range })).optional().describe("a list of { name, tickers, min, max }"),
  factors: z.array(z.strictObject({ name, exposures: z.record(z.string(), number).optional().describe("numbers by ticker"), ...range })).optional().describe("a list of { name, exposures, min, max }"),
  maxNames: z.int().min(1).optional().describe("a whole number from 1"),
});

/** Limits of a JSON file, checked. */
export async function readLimits(file: string): Promise<Limits> {
  try {
    return resolveOptions(limitsSchema, parsedJson(await textOf(file, "limits"), file, "limits"), "limits");
  } catch (error) {
    if (!(error instanceof AstgnnError) || error.file !== undefined) throw error;
    throw new AstgnnError("ERR_DATA", `${file}: ${error.message}`, { file, option: error.option === undefined || error.option === "limits" ? "limits" : `limits.${error.option}`, cause: error });
  }
}

/** The variables of a portfolio: weights w first, then what the limits need beside them. */
export interface LimitRows {
  readonly variables: number;
  readonly rows: readonly Row[];
  /** First of the variables |w_i - current_i|, where there are any. */
  readonly traded: number | undefined;
}

/**
 * Limits as rows over the weights and further variables from `first` on.
 *
 * @param current [stocks], 0 where nothing is held; undefined where it was not given
 * @param trades whether |w - current| is needed whatever the limits say: costs
 * @throws AstgnnError ERR_DATA or ERR_OPTION naming limit, ticker and file
 */
export function limitRows(limits: Limits, covariance: CheckedCovariance, first: number, current: Float64Array | undefined, trades: boolean, file: string | undefined): LimitRows {
  const { tickers } = covariance;
  const n = tickers.length;
  const where = (option: string) => ({ option: `limits.${option}`, ...(file === undefined ? {} : { file }) });
  const rowOf = (ticker: string, option: string): number => {
    const row = covariance.rows.get(ticker);
    if (row !== undefined) return row;
    const near = nearest(ticker, tickers);
    throw new AstgnnError("ERR_DATA", `limits.${option} names ${ticker}, which the covariance does not have.`, { ...where(option), next: near === undefined ? "Leave it out, or take a covariance that has it." : `Did you mean ${near}?` });
  };
  const rows: Row[] = [];
  let variables = first;
  const all = Int32Array.from({ length: n }, (_, i) => i);
  const bounded = (limit: string, columns: ArrayLike<number>, values: ArrayLike<number>, { min, max }: Range, ticker?: string): void => {
    if (min !== undefined && max !== undefined && min > max) throw new AstgnnError("ERR_OPTION", `The least of ${limit}, ${min}, is above its most, ${max}.`, { option: "limits", ...(file === undefined ? {} : { file }), next: "Swap them." });
    if (min !== undefined && min === max) rows.push({ limit, bound: "equal", ticker, columns, values, rhs: max });
    else {
      if (max !== undefined) rows.push({ limit, bound: "max", ticker, columns, values, rhs: max });
      if (min !== undefined) rows.push({ limit, bound: "min", ticker, columns, values: Float64Array.from(values, (value) => -value), rhs: -min });
    }
  };
  const each = (limit: "maxWeight" | "minWeight", side: "max" | "min"): void => {
    const written = limits[limit];
    if (written === undefined) return;
    const entries: [number, number][] = typeof written === "number" ? tickers.map((_, i) => [i, written]) : Object.entries(written).map(([ticker, value]) => [rowOf(ticker, limit), value]);
    for (const [i, value] of entries) bounded(limit, [i], [1], { [side]: value }, tickers[i]);
  };
  const { net = 1 } = limits;
  bounded("net", all, new Float64Array(n).fill(1), typeof net === "number" ? { min: net, max: net } : net);
  if (isLongOnly(limits)) for (let i = 0; i < n; i++) bounded("longOnly", [i], [1], { min: 0 }, tickers[i]);
  each("minWeight", "min");
  each("maxWeight", "max");
  /** Variables of the absolute values |w_i - from_i|; their first. */
  const absolutes = (from: Float64Array | undefined): number => {
    const at = variables;
    variables += n;
    for (let i = 0; i < n; i++) {
      rows.push({ limit: undefined, bound: "max", columns: [i, at + i], values: [1, -1], rhs: from?.[i] ?? 0 });
      rows.push({ limit: undefined, bound: "max", columns: [i, at + i], values: [-1, -1], rhs: -(from?.[i] ?? 0) });
    }
    return at;
  };
  if (limits.gross !== undefined) {
    const at = absolutes(undefined);
    bounded("gross", all.map((i) => at + i), new Float64Array(n).fill(1), { max: limits.gross });
  }
  if (limits.turnover !== undefined && current === undefined) throw new AstgnnError("ERR_OPTION", "limits.turnover counts from weights that are held now, and none are given.", { ...where("turnover"), next: "Give current, or leave turnover out." });
  let traded: number | undefined;
  if (limits.turnover !== undefined || trades) {
    traded = absolutes(current);
    const at = traded;
    if (limits.turnover !== undefined) bounded("turnover", all.map((i) => at + i), new Float64Array(n).fill(1), { max: limits.turnover });
  }
  const seen = new Set<string>();
  const once = (limit: string): string => {
    if (seen.has(limit)) throw new AstgnnError("ERR_OPTION", `${limit} is there twice.`, { option: "limits", ...(file === undefined ? {} : { file }), next: "Give each its own name." });
    seen.add(limit);
    return limit;
  };
  for (const group of limits.groups ?? []) {
    const columns = group.tickers.map((ticker) => rowOf(ticker, `groups.${group.name}`));
    if (new Set(columns).size < columns.length) throw new AstgnnError("ERR_DATA", `The group ${group.name} names ${group.tickers.find((ticker, i) => group.tickers.indexOf(ticker) < i)} twice.`, where("groups"));
    bounded(once(`group:${group.name}`), columns, columns.map(() => 1), group);
  }
  for (const factor of limits.factors ?? []) {
    const limit = once(`factor:${factor.name}`);
    const exposures = factorExposures(factor, covariance, rowOf, where("factors"));
    // A variable of its own, so that both bounds share one long row.
    const at = variables++;
    rows.push({ limit: undefined, bound: "equal", columns: [...all, at], values: [...exposures, -1], rhs: 0 });
    bounded(limit, [at], [1], factor);
  }
  return { variables, rows, traded };
}

export function isLongOnly({ longOnly, minWeight }: Limits): boolean {
  if (longOnly !== undefined) return longOnly;
  const least = typeof minWeight === "number" ? [minWeight] : Object.values(minWeight ?? {});
  return !least.some((value) => value < 0);
}

function factorExposures({ name: factor, exposures: written }: { name: string; exposures?: ByTicker | undefined }, { factors, tickers }: CheckedCovariance, rowOf: (ticker: string, option: string) => number, where: object): Float64Array {
  const exposures = new Float64Array(tickers.length);
  if (written !== undefined) {
    for (const [ticker, value] of Object.entries(written)) exposures[rowOf(ticker, `factors.${factor}`)] = value;
    return exposures;
  }
  const at = factors?.names.indexOf(factor) ?? -1;
  if (at < 0) {
    const near = factors === undefined ? undefined : nearest(factor, factors.names);
    const what = factors === undefined ? "a matrix has no factors" : `the risk model has no factor ${factor}`;
    throw new AstgnnError("ERR_OPTION", `limits.factors names ${factor}, and ${what}.`, { ...where, next: near === undefined ? "Give its exposures by ticker." : `Did you mean ${near}?` });
  }
  const width = factors!.names.length;
  return exposures.map((_, i) => factors!.exposures[i * width + at]!);
}
