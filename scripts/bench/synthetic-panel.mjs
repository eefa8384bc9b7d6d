// A panel of noise with every stock on every date: time does not depend on the values, and the peer's input is noise too. Pure.

/** Standard normal values from a seed (mulberry32, Box-Muller). */
export function normalValues(length, seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
  const values = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < length) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}

/** As many dates as B windows need, and `after` more; the B after the first window have rows. `features` [dates, N, F] replaces the noise. */
export function syntheticPanel({ n, t, f, b, after = 0 }, features) {
  const dates = t + b - 1 + after;
  const rowOffsets = Int32Array.from({ length: dates + 1 }, (_, date) => Math.min(b, Math.max(0, date - (t - 1))) * n);
  return {
    dates,
    stocks: n,
    featureCount: f,
    window: t,
    features: features ?? normalValues(dates * n * f, 1),
    rowOffsets,
    rowStocks: Int32Array.from({ length: b * n }, (_, row) => row % n),
    horizons: 1,
    targets: normalValues(dates * n, 2),
    returns: normalValues(dates * n, 3).map((value) => 0.02 * value),
    returnEnds: new Int32Array(dates).fill(dates - 1),
    graph: "complete",
  };
}

/** The dates of one step. */
export const stepDates = ({ t, b }) => Int32Array.from({ length: b }, (_, i) => t - 1 + i);
