/**
 * Eigenvalues of a symmetric matrix, ascending: Householder reflections to tridiagonal form, then the QL algorithm with implicit shifts
 * (Golub and Van Loan, Matrix Computations, sections 8.3.1 and 8.3.3). Takes about 4/3 n^3 operations.
 *
 * @param matrix [n, n], row by row; overwritten
 */
export function symmetricEigenvalues(matrix: Float64Array, n: number): Float64Array {
  const diagonal = new Float64Array(n);
  const beside = new Float64Array(n);
  const v = new Float64Array(n);
  const p = new Float64Array(n);
  for (let k = n - 1; k >= 2; k--) {
    // The row left of the diagonal is reflected onto its last entry; rows and columns from k on are done with.
    let norm = 0;
    for (let j = 0; j < k; j++) norm += (v[j] = matrix[k * n + j]!) ** 2;
    norm = Math.sqrt(norm);
    beside[k] = norm === 0 ? 0 : v[k - 1]! > 0 ? -norm : norm;
    if (norm === 0) continue;
    v[k - 1]! -= beside[k]!;
    let square = 0;
    for (let j = 0; j < k; j++) square += v[j]! * v[j]!;
    if (square === 0) continue;
    p.fill(0, 0, k);
    for (let i = 0; i < k; i++) {
      const row = i * n;
      let sum = 0;
      for (let j = 0; j < i; j++) {
        sum += matrix[row + j]! * v[j]!;
        p[j]! += matrix[row + j]! * v[i]!;
      }
      p[i]! += sum + matrix[row + i]! * v[i]!;
    }
    let overlap = 0;
    for (let i = 0; i < k; i++) overlap += p[i]! * v[i]!;
    for (let i = 0; i < k; i++) p[i] = (2 / square) * (p[i]! - (overlap / square) * v[i]!);
    for (let i = 0; i < k; i++) for (let j = 0; j <= i; j++) matrix[i * n + j]! -= v[i]! * p[j]! + p[i]! * v[j]!;
  }
  if (n > 1) beside[1] = matrix[n]!;
  for (let i = 0; i < n; i++) diagonal[i] = matrix[i * n + i]!;
  implicitQl(diagonal, beside, n);
  return diagonal.sort();
}

/** Diagonalises the tridiagonal matrix of `diagonal` and `beside` (entry i lies between i - 1 and i), in place. */
function implicitQl(diagonal: Float64Array, beside: Float64Array, n: number): void {
  for (let i = 1; i < n; i++) beside[i - 1] = beside[i]!;
  if (n > 0) beside[n - 1] = 0;
  for (let l = 0; l < n; ) {
    let m = l;
    for (; m < n - 1; m++) {
      const size = Math.abs(diagonal[m]!) + Math.abs(diagonal[m + 1]!);
      if (Math.abs(beside[m]!) <= Number.EPSILON * size) break;
    }
    if (m === l) {
      l++;
      continue;
    }
    let g = (diagonal[l + 1]! - diagonal[l]!) / (2 * beside[l]!);
    g = diagonal[m]! - diagonal[l]! + beside[l]! / (g + (g < 0 ? -1 : 1) * Math.hypot(g, 1));
    let [sine, cosine, shift] = [1, 1, 0];
    let i = m - 1;
    for (; i >= l; i--) {
      const f = sine * beside[i]!;
      const b = cosine * beside[i]!;
      const r = Math.hypot(f, g);
      beside[i + 1] = r;
      if (r === 0) {
        diagonal[i + 1]! -= shift;
        beside[m] = 0;
        break;
      }
      sine = f / r;
      cosine = g / r;
      g = diagonal[i + 1]! - shift;
      const s = (diagonal[i]! - g) * sine + 2 * cosine * b;
      shift = sine * s;
      diagonal[i + 1] = g + shift;
      g = cosine * s - b;
    }
    if (i >= l) continue;
    diagonal[l]! -= shift;
    beside[l] = g;
    beside[m] = 0;
  }
}
