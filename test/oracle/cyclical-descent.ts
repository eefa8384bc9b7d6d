/**
 * Risk budgets coordinate by coordinate (Griveau-Billion, Richard and Roncalli 2013, A fast algorithm for computing high-dimensional risk parity
 * portfolios): x_i is the positive root of S_ii x² + (sum over j != i of S_ij x_j) x - b_i. For comparison with lib/portfolio/risk-budgets.ts.
 */
export function cyclicalDescent(covariance: Float64Array, n: number, budgets: Float64Array, sweeps = 2000): Float64Array {
  const x = Float64Array.from({ length: n }, (_, i) => Math.sqrt(budgets[i]! / covariance[i * n + i]!));
  for (let sweep = 0; sweep < sweeps; sweep++) {
    let moved = 0;
    for (let i = 0; i < n; i++) {
      let others = 0;
      for (let j = 0; j < n; j++) if (j !== i) others += covariance[i * n + j]! * x[j]!;
      const own = covariance[i * n + i]!;
      const root = Math.sqrt(others * others + 4 * own * budgets[i]!);
      // The form that subtracts nothing of equal size.
      const next = others > 0 ? (2 * budgets[i]!) / (others + root) : (root - others) / (2 * own);
      moved = Math.max(moved, Math.abs(next / x[i]! - 1));
      x[i] = next;
    }
    if (moved < 1e-15) break;
  }
  const sum = x.reduce((total, value) => total + value, 0);
  return x.map((value) => value / sum);
}
