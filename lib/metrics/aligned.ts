import type { PanelValues } from "../data/types.js";
import { AstgnnError, show } from "../errors.js";

/** Values per (date, stock): the third entry of the shape, 1 where there is none. */
export function widthOf(values: PanelValues): number {
  return values.shape[2] ?? 1;
}

/**
 * Checks that `values` are what their shape says: [dates, stocks] or [dates, stocks, width], one name per date and stock.
 *
 * @throws AstgnnError ERR_SHAPE
 */
export function checkPanelValues(values: PanelValues, name: string): void {
  const { data, shape, dates, tickers } = values ?? {};
  if (!(data instanceof Float32Array || data instanceof Float64Array) || !Array.isArray(shape) || ![dates, tickers].every((names: unknown) => Array.isArray(names) && names.every((name) => typeof name === "string"))) {
    throw new AstgnnError("ERR_SHAPE", `Expected { data, shape, dates, tickers } for ${name}.`, { next: "Pass what predict returned or a split's labels." });
  }
  if (shape.length < 2 || shape.length > 3 || shape.some((n) => !Number.isInteger(n) || n < 0)) {
    throw new AstgnnError("ERR_SHAPE", `Expected shape [dates, stocks] or [dates, stocks, width] for ${name} but received [${shape.map(show).join(", ")}].`);
  }
  const expected = shape.reduce((product, n) => product * n, 1);
  if (data.length !== expected || dates.length !== shape[0] || tickers.length !== shape[1]) {
    throw new AstgnnError(
      "ERR_SHAPE",
      `${name} has shape [${shape.map(show).join(", ")}] but ${data.length} values, ${dates.length} dates and ${tickers.length} tickers.`,
    );
  }
}

/**
 * Checks that `other` has the dates and tickers of `values`, in the same order: a shifted panel gives a wrong number that looks right.
 *
 * @throws AstgnnError ERR_SHAPE naming the first date or ticker that differs
 */
export function checkAligned(values: PanelValues, name: string, other: PanelValues, otherName: string): void {
  for (const [axis, word] of [[0, "dates"], [1, "tickers"]] as const) {
    if (values.shape[axis] !== other.shape[axis]) {
      throw new AstgnnError("ERR_SHAPE", `${name} has ${values.shape[axis]} ${word} but ${otherName} has ${other.shape[axis]}.`, { next: "Pass both for the same split." });
    }
    const at = values[word].findIndex((label, i) => label !== other[word][i]);
    if (at >= 0) {
      throw new AstgnnError(
        "ERR_SHAPE",
        `${word[0]!.toUpperCase()}${word.slice(1, -1)} ${at + 1} is ${values[word][at]} in ${name} but ${other[word][at]} in ${otherName}.`,
        { next: "Pass both for the same split.", ...(axis === 0 ? { date: values.dates[at]! } : {}) },
      );
    }
  }
}

/**
 * Checks that no value is infinite.
 *
 * @throws AstgnnError ERR_DATA naming date and ticker
 */
export function refuseInfinite({ data, dates, tickers }: PanelValues, what: string): void {
  const at = data.findIndex((value) => value === Infinity || value === -Infinity);
  if (at < 0) return;
  const perDate = data.length / dates.length;
  const [date, ticker] = [dates[Math.floor(at / perDate)]!, tickers[Math.floor(((at % perDate) * tickers.length) / perDate)]!];
  throw new AstgnnError("ERR_DATA", `An infinite ${what} for ${ticker} on ${date}.`, { date, next: "Remove it or set it to NaN." });
}
