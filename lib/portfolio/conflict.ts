import { AstgnnError } from "../errors.js";
import type { LimitRows } from "./limits.js";
import { diagonalQuadratic, type Programme, type Row, type SolveOptions, type Solved, solveProgramme } from "./programme.js";

/** Limits that cannot hold together; without any one of them the others can. */
export interface Conflict {
  readonly status: "infeasible";
  /** Options by their names, `group:<name>`, `factor:<name>`. */
  readonly conflict: readonly string[];
  /** By how much each of them alone would have to give way, the others of the conflict as they are: in its own units, of a limit on single stocks for each of them. */
  readonly give: Readonly<Record<string, number>>;
  /** With `maxNames` in the conflict: the names are those that the heuristic chose, and others with which all limits hold may exist. */
  readonly isOfChosenNames?: true;
}

/** What rounding of the solver may look like, in units of the limits. */
const NOTHING = 1e-7;

/**
 * A minimal set of limits that contradict each other, by a deletion filter (Chinneck and Dravnieks 1991) over elastic programmes: each asks by how much
 * limits would have to give way, which always has an answer. Undefined where the limits can hold.
 */
export async function conflictOf({ rows, variables }: LimitRows, options: SolveOptions): Promise<Conflict | undefined> {
  const names = [...new Set(rows.flatMap(({ limit }) => (limit === undefined ? [] : [limit])))];
  const giving = async (hard: ReadonlySet<string>, soft: readonly string[]): Promise<Giving> => {
    const programme = elastic(rows, variables, hard, soft);
    const solved = await solveProgramme(programme, options);
    if (solved.status !== "solved" && solved.status !== "inaccurate") {
      throw new AstgnnError("ERR_NOT_FINITE", `No portfolio was found, and it could not be told which limits contradict each other: the solver ended with ${solved.status}.`, { option: "limits", next: "Limits of very different sizes do that: write them in shares of the capital." });
    }
    return { total: solved.objective, gives: soft.map((_, i) => solved.x[variables + i]!), prices: priceOf(programme.rows, solved) };
  };
  const canHold = async (limits: readonly string[]): Promise<boolean> => limits.length < 2 || (await giving(new Set(), limits)).total <= NOTHING;
  const first = await giving(new Set(), names);
  if (first.total <= NOTHING) return undefined;
  // A limit without a price takes no part in the contradiction that was found; the filter has little left to do.
  const top = Math.max(...first.prices.values());
  let conflict = names.filter((name) => (first.prices.get(name) ?? 0) > 1e-6 * top);
  if (await canHold(conflict)) conflict = names;
  for (const name of [...conflict]) {
    const others = conflict.filter((other) => other !== name);
    if (!(await canHold(others))) conflict = others;
  }
  const give: Record<string, number> = {};
  for (const name of conflict) {
    const { gives } = await giving(new Set(conflict.filter((other) => other !== name)), [name]);
    give[name] = gives[0]!;
  }
  return { status: "infeasible", conflict, give };
}

interface Giving {
  readonly total: number;
  readonly gives: readonly number[];
  readonly prices: ReadonlyMap<string, number>;
}

function priceOf(rows: readonly Row[], { prices }: Solved): Map<string, number> {
  const found = new Map<string, number>();
  rows.forEach(({ limit }, i) => limit !== undefined && found.set(limit, Math.max(found.get(limit) ?? 0, Math.abs(prices[i]!))));
  return found;
}

/** Minimise by how much the limits of `soft` give way, those of `hard` as they are, all others away. */
function elastic(rows: readonly Row[], variables: number, hard: ReadonlySet<string>, soft: readonly string[]): Programme {
  const slack = new Map(soft.map((name, i) => [name, variables + i]));
  const all = variables + soft.length;
  const linear = new Float64Array(all).fill(1, variables);
  const kept = rows.flatMap((row): Row[] => {
    const { limit, bound, columns, values, rhs } = row;
    if (limit === undefined || hard.has(limit)) return [row];
    const at = slack.get(limit);
    if (at === undefined) return [];
    const loose = (sign: number): Row => ({ limit, bound: "max", columns: [...Array.from(columns), at], values: [...Array.from(values, (value) => sign * value), -1], rhs: sign * rhs });
    return bound === "equal" ? [loose(1), loose(-1)] : [loose(1)];
  });
  for (const at of slack.values()) kept.push({ limit: undefined, bound: "max", columns: [at], values: [-1], rhs: 0 });
  return { variables: all, quadratic: diagonalQuadratic(new Float64Array(all)), linear, rows: kept, cones: [] };
}
