import type { PanelGrid } from "../../lib/data/panel-grid.js";

/** What a random grid looks like. */
export interface RandomGrid {
  readonly dates: number;
  readonly stocks: number;
  readonly seed: number;
  /** Share of cells without a row, and of single values that are missing. */
  readonly missing?: number;
  /** With a universe of its own, else the stocks that have a close. */
  readonly universe?: boolean;
  readonly groups?: boolean;
  readonly tradable?: boolean;
  readonly segments?: boolean;
  /** Columns in double precision. */
  readonly double?: boolean;
}

/** A grid of prices on a coarse scale, so that ties are many, and of the columns `score` (both signs, zeros of both) and `rare` (mostly missing). */
export function randomGrid({ dates: D, stocks: N, seed, missing = 0.01, universe = false, groups = false, tradable = false, segments = false, double = false }: RandomGrid): PanelGrid {
  const random = generator(seed);
  const column = (): Float32Array | Float64Array => (double ? new Float64Array(D * N) : new Float32Array(D * N)).fill(NaN);
  const values = new Map(["open", "high", "low", "close", "volume", "score", "rare"].map((name) => [name, name === "volume" ? new Float64Array(D * N).fill(NaN) : column()]));
  const set = (name: string, cell: number, value: number): void => {
    if (random() >= missing / 4) values.get(name)![cell] = value;
  };
  const present = new Uint8Array(D * N);
  const last = Float64Array.from({ length: N }, () => 5 + 50 * random());
  for (let cell = 0; cell < D * N; cell++) {
    const n = cell % N;
    if (random() < missing) continue;
    present[cell] = 1;
    const open = last[n]!;
    const close = Math.max(0.5, Math.round(4 * open * (0.97 + 0.06 * random())) / 4);
    last[n] = close;
    set("open", cell, open);
    set("close", cell, close);
    set("high", cell, Math.max(open, close) + (random() < 0.3 ? 0 : 0.25));
    set("low", cell, random() < 0.1 ? close : Math.min(open, close));
    set("volume", cell, Math.ceil(1e5 * random()));
    set("score", cell, [0, -0, random() - 0.5, 1e3 * (random() - 0.5), 1 + 1e-9 * random()][Math.floor(5 * random())]!);
    if (random() < 0.1) set("rare", cell, Math.floor(4 * random()));
  }
  const close = values.get("close")!;
  const flags = (share: number): Uint8Array => Uint8Array.from({ length: D * N }, () => (random() < share ? 1 : 0));
  const segmentOf = new Int32Array(D * N);
  for (let cell = N; segments && cell < D * N; cell++) segmentOf[cell] = segmentOf[cell - N]! + (random() < 0.02 ? 1 : 0);
  const codes = Int32Array.from({ length: D * N }, () => Math.floor(4 * random()) - 1);
  return {
    dates: Array.from({ length: D }, (_, t) => new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10)),
    tickers: Array.from({ length: N }, (_, n) => `S${String(n).padStart(4, "0")}`),
    columns: [...values.keys()],
    universe: universe ? flags(0.8) : Uint8Array.from(close, (value) => (value === value ? 1 : 0)),
    present,
    tradable: tradable ? flags(0.9) : undefined,
    groups: groups ? { codes, names: ["a", "b", "c"] } : undefined,
    edges: undefined,
    segments: segments ? segmentOf : undefined,
    extremeReturns: segments ? "missing" : "warn",
    ledger: { entries: [], rowsRead: 0, rowsKept: 0 },
    source: "a random grid",
    origin: { source: "random", options: {} },
    has: (name) => values.has(name),
    isRead: (name) => values.has(name),
    read: async () => undefined,
    digests: () => ({ seed: String(seed) }),
    values: (name) => values.get(name)!,
  };
}

/** mulberry32. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296;
  };
}
