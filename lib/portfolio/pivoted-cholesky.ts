/**
 * Cholesky with the largest remaining pivot first, which ends where none is above `tolerance`: S = L L' + remainder.
 *
 * @param matrix [n, n], symmetric
 * @returns `factor` L [n, rank] in the order of S; `order` of the pivots, the first `rank` of them taken; `remainder`, the largest absolute entry left
 */
export function pivotedCholesky(matrix: Float64Array, n: number, tolerance: number): { factor: Float64Array; rank: number; order: Int32Array; remainder: number } {
  const left = matrix.slice();
  const order = Int32Array.from({ length: n }, (_, i) => i);
  const columns: Float64Array[] = [];
  let rank = 0;
  for (; rank < n; rank++) {
    let at = rank;
    for (let i = rank + 1; i < n; i++) if (left[order[i]! * (n + 1)]! > left[order[at]! * (n + 1)]!) at = i;
    const pivot = order[at]!;
    const value = left[pivot * (n + 1)]!;
    if (!(value > tolerance)) break;
    order[at] = order[rank]!;
    order[rank] = pivot;
    const root = Math.sqrt(value);
    const column = new Float64Array(n);
    column[pivot] = root;
    for (let i = rank + 1; i < n; i++) column[order[i]!] = left[order[i]! * n + pivot]! / root;
    for (let i = rank + 1; i < n; i++) {
      const [row, scale] = [order[i]! * n, column[order[i]!]!];
      if (scale === 0) continue;
      for (let j = 0; j < n; j++) left[row + j]! -= scale * column[j]!;
    }
    columns.push(column);
  }
  let remainder = 0;
  for (let i = rank; i < n; i++) for (let j = rank; j < n; j++) remainder = Math.max(remainder, Math.abs(left[order[i]! * n + order[j]!]!));
  const factor = new Float64Array(n * rank);
  for (let r = 0; r < rank; r++) for (let i = 0; i < n; i++) factor[i * rank + r] = columns[r]![i]!;
  return { factor, rank, order, remainder };
}
