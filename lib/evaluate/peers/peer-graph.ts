import type { NativePeerLists } from "../../binding/types.js";
import type { Dataset } from "../../data/types.js";
import type { WeightedGraph } from "../../metrics/communities.js";
import type { ModelConfig } from "../../model/config.js";
import { allowedCounts } from "../../model/peers.js";

/** Peers of a stock that clusters are made of. */
export const PEERS_OF_A_STOCK = 20;

/**
 * The graph of a date that its stocks are clustered by: an edge weighs how far the entries of A in both directions are above the plain average of
 * their rows, among every stock's heaviest peers. So an A that is the plain average has none.
 */
export function peerGraph(config: ModelConfig, dataset: Dataset, t: number, { rows, weights }: Pick<NativePeerLists, "rows" | "weights">): WeightedGraph {
  const N = dataset.rowOffsets[t + 1]! - dataset.rowOffsets[t]!;
  const top = rows.length / N;
  const allowed = allowedCounts(config, dataset, t);
  const edges = Array.from({ length: N }, () => new Map<number, number>());
  for (let i = 0; i < N; i++) {
    for (let at = i * top; at < (i + 1) * top && rows[at]! >= 0; at++) {
      const [j, above] = [rows[at]!, weights[at]! - 1 / allowed[i]!];
      if (!(above > 0)) break;
      edges[i]!.set(j, (edges[i]!.get(j) ?? 0) + above);
      edges[j]!.set(i, (edges[j]!.get(i) ?? 0) + above);
    }
  }
  const offsets = new Int32Array(N + 1);
  for (let i = 0; i < N; i++) offsets[i + 1] = offsets[i]! + edges[i]!.size;
  const [targets, values] = [new Int32Array(offsets[N]!), new Float64Array(offsets[N]!)];
  for (let i = 0; i < N; i++) {
    let at = offsets[i]!;
    for (const [j, weight] of [...edges[i]!].sort(([a], [b]) => a - b)) {
      targets[at] = j;
      values[at++] = weight;
    }
  }
  return { offsets, targets, weights: values };
}
