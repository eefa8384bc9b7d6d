/** What went wrong, in one word that programs can test. */
export type ErrorCode =
  | "ERR_OPTION"
  | "ERR_DATA"
  | "ERR_LEAKAGE"
  | "ERR_SHAPE"
  | "ERR_NATIVE_MISSING"
  | "ERR_LIBTORCH_MISSING"
  | "ERR_LIBTORCH_VERSION"
  | "ERR_CUDA_UNAVAILABLE"
  | "ERR_SOLVER_MISSING"
  | "ERR_OUT_OF_MEMORY"
  | "ERR_DISPOSED"
  | "ERR_BUSY"
  | "ERR_JOBS"
  | "ERR_ABORTED"
  | "ERR_CHECKPOINT"
  | "ERR_RUN_EXISTS"
  | "ERR_NOT_FINITE"
  | "ERR_TIME_LIMIT"
  | "ERR_RANK_LOST"
  | "ERR_DOWNLOAD"
  | "ERR_WRITE"
  | "ERR_INTERNAL";

/** Where an error happened and what to do about it. Every field is optional except what the code implies. */
export interface ErrorDetails {
  /** File or query that was read. */
  file?: string | undefined;
  /** Column of a table. */
  column?: string | undefined;
  /** Row of a table, from 1. */
  row?: number | undefined;
  /** ISO date. */
  date?: string | undefined;
  /** Dotted name of the option, e.g. `split.trainEnd`. */
  option?: string | undefined;
  /** One imperative sentence: what to do next. It is appended to the message. */
  next?: string | undefined;
  cause?: unknown;
}

/**
 * The one error class of this package. `message` says what was found, what was expected and, as its last sentence, what to do next. Its
 * `name` is `AstgnnError`, and `AbortError` where a signal stopped the call (code `ERR_ABORTED`, the signal's reason as `cause`).
 *
 * @example
 * try { await openPanel("prices.csv"); } catch (error) { if (error instanceof AstgnnError && error.code === "ERR_DATA") console.error(error.column); }
 */
export class AstgnnError extends Error {
  readonly code: ErrorCode;
  readonly file?: string;
  readonly column?: string;
  readonly row?: number;
  readonly date?: string;
  readonly option?: string;
  /** What to do next; already part of `message`. */
  readonly next?: string;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    const { next, cause, ...where } = details;
    super(next === undefined ? message : `${message} ${next}`, cause === undefined ? undefined : { cause });
    this.name = code === "ERR_ABORTED" ? "AbortError" : "AstgnnError";
    this.code = code;
    Object.assign(this, where, next === undefined ? {} : { next });
  }
}

/** Prints a value for a message: short, quoted if text. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
  if (value === null || value === undefined || typeof value !== "object") return String(value);
  if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${(value as unknown as { length?: number }).length ?? "?"})`;
  try {
    const text = JSON.stringify(value) ?? String(value);
    return text.length > 80 ? `${text.slice(0, 77)}...` : text;
  } catch {
    return Object.prototype.toString.call(value);
  }
}

/** Type of a value for a message: `array`, `null`, a class name or the plain typeof. */
export function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "object") return value.constructor?.name ?? "object";
  return typeof value;
}

/** The sentence behind every bad argument: "Expected <what> for <name> but received <value> of type <type>." */
export function invalidOption(name: string, expected: string, received: unknown, next?: string): AstgnnError {
  const value = received === undefined ? "nothing" : `${show(received)} of type ${typeName(received)}`;
  return new AstgnnError("ERR_OPTION", `Expected ${expected} for ${name} but received ${value}.`, {
    option: name,
    ...(next === undefined ? {} : { next }),
  });
}

/** The candidate nearest to what was written (Damerau-free edit distance), or undefined where nothing is near. */
export function nearest(written: string, candidates: readonly string[]): string | undefined {
  return nearestFew(written, candidates, 1)[0];
}

/** At most `count` candidates that are near to what was written, the nearest first; equally near ones in their order. */
export function nearestFew(written: string, candidates: readonly string[], count: number): string[] {
  // Whoever asks may have been given anything.
  if (typeof written !== "string") return [];
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, j) => j);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) {
        next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
      }
      row = next;
    }
    return row[b.length]!;
  };
  const plain = (text: string): string => text.toLowerCase().replace(/[-_\s]/g, "");
  return candidates
    .map((candidate) => ({ candidate, away: distance(plain(written), plain(candidate)) }))
    .filter(({ away }) => away <= Math.max(2, Math.floor(written.length / 3)))
    .sort((a, b) => a.away - b.away)
    .slice(0, count)
    .map(({ candidate }) => candidate);
}
