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
  // How many of each list count, and how often each row is on one.
  const [listed, listedBy] = [new Int32Array(N), new Int32Array(N + 1)];
  for (let i = 0; i < N; i++) {
    for (let at = i * top; at < (i + 1) * top && rows[at]! >= 0 && weights[at]! > 1 / allowed[i]!; at++) {
      listed[i]!++;
      listedBy[rows[at]! + 1]!++;
    }
  }
  for (let j = 0; j < N; j++) listedBy[j + 1]! += listedBy[j]!;
  // Place of every entry in the lists that its row is on.
  const [listers, next] = [new Int32Array(listedBy[N]!), listedBy.slice()];
  for (let i = 0; i < N; i++) for (let at = i * top; at < i * top + listed[i]!; at++) listers[next[rows[at]!]!++] = at;

  const most = 2 * listers.length;
  const [offsets, targets, values] = [new Int32Array(N + 1), new Int32Array(most), new Float64Array(most)];
  const placeOf = new Int32Array(N).fill(-1);
  let count = 0;
  for (let i = 0; i < N; i++) {
    const begin = count;
    const add = (j: number, at: number, of: number): void => {
      if (placeOf[j]! < 0) {
        placeOf[j] = count;
        targets[count++] = j;
      }
      values[placeOf[j]!]! += weights[at]! - 1 / allowed[of]!;
    };
    // The lower row's entry first on both sides, so that both have the same sum.
    for (let e = listedBy[i]!; e < listedBy[i + 1]!; e++) if (listers[e]! < i * top) add(Math.floor(listers[e]! / top), listers[e]!, Math.floor(listers[e]! / top));
    for (let at = i * top; at < i * top + listed[i]!; at++) add(rows[at]!, at, i);
    for (let e = listedBy[i]!; e < listedBy[i + 1]!; e++) if (listers[e]! > i * top) add(Math.floor(listers[e]! / top), listers[e]!, Math.floor(listers[e]! / top));
    for (let e = begin; e < count; e++) placeOf[targets[e]!] = -1;
    offsets[i + 1] = count;
  }
  return { offsets, targets: targets.slice(0, count), weights: values.slice(0, count) };
}
