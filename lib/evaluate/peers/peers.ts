import { loadCore } from "../../binding/load.js";
import { resolveThreads } from "../../binding/threads.js";
import { nativePanel } from "../../data/native-panel.js";
import type { Dataset } from "../../data/types.js";
import { invalidOption } from "../../errors.js";
import { requireObject } from "../../options.js";
import { checkDataset } from "../../model/compatibility.js";
import type { ASTGNNFactorModel } from "../../model/model.js";
import { nativeModule } from "../../model/module.js";
import { peerLists, requirePeers } from "../../model/peer-lists.js";
import { allowedCounts, findRow, listWarning, PEER_DAYS } from "../../model/peers.js";
import { averagePeers, predictPacked } from "../../model/predict.js";
import { warn, type Warning } from "../../warn.js";
import { meanCorrelation, pairCorrelation, type RealisedCorrelation } from "./realised.js";

/** Whose peers, and how far to look. */
export interface PeersOptions {
  /** A date of the dataset, YYYY-MM-DD. */
  date: string;
  ticker: string;
  /** How many. Whole, from 1; default 10. */
  top?: number | undefined;
  /** Dates before `date` at most on which to see whether they were peers. Whole, from 0; default 120. */
  lookBack?: number | undefined;
  /** Compute threads. Whole, from 1; default ASTGNN_THREADS, else the physical cores. */
  threads?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told where the list means nothing. Default: Node prints it once. */
  onWarning?: ((warning: Warning) => void) | undefined;
}

/** A peer of a stock: one of the heaviest entries of its row of A. */
export interface Peer extends RealisedCorrelation {
  readonly ticker: string;
  /** Entry of A, above 0. A whole row sums to 1, the stock itself included unless the model excludes it. */
  readonly weight: number;
  /** Cosine of the two stocks' risk factors, rows of M: -1 to 1. */
  readonly similarity: number;
  /** How many stocks of the date have it among their 20 most similar: of an ordinary peer about 20, of a hub most. */
  readonly listedBy: number;
  /** Where it has one. */
  readonly group?: string;
  /** The date from which it has been among the stock's `top` peers on every date. */
  readonly since: string;
  /** How many dates in a row that is, `date` included. */
  readonly days: number;
  /** True where it was still a peer at the end of the look-back, so that `since` may be earlier. */
  readonly orEarlier: boolean;
}

/** The peers of a stock on a date, heaviest first. */
export interface StockPeers {
  readonly date: string;
  readonly ticker: string;
  readonly group?: string;
  readonly peers: readonly Peer[];
  /** Mean realised correlation of the stock with these peers, and with all other stocks of the date: what the peers are to be compared with. */
  readonly averages: { readonly peers: RealisedCorrelation; readonly others: RealisedCorrelation };
  /** Why the list means nothing, where it does. */
  readonly warning?: Warning;
}

/**
 * The stocks that a stock's row of A leans on at a date: weights, groups, how long they have been peers, and whether their returns went with the
 * stock's, before the date and after it. Everything but `correlationNext20` and the warning about it was known on the date.
 *
 * @example
 * const { peers: found, averages, warning } = await peers(model, dataset, { date: "2017-06-01", ticker: "AAPL", top: 5 });
 * console.log(found.map(({ ticker, weight, since }) => `${ticker} ${weight.toFixed(3)} since ${since}`), averages, warning?.text);
 * @throws AstgnnError ERR_OPTION for an unknown ticker or a model without a graph; ERR_DATA where the date or the stock is not in, or the dataset was not prepared as that of the training; ERR_ABORTED
 */
