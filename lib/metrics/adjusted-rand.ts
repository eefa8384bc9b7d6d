import { AstgnnError, invalidOption } from "../errors.js";

/**
 * Adjusted Rand index of two partitions of the same things (Hubert and Arabie 1985): 1 where they are equal, on average 0 where they have nothing
 * to do with each other, below 0 where they agree less than that. Names of clusters do not matter.
 *
 * @param a cluster of each thing
 * @param b the same in the other partition
 * @example
 * adjustedRandIndex([0, 0, 1, 1], ["x", "x", "y", "z"]); // 0.5714
 * @throws AstgnnError ERR_SHAPE where the two differ in length
 */
export function adjustedRandIndex(a: ArrayLike<number | string>, b: ArrayLike<number | string>): number {
  for (const [name, of] of Object.entries({ a, b })) if (!Array.isArray(of) && !ArrayBuffer.isView(of)) throw invalidOption(name, "an array of groups", of);
  if (a.length !== b.length) throw new AstgnnError("ERR_SHAPE", `Expected two partitions of the same things but received ${a.length} and ${b.length}.`);
  const [inA, inB, inBoth] = [new Map<number, number>(), new Map<number, number>(), new Map<number, number>()];
  const [codesA, codesB] = [codesOf(a), codesOf(b)];
  const add = (counts: Map<number, number>, key: number): void => void counts.set(key, (counts.get(key) ?? 0) + 1);
  for (let i = 0; i < a.length; i++) {
    add(inA, codesA[i]!);
    add(inB, codesB[i]!);
    add(inBoth, codesA[i]! * b.length + codesB[i]!);
  }
  // Pairs that are together in both, in one, and all pairs.
  const [both, pairsA, pairsB, all] = [pairs(inBoth.values()), pairs(inA.values()), pairs(inB.values()), pairs([a.length])];
  if (both === pairsA && both === pairsB) return 1;
  const expected = (pairsA / all) * pairsB;
  return (both - expected) / ((pairsA + pairsB) / 2 - expected);
}

/** The values as 0, 1 ... in the order in which they come. */
function codesOf(values: ArrayLike<number | string>): Int32Array {
  const codes = new Map<number | string, number>();
  return Int32Array.from(values, (value) => {
    const code = codes.get(value) ?? codes.size;
    codes.set(value, code);
    return code;
  });
}

function pairs(sizes: Iterable<number>): number {
  let sum = 0;
  for (const size of sizes) sum += (size * (size - 1)) / 2;
  return sum;
}
