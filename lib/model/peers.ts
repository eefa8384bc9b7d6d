import type { NativeNeighbours } from "../binding/types.js";
import type { Warning } from "../warn.js";

/** Days over which peers are judged, unless a coMovement term says otherwise. */
export const PEER_DAYS = 10;

const HELPFUL_FEATURES = 'The features "loadings", which tell whom a stock moved with before, help it further.';

/** What there is to do about an A that knows nothing, where the loss does not have the term coMovement. */
export const PEER_ADVICE = `Add { name: "coMovement", weight: 0.5 } to the terms of the loss, with similarityScale "learned": A then learns whose returns move together. ${HELPFUL_FEATURES}`;

/** The same where it has. */
export const MORE_PEER_ADVICE = `Give the term coMovement more weight or the training more epochs, with similarityScale "learned". ${HELPFUL_FEATURES}`;

/** On one date by chance alone, among a thousand stocks, the peer correlation is below this. */
const BY_CHANCE = 0.05;

/**
 * Why a stock's list of neighbours means nothing: its row of A is the plain average, the list is everybody's, or the peers of the date did not
 * move with their stocks afterwards, where that is known.
 *
 * @param stocks rows of the date
 * @param allowed how many of them the row may link to
 */
export function listWarning(ticker: string, date: string, { effectiveNeighbours, listedBy, peerCorrelation }: NativeNeighbours, stocks: number, allowed: number): Warning | undefined {
  const reasons: string[] = [];
  if (allowed >= 2 && effectiveNeighbours > 0.9 * allowed) reasons.push(`its weights are nearly those of the plain average (${effectiveNeighbours.toFixed(1)} effective neighbours of ${allowed})`);
  const everybodys = listedBy.filter((count) => 2 * count > stocks).length;
  // Among few stocks anyone is among the 20 most similar of most.
  if (stocks > 60 && 2 * everybodys > listedBy.length) reasons.push(`${everybodys} of ${listedBy.length} in it are among the 20 most similar of more than half of all ${stocks} stocks`);
  if (peerCorrelation < BY_CHANCE) reasons.push(`over the ${PEER_DAYS} days after it stocks hardly moved with their peers (peer correlation ${peerCorrelation.toFixed(3)})`);
  if (reasons.length === 0) return undefined;
  return { reason: "neighbours_mean_nothing", text: `The list of ${ticker} on ${date} means little: ${reasons.join("; ")}. ${PEER_ADVICE}` };
}
