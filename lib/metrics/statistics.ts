/** Arithmetic mean; NaN for no values. */
export function mean(values: readonly number[] | Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** Mean, sample standard deviation (ddof 1) and standard error of the mean. NaN where there are too few values. */
export function summary(values: readonly number[] | Float64Array): { mean: number; deviation: number; standardError: number } {
  const centre = mean(values);
  let squares = 0;
  for (const value of values) squares += (value - centre) ** 2;
  const deviation = values.length < 2 ? NaN : Math.sqrt(squares / (values.length - 1));
  return { mean: centre, deviation, standardError: deviation / Math.sqrt(values.length) };
}

/** Pearson correlation of the first `count` values; 0 where either side is constant. */
export function pearson(a: Float64Array, b: Float64Array, count = a.length): number {
  let sumA = 0;
  let sumB = 0;
  // A mean of equal numbers need not equal them, so constancy is decided before rounding can hide it.
  let isConstantA = true;
  let isConstantB = true;
  const [firstA, firstB] = [a[0], b[0]];
  for (let i = 0; i < count; i++) {
    const x = a[i]!;
    const y = b[i]!;
    sumA += x;
    sumB += y;
    if (x !== firstA) isConstantA = false;
    if (y !== firstB) isConstantB = false;
  }
  if (isConstantA || isConstantB) return 0;
  const meanA = sumA / count;
  const meanB = sumB / count;
  let product = 0;
  let squareA = 0;
  let squareB = 0;
  for (let i = 0; i < count; i++) {
    const x = a[i]! - meanA;
    const y = b[i]! - meanB;
    product += x * y;
    squareA += x * x;
    squareB += y * y;
  }
  const norm = Math.sqrt(squareA) * Math.sqrt(squareB);
  return norm > 0 ? product / norm : 0;
}
