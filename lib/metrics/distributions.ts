/**
 * Standard normal distribution function: a series of positive terms near 0, a continued fraction in the tails, so that the relative error
 * stays near 1e-15 on both sides (Abramowitz and Stegun 7.1.6 and 7.1.14).
 */
export function normalCdf(z: number): number {
  const half = complementaryError(Math.abs(z) / Math.SQRT2) / 2;
  return z > 0 ? 1 - half : half;
}

/** erfc(x) for x >= 0. */
function complementaryError(x: number): number {
  if (Number.isNaN(x)) return NaN;
  if (x < 2) {
    let term = x;
    let sum = x;
    for (let n = 1; term > sum * 1e-17; n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = x;
  for (let n = 80; n >= 1; n--) fraction = x + n / 2 / fraction;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction);
}

/**
 * Probability of a value at least as far from 0 as `t` on either side, for Student's t with `degrees` of freedom: the regularised incomplete
 * beta function I(degrees / (degrees + t^2); degrees / 2, 1 / 2). NaN where t is NaN or there are no degrees of freedom.
 */
export function studentTwoSided(t: number, degrees: number): number {
  if (Number.isNaN(t) || !(degrees > 0)) return NaN;
  if (!Number.isFinite(t)) return 0;
  return regularisedBeta(degrees / (degrees + t * t), (t * t) / (degrees + t * t), degrees / 2, 0.5);
}

/** I(x; a, b) by its continued fraction (Lentz's method), on the side where that converges fast. `rest` is 1 - x without cancellation. */
function regularisedBeta(x: number, rest: number, a: number, b: number): number {
  if (x === 0 || rest === 0) return x;
  if (x > (a + 1) / (a + b + 2)) return 1 - regularisedBeta(rest, x, b, a);
  const scale = Math.exp(a * Math.log(x) + b * Math.log(rest) + logGamma(a + b) - logGamma(a) - logGamma(b)) / a;
  let c = 1;
  let d = 1 / (1 - ((a + b) * x) / (a + 1));
  let fraction = d;
  for (let m = 1; m <= 500; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / (1 + even * d);
    c = 1 + even / c;
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + odd * d);
    c = 1 + odd / c;
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-16) break;
  }
  return scale * fraction;
}

/** ln of the gamma function for x > 0: Stirling's series, after the recurrence has made x large. */
function logGamma(x: number): number {
  let shift = 0;
  for (; x < 12; x++) shift += Math.log(x);
  const inverse = 1 / (x * x);
  const series = (1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 - inverse * (1 / 1188 - (inverse * 691) / 360360))))) / x;
  return (x - 0.5) * Math.log(x) - x + Math.log(2 * Math.PI) / 2 + series - shift;
}
