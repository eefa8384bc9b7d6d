/** Small dense matrices, row by row in a Float64Array. */

/**
 * Cholesky factor L of a symmetric positive definite matrix [n, n]: L L' = matrix, in its lower half and diagonal, in place. Returns the row at which
 * the matrix turned out not to be positive definite, or -1.
 */
export function cholesky(matrix: Float64Array, n: number): number {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i * n + j]!;
      for (let k = 0; k < j; k++) sum -= matrix[i * n + k]! * matrix[j * n + k]!;
      if (i > j) matrix[i * n + j] = sum / matrix[j * n + j]!;
      else if (sum > 0) matrix[i * n + i] = Math.sqrt(sum);
      else return i;
    }
  }
  return -1;
}

/** Solves L L' x = b in place; row i of L begins at i * stride. */
export function solveCholesky(factor: Float64Array, n: number, b: Float64Array, stride = n): void {
  for (let i = 0; i < n; i++) {
    let sum = b[i]!;
    for (let k = 0; k < i; k++) sum -= factor[i * stride + k]! * b[k]!;
    b[i] = sum / factor[i * stride + i]!;
  }
  for (let i = n - 1; i >= 0; i--) {
    let sum = b[i]!;
    for (let k = i + 1; k < n; k++) sum -= factor[k * stride + i]! * b[k]!;
    b[i] = sum / factor[i * stride + i]!;
  }
}

/** Eigenvalues, largest first, and their vectors as rows. */
export interface Eigen {
  readonly values: Float64Array;
  /** [n, n]: row k is the vector of value k, its largest entry positive. */
  readonly vectors: Float64Array;
}

/** Eigenvalues and vectors of a symmetric matrix [n, n] by cyclic Jacobi rotations (Golub and Van Loan, Matrix Computations, section 8.5). */
export function symmetricEigen(matrix: Float64Array, n: number): Eigen {
  const a = Float64Array.from(matrix);
  const v = new Float64Array(n * n);
  for (let i = 0; i < n; i++) v[i * (n + 1)] = 1;
  let scale = 0;
  for (const value of a) scale += value * value;
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) off += a[i * n + j]! ** 2;
    if (!(off > scale * 1e-30)) break;
    for (let p = 0; p < n - 1; p++) for (let q = p + 1; q < n; q++) rotate(a, v, n, p, q);
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[j * (n + 1)]! - a[i * (n + 1)]! || i - j);
  const vectors = new Float64Array(n * n);
  for (const [k, from] of order.entries()) {
    let top = 0;
    for (let i = 0; i < n; i++) if (Math.abs(v[from * n + i]!) > Math.abs(top)) top = v[from * n + i]!;
    for (let i = 0; i < n; i++) vectors[k * n + i] = top < 0 ? -v[from * n + i]! : v[from * n + i]!;
  }
  return { values: Float64Array.from(order, (i) => a[i * (n + 1)]!), vectors };
}

/** Rotates entry (p, q) away; rows of v collect the rotations. */
function rotate(a: Float64Array, v: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q]!;
  const [app, aqq] = [a[p * (n + 1)]!, a[q * (n + 1)]!];
  if (Math.abs(apq) <= 1e-18 * Math.sqrt(Math.abs(app * aqq))) {
    a[p * n + q] = a[q * n + p] = 0;
    return;
  }
  const theta = (aqq - app) / (2 * apq);
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  const [P, Q] = [p * n, q * n];
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[P + i]!, a[Q + i]!];
    a[P + i] = c * x - s * y;
    a[Q + i] = s * x + c * y;
    const [vx, vy] = [v[P + i]!, v[Q + i]!];
    v[P + i] = c * vx - s * vy;
    v[Q + i] = s * vx + c * vy;
  }
  // The columns are those of the rows by symmetry; the 2 x 2 block is known.
  for (let i = 0; i < n; i++) {
    if (i === p || i === q) continue;
    a[i * n + p] = a[P + i]!;
    a[i * n + q] = a[Q + i]!;
  }
  a[P + p] = app - t * apq;
  a[Q + q] = aqq + t * apq;
  a[P + q] = a[Q + p] = 0;
}

/** A B A' for A [m, n] and symmetric B [n, n]. */
export function congruence(a: Float64Array, b: Float64Array, m: number, n: number): Float64Array {
  const left = multiply(a, b, m, n, n);
  const out = new Float64Array(m * m);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += left[i * n + k]! * a[j * n + k]!;
      out[i * m + j] = out[j * m + i] = sum;
    }
  }
  return out;
}

/** A B for A [m, n] and B [n, p]. */
export function multiply(a: Float64Array, b: Float64Array, m: number, n: number, p: number): Float64Array {
  const out = new Float64Array(m * p);
  for (let i = 0; i < m; i++) {
    for (let k = 0; k < n; k++) {
      const value = a[i * n + k]!;
      if (value === 0) continue;
      for (let j = 0; j < p; j++) out[i * p + j]! += value * b[k * p + j]!;
    }
  }
  return out;
}

/** A x for A [m, n]; four rows at a time, for one sum waits for itself. */
export function timesVector(a: Float64Array, m: number, n: number, x: Float64Array): Float64Array {
  const out = new Float64Array(m);
  let i = 0;
  for (; i + 3 < m; i += 4) {
    const [first, second, third, fourth] = [i * n, (i + 1) * n, (i + 2) * n, (i + 3) * n];
    let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
    for (let k = 0; k < n; k++) {
      const value = x[k]!;
      sum0 += a[first + k]! * value;
      sum1 += a[second + k]! * value;
      sum2 += a[third + k]! * value;
      sum3 += a[fourth + k]! * value;
    }
    out[i] = sum0;
    out[i + 1] = sum1;
    out[i + 2] = sum2;
    out[i + 3] = sum3;
  }
  for (; i < m; i++) {
    let sum = 0;
    for (let k = 0; k < n; k++) sum += a[i * n + k]! * x[k]!;
    out[i] = sum;
  }
  return out;
}

/** A' x for A [m, n], four rows at a time. */
export function timesTransposed(a: Float64Array, m: number, n: number, x: Float64Array): Float64Array {
  const out = new Float64Array(n);
  let i = 0;
  for (; i + 3 < m; i += 4) {
    const [first, second, third, fourth] = [i * n, (i + 1) * n, (i + 2) * n, (i + 3) * n];
    const [x0, x1, x2, x3] = [x[i]!, x[i + 1]!, x[i + 2]!, x[i + 3]!];
    for (let k = 0; k < n; k++) out[k]! += a[first + k]! * x0 + a[second + k]! * x1 + a[third + k]! * x2 + a[fourth + k]! * x3;
  }
  for (; i < m; i++) for (let k = 0; k < n; k++) out[k]! += a[i * n + k]! * x[i]!;
  return out;
}