export async function peers(model: ASTGNNFactorModel, dataset: Dataset, options: PeersOptions): Promise<StockPeers> {
  requireObject(options, "options", "{ date, ticker }");
  const { date, ticker, top = 10, lookBack = 120, threads, signal, onWarning } = options;
  if (!Number.isInteger(top) || top < 1 || top > 65_535) throw invalidOption("top", "a whole number from 1 to 65535", top);
  if (!Number.isInteger(lookBack) || lookBack < 0) throw invalidOption("lookBack", "a whole number from 0", lookBack);
  checkDataset(model, dataset);
  requirePeers(model, dataset);
  const { t, row, rows } = findRow(dataset, date, ticker);
  const native = nativeModule(model);
  // One more than asked for: the stock itself may be among them.
  const found = await loadCore().neighbours(native, nativePanel(dataset, native.device), { date: t, row, top: Math.min(top + 1, rows.length), peerDays: PEER_DAYS, threads: resolveThreads(threads) });
  const kept = Array.from(found.rows.keys()).filter((i) => found.rows[i] !== row).slice(0, top);
  const others = { ...found, listedBy: Int32Array.from(kept, (i) => found.listedBy[i]!) };
  const { riskFactors } = await model.predict({ dataset, dates: Int32Array.of(t) }, { riskFactors: true, threads, signal });
  const stock = rows[row]!;
  const stocks = kept.map((i) => rows[found.rows[i]!]!);
  const days = await daysInARow(model, dataset, { t, stock, peers: stocks, top, lookBack, threads, signal });
  const all = new Map(Array.from(rows).filter((other) => other !== stock).map((other) => [other, pairCorrelation(dataset, t, stock, other)]));
  const earlier = Number.isNaN(found.peerCorrelation) ? await earlierPeerCorrelation(model, dataset, t, { threads, signal }) : NaN;
  const warning = listWarning(ticker, date, others, rows.length, allowedCounts(model.config, dataset, t)[row]!, earlier);
  if (warning !== undefined) warn(warning, onWarning);
  const group = groupOf(dataset, t, row);
  return {
    date,
    ticker,
    ...(group === undefined ? {} : { group }),
    peers: kept.map((i, k): Peer => {
      const [other, among] = [stocks[k]!, groupOf(dataset, t, found.rows[i]!)];
      return {
        ticker: dataset.tickers[other]!,
        weight: found.weights[i]!,
        similarity: cosine(riskFactors.data, model.config.numRiskFactors, stock, other),
        listedBy: found.listedBy[i]!,
        ...(among === undefined ? {} : { group: among }),
        ...all.get(other)!,
        since: dataset.dates[t + 1 - days[k]!.days]!,
        ...days[k]!,
      };
    }),
    averages: { peers: meanCorrelation(stocks.map((other) => all.get(other)!)), others: meanCorrelation([...all].flatMap(([other, value]) => (stocks.includes(other) ? [] : [value]))) },
    ...(warning === undefined ? {} : { warning }),
  };
}

/** Name of a row's group; undefined where it has none. */
export function groupOf({ rowOffsets, groups, groupNames }: Dataset, t: number, row: number): string | undefined {
  return groups === undefined ? undefined : groupNames?.[groups[rowOffsets[t]! + row]!];
}

/** Peer correlation of the newest ten dates with rows whose following days were known on date t; NaN without such dates or closes. */
async function earlierPeerCorrelation(model: ASTGNNFactorModel, dataset: Dataset, t: number, { threads, signal }: Pick<PeersOptions, "threads" | "signal">): Promise<number> {
  const dates = Int32Array.from({ length: 10 }, (_, i) => t - PEER_DAYS - i).filter((day) => day >= 0 && dataset.rowOffsets[day + 1]! > dataset.rowOffsets[day]!);
  if (dataset.returns === undefined || dates.length === 0) return NaN;
  const { peers: judged, statistics } = await predictPacked(nativeModule(model), { dataset, dates }, { riskFactors: false, threads: resolveThreads(threads), peerDays: PEER_DAYS, signal });
  return averagePeers(judged!, statistics).peerCorrelation;
}

interface Streaks {
  readonly t: number;
  readonly stock: number;
  /** Stocks on the list of date t. */
  readonly peers: readonly number[];
  readonly top: number;
  readonly lookBack: number;
  readonly threads: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** For how many dates up to t each peer has been on the list, in blocks that grow as far back as one of them still is. */
async function daysInARow(model: ASTGNNFactorModel, dataset: Dataset, { t, stock, peers, top, lookBack, threads, signal }: Streaks): Promise<{ days: number; orEarlier: boolean }[]> {
  const days = new Map(peers.map((peer) => [peer, 1]));
  const first = Math.max(t - lookBack, dataset.requiredHistory - 1);
  let still = peers;
  for (let [end, size] = [t, 8]; still.length > 0 && end > first; size *= 2) {
    const begin = Math.max(first, end - size);
    const { rows } = await peerLists(model, dataset, { dates: Int32Array.from({ length: end - begin }, (_, i) => end - 1 - i), stock, top, threads, signal });
    for (let i = 0; i < end - begin; i++) {
      const offset = dataset.rowOffsets[end - 1 - i]!;
      const listed = new Set(Array.from(rows.subarray(i * top, (i + 1) * top)).filter((row) => row >= 0).map((row) => dataset.rowStocks[offset + row]!));
      still = still.filter((peer) => listed.has(peer));
      for (const peer of still) days.set(peer, days.get(peer)! + 1);
    }
    end = begin;
  }
  return peers.map((peer) => ({ days: days.get(peer)!, orEarlier: still.includes(peer) }));
}

/** Cosine of rows a and b of M [stocks, K]; 0 where one is 0. */
function cosine(m: Float32Array | Float64Array, K: number, a: number, b: number): number {
  let [product, squareA, squareB] = [0, 0, 0];
  for (let k = 0; k < K; k++) {
    const [x, y] = [m[a * K + k]!, m[b * K + k]!];
    product += x * y;
    squareA += x * x;
    squareB += y * y;
  }
  return squareA > 0 && squareB > 0 ? product / Math.sqrt(squareA * squareB) : 0;
}
