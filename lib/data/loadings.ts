import { createHash } from "node:crypto";
import { finished } from "../binding/job.js";
import { loadCore } from "../binding/load.js";
import { AstgnnError } from "../errors.js";
import { firstNotBefore } from "./calendar.js";
import type { ResolvedLoadings } from "./dataset-options.js";
import type { PanelGrid } from "./panel-grid.js";
import type { DatasetDescription } from "./types.js";

/**
 * Loadings of each refresh. Signs and rotations of a decomposition are arbitrary and handed on from refresh to refresh, so a model reads
 * later data in the columns that it was trained on only where they go on from these.
 */
export interface LoadingsBasis {
  /** ISO dates of the refreshes, ascending. */
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  readonly count: number;
  /** [refreshes, count, stocks], NaN where a stock has none. */
  readonly values: Float32Array;
  /** Of the first refresh of all: bases with the same one are the same columns. */
  readonly chain: string;
}

/** When the loadings of a panel change. */
export interface RefreshPlan {
  /** `known`: the refresh of the stored basis that is taken as it is. */
  readonly refreshes: readonly { readonly date: number; readonly known?: number }[];
  /** Per panel date the refresh whose loadings hold, -1 where none does. */
  readonly refreshOf: Int32Array;
}

/**
 * Every `refresh` dates from the first date with `window` returns on. With a stored basis its refreshes hold: the last one at or before the
 * panel's start, those on later dates, then further ones, `refresh` dates apart, where there are `window` returns; until then no loadings hold.
 */
export function planRefreshes(dates: readonly string[], { window, refresh }: ResolvedLoadings, basis: LoadingsBasis | undefined): RefreshPlan {
  const refreshes: { date: number; known?: number }[] = [];
  const refreshOf = new Int32Array(dates.length).fill(-1);
  const hold = (from: number, to: number): void => void refreshOf.fill(refreshes.length - 1, from, Math.min(to, dates.length));
  let next = window;
  if (basis !== undefined && basis.dates.length > 0) {
    const stored = basis.dates;
    const begins = stored.findLastIndex((date) => date <= dates[0]!);
    for (let known = Math.max(0, begins); known < stored.length && stored[known]! <= dates.at(-1)!; known++) {
      const date = firstNotBefore(dates, stored[known]!);
      refreshes.push({ date, known });
      const isLast = known === stored.length - 1;
      // How many dates lie between the last one and a panel that begins later is unknown: it only hands its basis on.
      if (!isLast) hold(date, firstNotBefore(dates, stored[known + 1]!));
      else if (stored[known]! >= dates[0]!) hold(date, date + refresh);
      if (isLast && stored[known]! >= dates[0]!) next = date + refresh * Math.max(1, Math.ceil((window - date) / refresh));
    }
    if (refreshes.at(-1)?.known !== stored.length - 1) next = dates.length;
  }
  for (let date = next; date < dates.length; date += refresh) {
    refreshes.push({ date });
    hold(date, date + refresh);
  }
  return { refreshes, refreshOf };
}

/** What of a plan dates from `first` on need: a refresh that is known needs none before it. */
export function refreshesFrom({ refreshes, refreshOf }: RefreshPlan, first: number): RefreshPlan {
  const needed = Math.max(0, refreshes.findLastIndex(({ known }, r) => known !== undefined && r <= refreshOf[first]!));
  return { refreshes: refreshes.slice(needed), refreshOf: refreshOf.map((refresh) => Math.max(-1, refresh - needed)) };
}

/** 1 on dates whose whole window of `window` dates has loadings. */
export function datesWithLoadings({ refreshOf }: RefreshPlan, window: number): Uint8Array {
  let run = 0;
  return Uint8Array.from(refreshOf, (refresh) => ((run = refresh < 0 ? 0 : run + 1) >= window ? 1 : 0));
}

/** @throws AstgnnError ERR_ABORTED, ERR_OUT_OF_MEMORY */
export async function makeLoadings(
  panel: PanelGrid, { window, halfLife, count }: ResolvedLoadings, { refreshes }: RefreshPlan, basis: LoadingsBasis | undefined,
  { threads, signal }: { readonly threads: number; readonly signal: AbortSignal | undefined },
): Promise<LoadingsBasis> {
  const { dates, tickers } = panel;
  const input = {
    dates: dates.length, stocks: tickers.length, close: panel.values("close"), universe: panel.universe, window, halfLife, count,
    ...(panel.segments === undefined ? {} : { segments: panel.segments }),
    refreshes: refreshes.map(({ date, known }) => (known === undefined ? { date } : { date, known: laidOut(basis!, known, tickers) })),
  };
  const values = await finished(() => loadCore().makeLoadings(input, threads, () => undefined), signal, "The dataset");
  const made = { dates: refreshes.map(({ date, known }) => (known === undefined ? dates[date]! : basis!.dates[known]!)), tickers, count, values };
  return Object.freeze({ ...made, chain: basis?.chain ?? chainOf(made) });
}

/** A refresh of the basis for other tickers: [count, stocks]. */
function laidOut({ tickers: from, count, values }: LoadingsBasis, refresh: number, to: readonly string[]): Float32Array {
  const begin = refresh * count * from.length;
  if (from === to) return values.subarray(begin, begin + count * from.length);
  const places = new Map(from.map((ticker, n) => [ticker, n]));
  const out = new Float32Array(count * to.length).fill(NaN);
  to.forEach((ticker, n) => {
    const place = places.get(ticker);
    for (let k = 0; place !== undefined && k < count; k++) out[k * to.length + n] = values[begin + k * from.length + place]!;
  });
  return out;
}

function chainOf({ dates, tickers, count, values }: Omit<LoadingsBasis, "chain">): string {
  const hash = createHash("sha256").update(dates[0] ?? "");
  tickers.forEach((ticker, n) => {
    if (!(Math.abs(values[n] ?? NaN) >= 0)) return;
    hash.update(`\n${ticker}`);
    hash.update(Float32Array.from({ length: count }, (_, k) => values[k * tickers.length + n]!));
  });
  return hash.digest("hex").slice(0, 16);
}

const bases = new WeakMap<DatasetDescription, LoadingsBasis>();

/** Says in which basis the data of a description are. */
export function attachBasis(description: DatasetDescription, basis: LoadingsBasis): void {
  bases.set(description, basis);
}

export function basisOf(description: DatasetDescription): LoadingsBasis | undefined {
  return bases.get(description);
}

/** @throws AstgnnError ERR_CHECKPOINT where the basis of the description is not there */
export function requireBasis(description: DatasetDescription): LoadingsBasis {
  const basis = bases.get(description);
  if (basis !== undefined) return basis;
  throw new AstgnnError("ERR_CHECKPOINT", "The description has the feature set loadings, but the loadings that it goes on from are not with it.", {
    option: "description",
    next: "Take the description of a dataset, of loadRun or of ASTGNNFactorModel.load as it is: a copy through JSON has lost them, and so has a model.safetensors without the file model.loadings.safetensors beside it.",
  });
}
