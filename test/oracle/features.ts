// The ohlcv features stock by stock, in double precision: what the core's are held to, bit by bit.
/** One stock's prices, one value per panel date, NaN where missing. */
export interface PriceSeries {
  readonly open: Float64Array;
  readonly high: Float64Array;
  readonly low: Float64Array;
  readonly close: Float64Array;
  readonly volume: Float64Array;
}

/** A feature of one stock: its value on date t from dates t - reach to t, NaN where one of them lacks a field it needs. */
export interface PriceFeature {
  readonly name: string;
  /** How many dates before t it reads: earlier in the panel it is missing. */
  readonly reach: number;
  readonly needs: readonly (keyof PriceSeries)[];
  readonly at: (prices: PriceSeries, t: number) => number;
}

const change = (close: Float64Array, t: number, days: number): number => close[t]! / close[t - days]! - 1;

function mean(series: Float64Array, t: number, days: number): number {
  let sum = 0;
  for (let i = t - days + 1; i <= t; i++) sum += series[i]!;
  return sum / days;
}

function maximum(series: Float64Array, t: number, days: number): number {
  let highest = -Infinity;
  for (let i = t - days + 1; i <= t; i++) {
    const value = series[i]!;
    if (!(value > -Infinity)) return NaN;
    if (value > highest) highest = value;
  }
  return highest;
}

/** Sample standard deviation (n - 1) of the last `days` daily returns. */
function volatility(close: Float64Array, t: number, days: number): number {
  let sum = 0;
  for (let i = t - days + 1; i <= t; i++) sum += change(close, i, 1);
  const centre = sum / days;
  let squares = 0;
  for (let i = t - days + 1; i <= t; i++) squares += (change(close, i, 1) - centre) ** 2;
  return Math.sqrt(squares / (days - 1));
}

function maximumReturn(close: Float64Array, t: number, days: number): number {
  let highest = -Infinity;
  for (let i = t - days + 1; i <= t; i++) {
    const value = change(close, i, 1);
    if (!(value > -Infinity)) return NaN;
    if (value > highest) highest = value;
  }
  return highest;
}

function meanDollarVolume({ volume, close }: PriceSeries, t: number, days: number): number {
  let sum = 0;
  for (let i = t - days + 1; i <= t; i++) sum += volume[i]! * close[i]!;
  return sum / days;
}

const returnOver = (days: number): PriceFeature => ({ name: `return_${days}`, reach: days, needs: ["close"], at: ({ close }, t) => change(close, t, days) });
const closeOverMean = (days: number): PriceFeature => ({ name: `close_over_mean_${days}`, reach: days - 1, needs: ["close"], at: ({ close }, t) => close[t]! / mean(close, t, days) });
const volatilityOver = (days: number): PriceFeature => ({ name: `volatility_${days}`, reach: days, needs: ["close"], at: ({ close }, t) => volatility(close, t, days) });
const volumeOverMean = (days: number): PriceFeature => ({ name: `volume_over_mean_${days}`, reach: days - 1, needs: ["volume"], at: ({ volume }, t) => Math.log(volume[t]! / mean(volume, t, days)) });

/**
 * The set `ohlcv`: 20 features of open, high, low, close and volume known at the close of day t.
 * Every sum runs over its own look-back, never as a running total: a value depends on nothing outside its look-back, to the last bit.
 */
export const ORACLE_FEATURES: readonly PriceFeature[] = Object.freeze([
  returnOver(1),
  returnOver(5),
  returnOver(20),
  returnOver(60),
  returnOver(120),
  closeOverMean(5),
  closeOverMean(10),
  closeOverMean(20),
  closeOverMean(30),
  { name: "range", reach: 0, needs: ["high", "low", "close"], at: ({ high, low, close }, t) => (high[t]! - low[t]!) / close[t]! },
  { name: "position", reach: 0, needs: ["high", "low", "close"], at: ({ high, low, close }, t) => (high[t] === low[t] ? NaN : (close[t]! - low[t]!) / (high[t]! - low[t]!)) },
  { name: "overnight_return", reach: 1, needs: ["open", "close"], at: ({ open, close }, t) => open[t]! / close[t - 1]! - 1 },
  { name: "intraday_return", reach: 0, needs: ["open", "close"], at: ({ open, close }, t) => close[t]! / open[t]! - 1 },
  volatilityOver(5),
  volatilityOver(20),
  volumeOverMean(5),
  volumeOverMean(20),
  { name: "dollar_volume", reach: 19, needs: ["volume", "close"], at: (prices, t) => Math.log(meanDollarVolume(prices, t, 20)) },
  { name: "max_return_20", reach: 20, needs: ["close"], at: ({ close }, t) => maximumReturn(close, t, 20) },
  { name: "close_over_max_60", reach: 59, needs: ["close"], at: ({ close }, t) => close[t]! / maximum(close, t, 60) },
]);

/** Stocks handled at once: one cache line of a float32 row. */
const BLOCK = 16;

/** Writes a feature of all stocks to `out` [dates * stocks], from columns of the same layout; NaN where its look-back lies in two `segments` of the prices. */
export function computeFeature(
  feature: PriceFeature, columns: Readonly<Record<keyof PriceSeries, Float32Array | Float64Array>>, segments: Int32Array | undefined, dates: number, stocks: number, out: Float64Array,
): void {
  const { at, reach, needs } = feature;
  const tiles = Object.fromEntries(needs.map((field) => [field, new Float64Array(BLOCK * dates)])) as Record<keyof PriceSeries, Float64Array>;
  const empty = new Float64Array(0);
  const block = Array.from({ length: BLOCK }, (_, n): PriceSeries => {
    const series = (field: keyof PriceSeries): Float64Array => tiles[field]?.subarray(n * dates, (n + 1) * dates) ?? empty;
    return { open: series("open"), high: series("high"), low: series("low"), close: series("close"), volume: series("volume") };
  });
  for (let first = 0; first < stocks; first += BLOCK) {
    const count = Math.min(BLOCK, stocks - first);
    for (const field of needs) gather(columns[field], dates, stocks, first, count, tiles[field]);
    for (let n = 0; n < count; n++) {
      const prices = block[n]!;
      for (let t = 0; t < dates; t++) out[t * stocks + first + n] = t < reach ? NaN : at(prices, t);
    }
  }
  if (segments === undefined) return;
  for (let i = reach * stocks; i < out.length; i++) if (segments[i] !== segments[i - reach * stocks]) out[i] = NaN;
}

/** Turns `count` stocks of a date-major column into series, one after the other. */
function gather(column: Float32Array | Float64Array, dates: number, stocks: number, first: number, count: number, tile: Float64Array): void {
  for (let t = 0; t < dates; t++) for (let n = 0; n < count; n++) tile[n * dates + t] = column[t * stocks + first + n]!;
}
