/** A scale with round ticks. */
export interface NiceScale {
  readonly domain: readonly [low: number, high: number];
  readonly ticks: readonly number[];
  /** Decimals of the ticks. */
  readonly digits: number;
}

/** Ticks at 1, 2 or 5 times a power of ten, about `count` of them, over all values. */
export function niceScale(values: Iterable<number>, count = 5): NiceScale {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = [0, 1];
  if (low === high) [low, high] = low === 0 ? [-1, 1] : [Math.min(0, 2 * low), Math.max(0, 2 * high)];
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough * 0.999) ?? 10);
  const digits = Math.max(0, -Math.floor(Math.log10(step * 1.001)));
  const [first, last] = [Math.floor(low / step + 1e-9), Math.ceil(high / step - 1e-9)];
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toFixed(digits)));
  // Up to the next tick where that is near, else a little beyond the values: half an empty chart says nothing.
  const margin = (high - low) * 0.06;
  const domain = [ticks[0]! < low - 3 * margin ? low - margin : ticks[0]!, ticks.at(-1)! > high + 3 * margin ? high + margin : ticks.at(-1)!] as const;
  return { domain, ticks: ticks.filter((tick) => tick >= domain[0] && tick <= domain[1]), digits };
}

/** A vertical axis and its scale for Vega-Lite. */
export function axisY(scale: NiceScale, format?: string): { axis: object; scale: object } {
  return { axis: { values: scale.ticks, format: format ?? `.${scale.digits}f` }, scale: { domain: scale.domain, nice: false, zero: false } };
}

/** Positions at least `distance` apart, as near to the wished ones as pushing neighbours away allows; in the order given. */
export function spreadOut(wished: readonly number[], distance: number): number[] {
  const order = [...wished.keys()].sort((a, b) => wished[a]! - wished[b]!);
  const placed = [...wished];
  for (let pass = 0; pass < 50; pass++) {
    for (let i = 1; i < order.length; i++) {
      const [above, below] = [order[i - 1]!, order[i]!];
      const lack = distance - (placed[below]! - placed[above]!);
      if (lack <= 1e-9) continue;
      placed[above]! -= lack / 2;
      placed[below]! += lack / 2;
    }
  }
  return placed;
}
