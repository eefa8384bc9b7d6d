import { finished } from "../binding/job.js";
import { loadCoreAway } from "../binding/load.js";
import type { NativeSolution } from "../binding/types.js";
import { AstgnnError } from "../errors.js";

/** One linear condition on the variables: a'x <= rhs, or = where `bound` is `equal`. A `min` is written with both sides negated. */
export interface Row {
  /** The limit it belongs to, in the user's words; undefined for what only defines a variable. */
  readonly limit: string | undefined;
  readonly bound: "min" | "max" | "equal";
  /** The stock that the row is about, where it is about one. */
  readonly ticker?: string | undefined;
  readonly columns: ArrayLike<number>;
  readonly values: ArrayLike<number>;
  readonly rhs: number;
}

/** The norm of affine functions of the variables, `norm` rows without a limit read as rhs - a'x, is at most the variable `top`. */
export interface Cone {
  readonly top: number;
  readonly norm: readonly Row[];
}

/** Minimise x'Px / 2 + q'x under rows and cones. */
export interface Programme {
  readonly variables: number;
  /** Upper triangle of P, columns ascending: [row, column, value]. */
  readonly quadratic: Quadratic;
  readonly linear: Float64Array;
  readonly rows: readonly Row[];
  readonly cones: readonly Cone[];
}

/** P in compressed columns, upper triangle. */
export interface Quadratic {
  readonly starts: Int32Array;
  readonly rows: Int32Array;
  readonly values: Float64Array;
}

export interface SolveOptions {
  readonly timeLimitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** What the solver found; `prices` of the rows in their order: by how much the minimum falls per unit that rhs grows. */
export interface Solved {
  readonly status: NativeSolution["status"];
  readonly x: Float64Array;
  readonly prices: Float64Array;
  readonly objective: number;
  /** Of the objective, between primal and dual. */
  readonly gap: number;
  readonly iterations: number;
}

/** Relative, of the conditions and of the gap. */
const TOLERANCE = 1e-10;
const ITERATIONS = 200;

export function diagonalQuadratic(diagonal: Float64Array): Quadratic {
  const n = diagonal.length;
  return { starts: Int32Array.from({ length: n + 1 }, (_, i) => i), rows: Int32Array.from({ length: n }, (_, i) => i), values: diagonal };
}

/** Of the first `size` variables a symmetric matrix, of the rest nothing. */
export function denseQuadratic(matrix: Float64Array, size: number, variables: number, scale: number): Quadratic {
  const starts = new Int32Array(variables + 1);
  const rows = new Int32Array((size * (size + 1)) / 2);
  const values = new Float64Array(rows.length);
  let at = 0;
  for (let j = 0; j < variables; j++) {
    if (j < size) {
      for (let i = 0; i <= j; i++) {
        rows[at] = i;
        values[at++] = scale * matrix[i * size + j]!;
      }
    }
    starts[j + 1] = at;
  }
  return { starts, rows, values };
}

/**
 * Solves a programme on the compute thread.
 *
 * @throws AstgnnError ERR_SOLVER_MISSING where the core was built without a solver; ERR_TIME_LIMIT; ERR_ABORTED
 */
export async function solveProgramme(programme: Programme, { timeLimitMs, signal }: SolveOptions): Promise<Solved> {
  const { variables: n, linear, quadratic } = programme;
  const core = await loadCoreAway();
  if (!core.hasSolver) {
    throw new AstgnnError("ERR_SOLVER_MISSING", "This build of astgnn has no solver of convex programmes: there was no cargo when it was built.", {
      next: "Install Rust 1.70 or newer (Debian 12: sudo apt-get install cargo-web; or https://rustup.rs), then run npm run build. Risk parity needs no solver.",
    });
  }
  // Equations first, then what is at most something, then cones: `order` has each row's place.
  const order = new Int32Array(programme.rows.length);
  let place = 0;
  for (const kind of [true, false]) programme.rows.forEach((row, i) => (row.bound === "equal") === kind && (order[i] = place++));
  const equations = programme.rows.filter((row) => row.bound === "equal").length;
  const laid: Row[] = [];
  programme.rows.forEach((row, i) => (laid[order[i]!] = row));
  for (const { top, norm } of programme.cones) laid.push({ limit: undefined, bound: "max", columns: [top], values: [-1], rhs: 0 }, ...norm);
  const kinds: number[] = [];
  const sizes: number[] = [];
  const cover = (kind: number, size: number): void => void (size > 0 && (kinds.push(kind), sizes.push(size)));
  cover(0, equations);
  cover(1, programme.rows.length - equations);
  for (const { norm } of programme.cones) cover(2, norm.length + 1);
  const matrix = compressed(laid, n);
  const found = await finished(
    () =>
      core.solve({
        variables: n, constraints: laid.length,
        pStarts: quadratic.starts, pRows: quadratic.rows, pValues: quadratic.values, q: linear,
        aStarts: matrix.starts, aRows: matrix.rows, aValues: matrix.values, b: Float64Array.from(laid, (row) => row.rhs),
        cones: kinds.length, coneKinds: Int32Array.from(kinds), coneSizes: Int32Array.from(sizes),
        tolerance: TOLERANCE, timeLimitMs, iterations: ITERATIONS,
      }),
    signal,
    "The portfolio",
  );
  if (found.status === "timeLimit") throw new AstgnnError("ERR_TIME_LIMIT", `The solver did not end within ${timeLimitMs} ms.`, { option: "timeLimitMs", next: "Allow more time, or leave out stocks and limits." });
  const gap = Math.abs(found.objective - found.dualObjective);
  return { status: found.status, x: found.x, prices: Float64Array.from(order, (at) => found.z[at]!), objective: found.objective, gap, iterations: found.iterations };
}

/** Rows in compressed columns. */
function compressed(rows: readonly Row[], variables: number): Quadratic {
  const starts = new Int32Array(variables + 1);
  for (const { columns, values } of rows) for (let k = 0; k < columns.length; k++) if (values[k] !== 0) starts[columns[k]! + 1]!++;
  for (let j = 0; j < variables; j++) starts[j + 1]! += starts[j]!;
  const next = starts.slice();
  const at = new Int32Array(starts[variables]!);
  const entries = new Float64Array(at.length);
  rows.forEach(({ columns, values }, i) => {
    for (let k = 0; k < columns.length; k++) {
      if (values[k] === 0) continue;
      const place = next[columns[k]!]!++;
      at[place] = i;
      entries[place] = values[k]!;
    }
  });
  return { starts, rows: at, values: entries };
}
