import type { NativeNeighbours } from "../binding/types.js";
import type { Dataset } from "../data/types.js";
import { AstgnnError, invalidOption, nearestFew } from "../errors.js";
import { requireText } from "../options.js";
import type { Warning } from "../warn.js";
import type { ModelConfig } from "./config.js";
import { dateIndex, type PeerStatistics } from "./predict.js";

/** Days over which peers are judged, unless a coMovement term says otherwise. */
export const PEER_DAYS = 10;

const HELPFUL_FEATURES = 'The features "loadings", which tell whom a stock moved with before, help it further.';

/** What there is to do about an A that knows nothing, where the loss does not have the term coMovement. */
export const PEER_ADVICE = `Add { name: "coMovement", weight: 0.5 } to the terms of the loss, with similarityScale "learned": A then learns whose returns move together. ${HELPFUL_FEATURES}`;

/** The same where it has. */
export const MORE_PEER_ADVICE = `Give the term coMovement more weight or the training more epochs, with similarityScale "learned". ${HELPFUL_FEATURES}`;

/** On one date by chance alone, among a thousand stocks, the peer correlation is below this. */
const BY_CHANCE = 0.05;

/** Whether A names the same few to everybody: one stock is among the 20 most similar of more than half of all, and how far that is from usual. */
export function namesHubs(largestHub: number, hubSkewness: number, allowed: number): boolean {
  return largestHub > 0.5 * allowed && hubSkewness > 2;
}

/**
 * Why a stock's list of neighbours means nothing: its row of A is the plain average, the list is everybody's, or the peers of the date did not
 * move with their stocks afterwards, where that is known.
 *
 * @param stocks rows of the date
 * @param allowed how many of them the row may link to
 * @param earlier peer correlation of dates before, whose following days are known; where those of the date are not
 */
export function listWarning(ticker: string, date: string, { effectiveNeighbours, listedBy, peerCorrelation }: NativeNeighbours, stocks: number, allowed: number, earlier = NaN): Warning | undefined {
  const reasons: string[] = [];
  if (allowed >= 2 && effectiveNeighbours > 0.9 * allowed) reasons.push(`its weights are nearly those of the plain average (${effectiveNeighbours.toFixed(1)} effective neighbours of ${allowed})`);
  const everybodys = listedBy.filter((count) => 2 * count > stocks).length;
  // Among few stocks anyone is among the 20 most similar of most.
  if (stocks > 60 && 2 * everybodys > listedBy.length) reasons.push(`${everybodys} of ${listedBy.length} in it are among the 20 most similar of more than half of all ${stocks} stocks`);
  if (peerCorrelation < BY_CHANCE) reasons.push(`over the ${PEER_DAYS} days after it stocks hardly moved with their peers (peer correlation ${peerCorrelation.toFixed(3)})`);
  if (earlier < BY_CHANCE) reasons.push(`over the ${PEER_DAYS} days after dates before it stocks hardly moved with their peers (peer correlation ${earlier.toFixed(3)})`);
  if (reasons.length === 0) return undefined;
  return { reason: "neighbours_mean_nothing", text: `The list of ${ticker} on ${date} means little: ${reasons.join("; ")}. ${PEER_ADVICE}` };
}

/** The row of a stock on a date, and the stocks of all rows of the date. */
export interface StockRow {
  readonly t: number;
  readonly row: number;
  /** Stock of each row, ascending. */
  readonly rows: Int32Array;
}

/** @throws AstgnnError ERR_OPTION for an unknown ticker, ERR_DATA where the date or the stock is not in */
export function findRow(dataset: Dataset, date: string, ticker: string): StockRow {
  requireText(ticker, "ticker", "a ticker of the panel");
  const stock = dataset.tickers.indexOf(ticker);
  if (stock < 0) {
    const near = nearestFew(ticker, dataset.tickers, 3);
    throw invalidOption("ticker", "a ticker of the panel", ticker, near.length === 0 ? "See dataset.tickers." : `Did you mean ${near.join(", ").replace(/, (?=[^,]*$)/, " or ")}?`);
  }
  const { t, rows } = findRows(dataset, date);
  const row = rows.indexOf(stock);
  if (row >= 0) return { t, row, rows };
  throw new AstgnnError("ERR_DATA", `${ticker} is not in on ${date}: it is not in the universe or its window is not complete.`, { date, next: "Pass a date on which it has a prediction." });
}

/** The rows of a date. @throws AstgnnError ERR_DATA where the date is none of the dataset or has no row */
export function findRows(dataset: Dataset, date: string): Omit<StockRow, "row"> {
  const t = dateIndex(dataset, date);
  const rows = dataset.rowStocks.subarray(dataset.rowOffsets[t]!, dataset.rowOffsets[t + 1]!);
  if (rows.length > 0) return { t, rows };
  const later = dataset.dates.find((_, day) => day > t && dataset.rowOffsets[day + 1]! > dataset.rowOffsets[day]!);
  throw new AstgnnError("ERR_DATA", `No stock is in on ${date}: none is in the universe with a complete window.`, { date, next: later === undefined ? "Pass a date that has predictions." : `Pass a date that has predictions: the next is ${later}.` });
}

/** How many stocks each row of a date's A may link to, `topK` ignored. */
export function allowedCounts({ similarityGraph, excludeSelf }: ModelConfig, { rowOffsets, groups }: Dataset, t: number): Int32Array {
  const [begin, end] = [rowOffsets[t]!, rowOffsets[t + 1]!];
  const own = excludeSelf ? 1 : 0;
  if (similarityGraph !== "groups") return new Int32Array(end - begin).fill(end - begin - own);
  const sizes = new Map<number, number>();
  for (const group of groups!.subarray(begin, end)) sizes.set(group, (sizes.get(group) ?? 0) + 1);
  return groups!.slice(begin, end).map((group) => sizes.get(group)! - own);
}

/**
 * Why the clusters of a date mean nothing: A is the plain average, peers did not move together afterwards, where that is known, or a few stocks
 * are everybody's peers.
 *
 * @param graph means over the dates compared
 */
export function clustersWarning(config: ModelConfig, dataset: Dataset, { t, effectiveNeighbours, peerCorrelation, largestHub, hubSkewness }: PeerStatistics & { readonly t: number; readonly effectiveNeighbours: number }): Warning | undefined {
  const some = allowedCounts(config, dataset, t).filter((count) => count > 0);
  const allowed = some.reduce((sum, count) => sum + count, 0) / some.length;
  const reasons: string[] = [];
  if (allowed >= 2 && effectiveNeighbours > 0.9 * allowed) reasons.push(`A is nearly the plain average (${effectiveNeighbours.toFixed(1)} effective neighbours of ${allowed.toFixed(1)})`);
  if (namesHubs(largestHub, hubSkewness, allowed)) reasons.push(`one stock is among the 20 most similar of ${largestHub.toFixed(0)} of ${allowed.toFixed(0)} stocks`);
  if (peerCorrelation < BY_CHANCE) reasons.push(`over the ${PEER_DAYS} days that followed stocks hardly moved with their peers (peer correlation ${peerCorrelation.toFixed(3)})`);
  if (reasons.length === 0) return undefined;
  return { reason: "clusters_mean_nothing", text: `The clusters of ${dataset.dates[t]!} mean little: ${reasons.join("; ")}. ${PEER_ADVICE}` };
}
