import { AstgnnError } from "../errors.js";
import type { Conflict } from "./conflict.js";
import { type ConvexProblem, type ConvexSolution, solveConvex } from "./convex.js";
import type { SolveOptions } from "./programme.js";

/** A portfolio of few names beside the one of as many as it likes, which no portfolio of few names can beat. */
export interface FewNames {
  readonly names: number;
  /** The objective without the limit on names. */
  readonly relaxation: number;
  /** |value - relaxation| / |relaxation|: the most that a better choice of names could gain. */
  readonly gap: number;
}

/** Weights below this are none. */
const NONE = 1e-9;

/**
 * A heuristic: solves without the limit, then lets go of half of the surplus names with the smallest weights at a time and solves again, until `most` are left.
 *
 * @throws AstgnnError ERR_OPTION where the names that are kept leave no portfolio, which does not prove that there is none
 */
export async function fewNames(problem: ConvexProblem, most: number, options: SolveOptions): Promise<(ConvexSolution & { fewNames: FewNames }) | Conflict> {
  const relaxed = await solveConvex(problem, options);
  if ("conflict" in relaxed) return relaxed;
  let found: ConvexSolution = relaxed;
  for (;;) {
    const held = [...found.weights.keys()].filter((i) => Math.abs(found.weights[i]!) > NONE).sort((a, b) => Math.abs(found.weights[b]!) - Math.abs(found.weights[a]!));
    if (held.length <= most) break;
    const kept = held.slice(0, most + Math.floor((held.length - most) / 2));
    const next = await solveConvex({ ...problem, kept }, options);
    if ("conflict" in next) {
      throw new AstgnnError("ERR_OPTION", `With ${kept.length} names no portfolio keeps to ${next.conflict.filter((name) => name !== "maxNames").join(", ")}.`, { option: "limits.maxNames", next: "Allow more names, or loosen those limits; another choice of names may exist, which is not searched for." });
    }
    found = { ...next, duals: [] };
  }
  const names = found.weights.filter((weight) => Math.abs(weight) > NONE).length;
  const gap = relaxed.value === 0 ? (found.value === 0 ? 0 : Infinity) : Math.abs(found.value - relaxed.value) / Math.abs(relaxed.value);
  return { ...found, fewNames: { names, relaxation: relaxed.value, gap } };
}
