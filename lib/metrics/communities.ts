/** An undirected graph in rows: node i has the edges to `targets[offsets[i] .. offsets[i + 1]]`; every edge stands in both of its rows with the same weight above 0. */
export interface WeightedGraph {
  /** [nodes + 1] */
  readonly offsets: Int32Array;
  readonly targets: Int32Array;
  readonly weights: Float64Array;
}

/** Nodes of a graph, each in one community. */
export interface Communities {
  /** Community of each node: 0 is the largest; of equal ones the one with the first node. */
  readonly labels: Int32Array;
  readonly count: number;
  /** Share of the weight inside communities less what it would be if edges fell at random, -0.5 to 1. */
  readonly modularity: number;
}

/** Of the weight of all edges: a smaller gain is rounding. */
const LEAST_GAIN = 1e-12;

/**
 * Communities of a graph by modularity (Newman 2004, with resolution), found as by Louvain (Blondel et al. 2008): nodes move to the community
 * that gains most until none gains, communities become the nodes of a smaller graph, and so on; then all over again from what was found, with
 * single nodes, until nothing changes. Nodes are visited in their order and ties keep the first, so the same graph gives the same communities.
 * Cost: some tens of passes over the edges, never over pairs of nodes.
 *
 * @param resolution above 0; 1 is plain modularity, more finds more and smaller communities
 */
export function communities(graph: WeightedGraph, resolution = 1): Communities {
  const nodes = graph.offsets.length - 1;
  let total = 0;
  for (const weight of graph.weights) total += weight;
  if (total === 0) return { labels: Int32Array.from({ length: nodes }, (_, i) => i), count: nodes, modularity: 0 };
  const level: Level = { ...graph, loops: new Float64Array(nodes), total, resolution };
  let labels = Int32Array.from({ length: nodes }, (_, i) => i);
  while (move(level, labels)) {
    compact(labels);
    let [coarse, of] = [aggregate(level, labels), labels];
    for (;;) {
      const above = Int32Array.from({ length: coarse.offsets.length - 1 }, (_, i) => i);
      if (!move(coarse, above)) break;
      compact(above);
      of = of.map((label) => above[label]!);
      coarse = aggregate(coarse, above);
    }
    labels = of;
  }
  return bySize(labels, level);
}

/** A graph whose nodes may be whole communities: `loops` is twice the weight inside each. */
interface Level extends WeightedGraph {
  readonly loops: Float64Array;
  /** Weight of all rows, twice that of all edges. */
  readonly total: number;
  readonly resolution: number;
}

function strengthOf({ offsets, weights, loops }: Level, node: number): number {
  let sum = loops[node]!;
  for (let e = offsets[node]!; e < offsets[node + 1]!; e++) sum += weights[e]!;
  return sum;
}

/** Moves single nodes while that gains; whether any moved. `labels` below the number of nodes, changed in place. */
function move(level: Level, labels: Int32Array): boolean {
  const { offsets, targets, weights, total, resolution } = level;
  const nodes = offsets.length - 1;
  const strengths = Float64Array.from({ length: nodes }, (_, i) => strengthOf(level, i));
  const [sums, sizes] = [new Float64Array(nodes), new Int32Array(nodes)];
  for (let i = 0; i < nodes; i++) {
    sums[labels[i]!]! += strengths[i]!;
    sizes[labels[i]!]!++;
  }
  const free = Array.from(sizes.keys()).filter((label) => sizes[label] === 0).reverse();
  const shared = new Float64Array(nodes).fill(-1);
  let moved = false;
  for (let again = true; again; ) {
    again = false;
    for (let i = 0; i < nodes; i++) {
      const [from, strength] = [labels[i]!, strengths[i]!];
      const touched = [from];
      shared[from] = 0;
      for (let e = offsets[i]!; e < offsets[i + 1]!; e++) {
        const label = labels[targets[e]!]!;
        if (shared[label]! < 0) {
          shared[label] = 0;
          touched.push(label);
        }
        shared[label]! += weights[e]!;
      }
      sums[from]! -= strength;
      const gain = (label: number): number => shared[label]! - (resolution * strength * sums[label]!) / total;
      const least = LEAST_GAIN * total;
      let [best, most] = [from, gain(from)];
      for (const label of touched) {
        const value = gain(label);
        if (value > most + least) [best, most] = [label, value];
      }
      // Alone a node gains 0.
      if (most < -least && sizes[from]! > 1) best = free.pop()!;
      for (const label of touched) shared[label] = -1;
      sums[best]! += strength;
      if (best === from) continue;
      labels[i] = best;
      sizes[best]!++;
      if (--sizes[from]! === 0) free.push(from);
      moved = again = true;
    }
  }
  return moved;
}

/** Renames labels to 0, 1 ... in the order of their first nodes. */
function compact(labels: Int32Array): void {
  const names = new Map<number, number>();
  for (const [i, label] of labels.entries()) {
    const name = names.get(label) ?? names.size;
    names.set(label, name);
    labels[i] = name;
  }
}

/** The graph of the communities. */
function aggregate({ offsets, targets, weights, loops, total, resolution }: Level, labels: Int32Array): Level {
  const members: number[][] = [];
  for (const [i, label] of labels.entries()) (members[label] ??= []).push(i);
  const made = { offsets: new Int32Array(members.length + 1), loops: new Float64Array(members.length), targets: [] as number[], weights: [] as number[] };
  for (const [label, own] of members.entries()) {
    const sums = new Map<number, number>();
    for (const i of own) {
      made.loops[label]! += loops[i]!;
      for (let e = offsets[i]!; e < offsets[i + 1]!; e++) {
        const other = labels[targets[e]!]!;
        if (other === label) made.loops[label]! += weights[e]!;
        else sums.set(other, (sums.get(other) ?? 0) + weights[e]!);
      }
    }
    for (const [other, weight] of sums) {
      made.targets.push(other);
      made.weights.push(weight);
    }
    made.offsets[label + 1] = made.targets.length;
  }
  return { offsets: made.offsets, targets: Int32Array.from(made.targets), weights: Float64Array.from(made.weights), loops: made.loops, total, resolution };
}

function bySize(labels: Int32Array, level: Level): Communities {
  compact(labels);
  const coarse = aggregate(level, labels);
  const count = coarse.offsets.length - 1;
  const sizes = new Int32Array(count);
  for (const label of labels) sizes[label]!++;
  const order = Array.from(sizes.keys()).sort((a, b) => sizes[b]! - sizes[a]! || a - b);
  const rank = new Int32Array(count);
  for (const [place, label] of order.entries()) rank[label] = place;
  let modularity = 0;
  for (let c = 0; c < count; c++) modularity += coarse.loops[c]! / level.total - level.resolution * (strengthOf(coarse, c) / level.total) ** 2;
  return { labels: labels.map((label) => rank[label]!), count, modularity };
}
