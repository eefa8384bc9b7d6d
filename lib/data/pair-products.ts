/** Products of the first `length` values of every series with those before it and itself, four at a time: loads, not sums, are what takes the time. */
export function pairProducts(series: readonly Float64Array[], length: number, take: (i: number, j: number, product: number) => void): void {
  for (const [i, a] of series.entries()) {
    let j = 0;
    for (; j + 3 <= i; j += 4) {
      const [b, c, d, e] = [series[j]!, series[j + 1]!, series[j + 2]!, series[j + 3]!];
      let [sumB, sumC, sumD, sumE] = [0, 0, 0, 0];
      for (let t = 0; t < length; t++) {
        const value = a[t]!;
        sumB += value * b[t]!;
        sumC += value * c[t]!;
        sumD += value * d[t]!;
        sumE += value * e[t]!;
      }
      take(i, j, sumB);
      take(i, j + 1, sumC);
      take(i, j + 2, sumD);
      take(i, j + 3, sumE);
    }
    for (; j <= i; j++) {
      const b = series[j]!;
      let sum = 0;
      for (let t = 0; t < length; t++) sum += a[t]! * b[t]!;
      take(i, j, sum);
    }
  }
}
