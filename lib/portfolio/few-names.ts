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
 * A heuristic: solves without the limit, then lets go of half of the surplus names with the smallest weights at a time and solves again, until `most` are left. Where the
 * names that are kept leave no portfolio, the limits that they contradict and how many more names it takes.
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
    if ("conflict" in next) return fewest(problem, held, kept.length, most, next, options);
    found = { ...next, duals: [] };
  }
  const names = found.weights.filter((weight) => Math.abs(weight) > NONE).length;
  const gap = relaxed.value === 0 ? (found.value === 0 ? 0 : Infinity) : Math.abs(found.value - relaxed.value) / Math.abs(relaxed.value);
  return { ...found, fewNames: { names, relaxation: relaxed.value, gap } };
}

/**
 * The conflict of `most` names, and by how many more of the names with the largest weights it goes.
 *
 * @param refused number of names with which it does not go, of whose conflict `known` is
 */
async function fewest(problem: ConvexProblem, held: readonly number[], refused: number, most: number, known: Conflict, options: SolveOptions): Promise<Conflict> {
  let [without, enough] = [refused, held.length];
  while (enough - without > 1) {
    const middle = (without + enough) >> 1;
    if ("conflict" in (await solveConvex({ ...problem, kept: held.slice(0, middle) }, options))) without = middle;
    else enough = middle;
  }
  const conflict = refused === most ? known : await solveConvex({ ...problem, kept: held.slice(0, most) }, options);
  const { conflict: names, give } = "conflict" in conflict ? conflict : known;
  return { status: "infeasible", conflict: names, give: { ...give, maxNames: enough - most }, isOfChosenNames: true };
}
