// Medians, spreads and exponents. Pure.

/** Linear interpolation between order statistics, as numpy's default. */
export function quantile(values, share) {
  if (values.length === 0) throw new RangeError("no values");
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

export const median = (values) => quantile(values, 0.5);

/** @returns {{ median: number, q1: number, q3: number, min: number, max: number, count: number }} */
export function summary(values) {
  return { median: median(values), q1: quantile(values, 0.25), q3: quantile(values, 0.75), min: Math.min(...values), max: Math.max(...values), count: values.length };
}

/** Least squares of log y on log x: y ~ factor * x^exponent. */
export function fitExponent(points) {
  if (points.length < 2) return undefined;
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)]);
  const mean = (k) => logs.reduce((sum, point) => sum + point[k], 0) / logs.length;
  const [mx, my] = [mean(0), mean(1)];
  const exponent = logs.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0) / logs.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
  return { exponent, factor: Math.exp(my - exponent * mx) };
}

/** Exponent between neighbouring points: one less than there are points. */
export function localExponents(points) {
  return points.slice(1).map(([x, y], i) => Math.log(y / points[i][1]) / Math.log(x / points[i][0]));
}

/** Element-wise ratio of two series of the same rounds, summarised: what alternating buys over a ratio of medians. */
export function pairedRatio(theirs, ours) {
  if (theirs.length !== ours.length) throw new RangeError("rounds differ");
  return summary(theirs.map((value, round) => value / ours[round]));
}
