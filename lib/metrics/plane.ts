import type { PanelValues } from "../data/types.js";
import { widthOf } from "./aligned.js";
import type { DateRows } from "./ranked-dates.js";

/** One prediction or horizon as [dates, stocks], its stocks in the order of `columns`; not a copy where nothing changes. */
export function planeOf(values: PanelValues, k: number, columns?: Int32Array): DateRows {
  const width = widthOf(values);
  if (width === 1 && columns === undefined) return values.data;
  const stocks = values.tickers.length;
  const data = new Float64Array(values.dates.length * stocks);
  for (let t = 0; t < values.dates.length; t++) for (let n = 0; n < stocks; n++) data[t * stocks + n] = values.data[(t * stocks + (columns?.[n] ?? n)) * width + k]!;
  return data;
}
