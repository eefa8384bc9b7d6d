/** Arithmetic mean; NaN for no values. */
export function mean(values: readonly number[] | Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** Median: the mean of the two in the middle where their number is even; NaN for no values. */
export function median(values: Float64Array): number {
  const sorted = Float64Array.from(values).sort();
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Mean, sample standard deviation (ddof 1) and standard error of the mean. NaN where there are too few values. */
export function summary(values: readonly number[] | Float64Array): { mean: number; deviation: number; standardError: number } {
  const centre = mean(values);
  let squares = 0;
  for (const value of values) squares += (value - centre) ** 2;
  const deviation = values.length < 2 ? NaN : Math.sqrt(squares / (values.length - 1));
  return { mean: centre, deviation, standardError: deviation / Math.sqrt(values.length) };
}

/** Whether all values are equal. */
export function isConstant(values: Float64Array): boolean {
  return values.every((value) => value === values[0]);
}

/** Pearson correlation of the first `count` values; 0 where either side is constant. */
export function pearson(a: Float64Array, b: Float64Array, count = a.length): number {
  let [sumA, sumB] = [0, 0];
  // A mean of equal numbers need not equal them, so constancy is decided before rounding can hide it.
  let [isConstantA, isConstantB] = [true, true];
  for (let i = 0; i < count; i++) {
    sumA += a[i]!;
    sumB += b[i]!;
    isConstantA &&= a[i] === a[0];
    isConstantB &&= b[i] === b[0];
  }
  if (isConstantA || isConstantB) return 0;
  const [meanA, meanB] = [sumA / count, sumB / count];
  let [product, squareA, squareB] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const [x, y] = [a[i]! - meanA, b[i]! - meanB];
    product += x * y;
    squareA += x * x;
    squareB += y * y;
  }
  const norm = Math.sqrt(squareA) * Math.sqrt(squareB);
  return norm > 0 ? product / norm : 0;
}
