import type { Panel } from "../data/panel.js";
import type { PanelValues } from "../data/types.js";
import type { GroupValues, StudyOptions } from "../metrics/study.js";
import { requireObject, requireTexts } from "../options.js";
import { requirePanel } from "../data/given.js";

/** Dates over which a stock's size is averaged. */
const SIZE_DATES = 20;

/** What {@link evaluate} takes from the market besides labels. */
export type MarketOptions = Pick<StudyOptions, "closes" | "groups" | "sizes" | "exposures">;

/**
 * Closes, groups and sizes of a panel for the predictions of some of its dates and tickers: options of {@link evaluate}. Sizes are the mean of close x volume
 * over the 20 panel dates up to the prediction's own, where the panel has both columns.
 *
 * @param exposures numeric columns of the panel that count as known properties of stocks. Default none.
 * @example
 * evaluate(predictions, dataset.test.labels, marketOf(panel, predictions));
 * @throws AstgnnError ERR_DATA where the panel has no such column
 */
export function marketOf(panel: Panel, of: Pick<PanelValues, "dates" | "tickers">, options: { exposures?: readonly string[] | undefined } = {}): MarketOptions {
  requireObject(options, "options", "{ exposures? }");
  const { exposures = [] } = options;
  requirePanel(panel);
  requireObject(of, "of", "{ dates, tickers }");
  const { dates, tickers } = of;
  requireTexts(dates, "dates", "dates as YYYY-MM-DD");
  requireTexts(tickers, "tickers", "a list of tickers");
  requireTexts(exposures, "exposures", "columns of the panel");
  const column = (name: string): PanelValues => ({ data: panel.values(name), shape: [panel.dates.length, panel.tickers.length], dates: panel.dates, tickers: panel.tickers });
  return {
    ...(panel.has("close") ? { closes: { ...column("close"), data: unbroken(panel) } } : {}),
    ...(panel.groups === undefined ? {} : { groups: groupsOf(panel, panel.groups, dates, tickers) }),
    ...(panel.has("close") && panel.has("volume") ? { sizes: sizesOf(panel, dates) } : {}),
    ...(exposures.length === 0 ? {} : { exposures: Object.fromEntries(exposures.map((name) => [name, column(name)])) }),
  };
}

/** Closes of which none is compared across a price break that was made missing: after it they go on from the close before, as if nothing had been earned. */
function unbroken(panel: Panel): Float32Array | Float64Array {
  const [close, segments, stocks] = [panel.values("close"), panel.segments, panel.tickers.length];
  if (segments === undefined) return close;
  const chained = new Float64Array(close.length).fill(NaN);
  for (let n = 0; n < stocks; n++) {
    let [factor, last, segment] = [1, NaN, segments[n]!];
    for (let i = n; i < close.length; i += stocks) {
      const value = close[i]!;
      if (Number.isNaN(value)) continue;
      if (segments[i] !== segment && !Number.isNaN(last)) factor = last / value;
      segment = segments[i]!;
      last = chained[i] = value * factor;
    }
  }
  return chained;
}

function groupsOf(panel: Panel, { codes: all, names }: GroupValues, dates: readonly string[], tickers: readonly string[]): GroupValues {
  const [rows, columns] = [indicesOf(dates, panel.dates), indicesOf(tickers, panel.tickers)];
  const codes = new Int32Array(dates.length * tickers.length).fill(-1);
  for (const [t, row] of rows.entries()) {
    if (row < 0) continue;
    for (const [n, stock] of columns.entries()) if (stock >= 0) codes[t * tickers.length + n] = all[row * panel.tickers.length + stock]!;
  }
  return { codes, names };
}

function sizesOf(panel: Panel, dates: readonly string[]): PanelValues {
  const [close, volume, stocks] = [panel.values("close"), panel.values("volume"), panel.tickers.length];
  const data = new Float32Array(dates.length * stocks).fill(NaN);
  for (const [t, row] of indicesOf(dates, panel.dates).entries()) {
    if (row < 0) continue;
    for (let n = 0; n < stocks; n++) {
      let [sum, traded] = [0, 0];
      for (let d = Math.max(0, row - SIZE_DATES + 1); d <= row; d++) {
        const value = close[d * stocks + n]! * volume[d * stocks + n]!;
        if (Number.isNaN(value)) continue;
        sum += value;
        traded++;
      }
      if (traded > 0) data[t * stocks + n] = sum / traded;
    }
  }
  return { data, shape: [dates.length, stocks], dates, tickers: panel.tickers };
}

function indicesOf(wanted: readonly string[], all: readonly string[]): Int32Array {
  const index = new Map(all.map((name, i) => [name, i]));
  return Int32Array.from(wanted, (name) => index.get(name) ?? -1);
}
