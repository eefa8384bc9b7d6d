// Times of a step's parts on one core as functions of the number of stocks, fitted to a few of them. Pure.

/** What a part's time grows with. */
const GROWTH = {
  gruForward: [0, 1], gruBackward: [0, 1], attentionForward: [0, 1], attentionBackward: [0, 1],
  similarityForward: [1, 2], similarityBackward: [1, 2], rest: [0, 1], serial: [0], predict: [1, 2],
};

/** Coefficients of powers of n, none below 0, by least squares of relative errors. */
export function fitPowers(points, powers) {
  const solve = (own) => {
    const rows = points.map(({ n, ms }) => own.map((power) => n ** power / ms));
    const a = own.map((_, i) => own.map((__, j) => rows.reduce((sum, row) => sum + row[i] * row[j], 0)));
    const b = own.map((_, i) => rows.reduce((sum, row) => sum + row[i], 0));
    for (let i = 0; i < own.length; i++) {
      for (let k = 0; k < own.length; k++) {
        if (k === i) continue;
        const factor = a[k][i] / a[i][i];
        for (let j = 0; j < own.length; j++) a[k][j] -= factor * a[i][j];
        b[k] -= factor * b[i];
      }
    }
    return b.map((value, i) => value / a[i][i]);
  };
  let own = [...powers];
  for (;;) {
    const found = solve(own);
    const worst = found.indexOf(Math.min(...found));
    if (own.length === 1 || found[worst] >= 0) return Object.fromEntries(own.map((power, i) => [power, Math.max(0, found[i])]));
    own = own.filter((_, i) => i !== worst);
  }
}

const valueAt = (fitted, n) => Object.entries(fitted).reduce((sum, [power, factor]) => sum + factor * n ** Number(power), 0);

/** Fits every part of what measure.mjs found. */
export function fitParts(measured) {
  return Object.fromEntries(Object.entries(GROWTH).map(([part, powers]) => [part, fitPowers(measured.map(({ n, parts }) => ({ n, ms: Math.max(1e-4, parts[part]) })), powers)]));
}

/** Milliseconds of each part of a date's step with n stocks, on one core. */
export function partsAt(fitted, n) {
  return Object.fromEntries(Object.entries(fitted).map(([part, own]) => [part, valueAt(own, n)]));
}
