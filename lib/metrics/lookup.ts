import type { PanelValues } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { checkPanelValues, refuseInfinite, widthOf } from "./aligned.js";

/** Another panel's values [dates, stocks], found by the dates and tickers of the predictions. */
export class Lookup {
  readonly data: Float32Array | Float64Array;
  /** Values per date. */
  readonly width: number;
  readonly dates: readonly string[];
  /** Row of each prediction date, -1 where there is none. */
  readonly rows: Int32Array;
  /** Column of each stock, -1 where there is none. */
  readonly columns: Int32Array;
  /** Whether the columns are the stocks, one by one. */
  readonly #isAligned: boolean;

  /** @throws AstgnnError ERR_SHAPE where it is no panel of one value per stock, ERR_DATA for an infinite value and where it shares no date or no ticker */
  constructor(values: PanelValues, name: string, dates: readonly string[], tickers: readonly string[]) {
    checkPanelValues(values, name);
    if (widthOf(values) !== 1) throw new AstgnnError("ERR_SHAPE", `Expected one value per date and stock for ${name} but received ${widthOf(values)}.`);
    refuseInfinite(values, `value of ${name}`);
    this.data = values.data;
    this.width = values.tickers.length;
    this.dates = values.dates;
    this.rows = indicesOf(dates, values.dates);
    this.columns = indicesOf(tickers, values.tickers);
    this.#isAligned = this.columns.every((column, n) => column === n);
    for (const [found, what] of [[this.rows, "date"], [this.columns, "ticker"]] as const) {
      if (found.length > 0 && found.every((index) => index < 0)) {
        throw new AstgnnError("ERR_DATA", `${name} has no ${what} of the predictions.`, { next: "Pass values of the same market, with dates as YYYY-MM-DD." });
      }
    }
  }

  /** Writes the values of row `row`, one per stock of the predictions; NaN outside. */
  read(row: number, out: Float64Array, offset = 0): void {
    const stocks = this.columns.length;
    if (row < 0 || row >= this.dates.length) {
      out.fill(NaN, offset, offset + stocks);
      return;
    }
    const begin = row * this.width;
    if (this.#isAligned) {
      out.set(this.data.subarray(begin, begin + stocks), offset);
      return;
    }
    for (let n = 0; n < stocks; n++) {
      const column = this.columns[n]!;
      out[offset + n] = column >= 0 ? this.data[begin + column]! : NaN;
    }
  }
}

function indicesOf(wanted: readonly string[], all: readonly string[]): Int32Array {
  const index = new Map(all.map((name, i) => [name, i]));
  return Int32Array.from(wanted, (name) => index.get(name) ?? -1);
}
