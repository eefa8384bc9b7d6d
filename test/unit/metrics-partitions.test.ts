import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { adjustedRandIndex } from "../../lib/index.js";
import { communities, type WeightedGraph } from "../../lib/metrics/communities.js";
import { below, randomBits } from "../../lib/metrics/random.js";

interface Fixture {
  adjustedRand: { a: number[]; b: number[]; value: number }[];
  karate: { edges: [number, number][]; halves: number[]; modularity: number; largest: number };
  weighted: { edges: [number, number, number][]; modularity: number };
}
// Written by scripts/make-partition-fixtures.py with scikit-learn and networkx.
const { adjustedRand, karate, weighted } = JSON.parse(readFileSync(new URL("./fixtures/partitions.json", import.meta.url), "utf8")) as Fixture;

function graphOf(nodes: number, edges: readonly (readonly [number, number, number?])[]): WeightedGraph {
  const rows = Array.from({ length: nodes }, (): [number, number][] => []);
  for (const [a, b, weight = 1] of edges) {
    rows[a]!.push([b, weight]);
    rows[b]!.push([a, weight]);
  }
  const offsets = new Int32Array(nodes + 1);
  for (const [i, row] of rows.entries()) offsets[i + 1] = offsets[i]! + row.length;
  const flat = rows.flatMap((row) => row.sort(([a], [b]) => a - b));
  return { offsets, targets: Int32Array.from(flat, ([target]) => target), weights: Float64Array.from(flat, ([, weight]) => weight) };
}

/** Modularity from its definition, over pairs of nodes. */
function modularityOf({ offsets, targets, weights }: WeightedGraph, labels: ArrayLike<number>, resolution: number): number {
  const N = offsets.length - 1;
  const strength = Array.from({ length: N }, (_, i) => weights.subarray(offsets[i], offsets[i + 1]).reduce((sum, weight) => sum + weight, 0));
  const total = strength.reduce((sum, value) => sum + value, 0);
  let sum = 0;
  for (let i = 0; i < N; i++) {
    for (let e = offsets[i]!; e < offsets[i + 1]!; e++) if (labels[i] === labels[targets[e]!]) sum += weights[e]!;
    for (let j = 0; j < N; j++) if (labels[i] === labels[j]) sum -= (resolution * strength[i]! * strength[j]!) / total;
  }
  return sum / total;
}

/** `count` cliques of `size` nodes, the last node of each joined to the first of the next. */
function ringOfCliques(count: number, size: number): [number, number][] {
  const edges: [number, number][] = [];
  for (let c = 0; c < count; c++) {
    for (let a = 0; a < size; a++) for (let b = a + 1; b < size; b++) edges.push([c * size + a, c * size + b]);
    edges.push([c * size + size - 1, ((c + 1) % count) * size]);
  }
  return edges;
}

describe("adjustedRandIndex", () => {
  it.each(adjustedRand.map((one, i) => [i, one] as const))("is that of scikit-learn, partition %i", (_, { a, b, value }) => {
    expect(adjustedRandIndex(a, b)).toBeCloseTo(value, 12);
    expect(adjustedRandIndex(b, a)).toBeCloseTo(value, 12);
  });

  it("does not look at names, takes those of nothing or of one thing as equal, and refuses unequal lengths", () => {
    expect(adjustedRandIndex([0, 0, 1, 1], ["x", "x", "y", "z"])).toBeCloseTo(4 / 7, 12);
    expect([adjustedRandIndex([], []), adjustedRandIndex([3], ["a"]), adjustedRandIndex(Int32Array.of(1, 1, 2), ["b", "b", "a"])]).toEqual([1, 1, 1]);
    expect(() => adjustedRandIndex([0, 1], [0])).toThrow(/same things but received 2 and 1/);
  });
});

describe("communities", () => {
  it("have the modularity of networkx, and on Zachary's karate club nearly the largest there is", () => {
    const club = graphOf(34, karate.edges);
    expect(modularityOf(club, karate.halves, 1)).toBeCloseTo(karate.modularity, 12);
    expect(modularityOf(graphOf(34, weighted.edges), karate.halves, 1.5)).toBeCloseTo(weighted.modularity, 12);
    const { labels, count, modularity } = communities(club);
    expect(modularity).toBeCloseTo(modularityOf(club, labels, 1), 12);
    expect(modularity).toBeGreaterThan(0.99 * karate.largest);
    expect(modularity).toBeLessThan(karate.largest + 1e-12);
    expect(count).toBe(4);
    const heavy = graphOf(34, weighted.edges);
    expect(communities(heavy, 1.5).modularity).toBeCloseTo(modularityOf(heavy, communities(heavy, 1.5).labels, 1.5), 12);
  });

  it("are the cliques of a ring, the same for every order of the nodes", () => {
    const [count, size] = [9, 5];
    const random = randomBits(3, 0);
    for (let round = 0; round < 5; round++) {
      const order = Array.from({ length: count * size }, (_, i) => i);
      if (round > 0) for (let i = order.length - 1; i > 0; i--) {
        const j = below(random, i + 1);
        [order[i], order[j]] = [order[j]!, order[i]!];
      }
      const { labels, modularity } = communities(graphOf(count * size, ringOfCliques(count, size).map(([a, b]) => [order[a]!, order[b]!])));
      expect(adjustedRandIndex(order.map((node) => labels[node]!), order.map((_, i) => Math.floor(i / size)))).toBe(1);
      // 10 of the 11 edges of a clique lie inside it, and each has a ninth of the weight.
      expect(modularity).toBeCloseTo(10 / 11 - 1 / 9, 12);
    }
  });

  it("leave nodes without an edge alone, number the largest 0, and get finer with the resolution", () => {
    const edges: [number, number][] = [[1, 2], [4, 5], [5, 6], [4, 6]];
    expect([...communities(graphOf(8, edges)).labels]).toEqual([2, 1, 1, 3, 0, 0, 0, 4]);
    expect(communities(graphOf(3, []))).toEqual({ labels: Int32Array.of(0, 1, 2), count: 3, modularity: 0 });
    const ring = graphOf(45, ringOfCliques(9, 5));
    expect(communities(ring, 0.1).count).toBeLessThan(9);
    expect(communities(ring, 20).count).toBeGreaterThan(9);
  });
});
