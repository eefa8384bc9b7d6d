import type { NativeGraph } from "../binding/types.js";
import { invalidOption } from "../errors.js";
import { requireObject } from "../options.js";

/**
 * Mask over pairs of rows, for calls on the user's own tensors: which rows a row may attend to. Pairs of rows of different dates are always
 * masked out; in the attention a row always attends to itself.
 */
export interface RowMask {
  /** Group of each row [R]; rows of one group attend to one another. Absent: all rows of the date do. */
  groups?: Int32Array | readonly number[] | undefined;
  /** Edge list in CSR over the rows of the batch: row r attends to `targets[offsets[r] .. offsets[r + 1]]`. Takes the place of `groups` in the attention. */
  edges?: { offsets: Int32Array | readonly number[]; targets: Int32Array | readonly number[] } | undefined;
}

/** Row ranges of the dates of a packed batch: rows of date d are `offsets[d] .. offsets[d + 1]`. */
export type Offsets = Int32Array | readonly number[];

/** A row mask together with the dates that the rows belong to. */
export interface PackedRowMask extends RowMask {
  /** Absent: all rows are one date. */
  offsets?: Offsets | undefined;
}

/** The mask as the core takes it. */
export function nativeRowMask(rows: number, mask: PackedRowMask = {}): NativeGraph {
  requireObject(mask, "mask", "{ offsets?, groups?, edges? }");
  if (mask.edges !== undefined) requireObject(mask.edges, "edges", "{ offsets, targets }");
  return {
    offsets: mask.offsets === undefined ? Int32Array.of(0, rows) : integers(mask.offsets, "offsets"),
    ...(mask.groups === undefined ? {} : { groups: integers(mask.groups, "groups") }),
    ...(mask.edges === undefined ? {} : { edgeOffsets: integers(mask.edges.offsets, "edges.offsets"), edgeTargets: integers(mask.edges.targets, "edges.targets") }),
  };
}

/** A copy as int32, each value checked: a silent wrap would give another mask. */
export function integers(values: Int32Array | readonly number[], name: string): Int32Array {
  if (!(values instanceof Int32Array) && !(Array.isArray(values) && values.every((value) => Number.isInteger(value) && Math.abs(value) < 2 ** 31))) {
    throw invalidOption(name, "whole numbers: an array or Int32Array", values);
  }
  return Int32Array.from(values);
}
