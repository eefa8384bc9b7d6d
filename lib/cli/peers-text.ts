import type { Cluster, DateClusters } from "../evaluate/peers/clusters.js";
import type { StockPeers } from "../evaluate/peers/peers.js";
import type { RealisedCorrelation } from "../evaluate/peers/realised.js";
import { aligned, decimals } from "./terminal.js";

/** The peers of a stock as lines of a table. */
export function peersText({ date, ticker, group, peers, averages }: StockPeers): string[] {
  const title = `${ticker}${group === undefined ? "" : ` (${group})`} on ${date}`;
  if (peers.length === 0) return [`${title}: no peers, it is alone in its group`];
  const known = peers.some(({ correlationNext20 }) => !Number.isNaN(correlationNext20));
  const rows = peers.map((peer) => [
    peer.ticker, decimals(peer.weight), decimals(peer.similarity, 2), ...correlations(peer, known),
    `${peer.since}${peer.orEarlier ? " or earlier" : ""} (${peer.days})`, String(peer.listedBy), peer.group ?? "-",
  ]);
  const mean = (name: string, of: RealisedCorrelation): string[] => [name, "", "", ...correlations(of, known), "", "", ""];
  return [
    `${title}: its ${peers.length} heaviest peers in A`,
    ...aligned([["ticker", "weight", "cosine", "corr. 60", ...(known ? ["next 20*"] : []), "peer since (dates)", "listed by", "group"], ...rows, mean("mean", averages.peers), mean("all others", averages.others)], (column) => column > 0 && column < (known ? 5 : 4)),
    ...footnote(known, date),
  ];
}

/** The clusters of a date as lines. */
export function clustersText({ date, stocks, clusters, alone, modularity, stability, everybody, peerCorrelation, effectiveNeighbours }: DateClusters): string[] {
  const known = !Number.isNaN(everybody.correlationNext20);
  const lines = (cluster: Cluster, i: number): string[] => [
    "",
    `${i + 1}. ${cluster.medoid} and ${cluster.size - 1} more: stability ${decimals(cluster.stability, 2)}, corr. 60 ${decimals(cluster.correlation60, 2)}${known ? `, next 20* ${decimals(cluster.correlationNext20, 2)}` : ""}`,
    `   ${cluster.tickers.slice(0, 20).join(" ")}${cluster.size > 20 ? " ..." : ""}`,
    ...(cluster.groups === undefined || cluster.groups.length === 0 ? [] : [`   groups: ${cluster.groups.map(({ group, members }) => `${group} ${members}`).join(", ")}`]),
    ...(cluster.exposures.length === 0 ? [] : [`   in common: ${cluster.exposures.map(({ name, z }) => `${name} ${z > 0 ? "+" : ""}${z.toFixed(1)}`).join(", ")}`]),
  ];
  const same = stability.dates === 0 ? "" : `; from date to date adjusted Rand index ${decimals(stability.adjustedRand, 2)} (${stability.dates} steps up to it)`;
  return [
    `${stocks} stocks on ${date}: ${clusters.length} clusters${alone.length === 0 ? "" : ` and ${alone.length} stocks alone`}, modularity ${decimals(modularity, 2)}${same}`,
    `all pairs of stocks: corr. 60 ${decimals(everybody.correlation60, 2)}${known ? `, next 20* ${decimals(everybody.correlationNext20, 2)}` : ""}; peer correlation ${decimals(peerCorrelation, 3)}, ${decimals(effectiveNeighbours, 1)} effective neighbours`,
    ...clusters.flatMap(lines),
    ...footnote(known, date),
  ];
}

function correlations({ correlation60, correlationNext20 }: RealisedCorrelation, known: boolean): string[] {
  return [decimals(correlation60, 2), ...(known ? [decimals(correlationNext20, 2)] : [])];
}

function footnote(known: boolean, date: string): string[] {
  return known ? ["", `* over the 20 dates after ${date}: known only afterwards`] : [];
}
