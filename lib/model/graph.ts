import type { NativeGraph } from "../binding/types.js";
import { invalidOption } from "../errors.js";

/**
 * Who may see whom among the rows of a call on tensors of one's own. Rows of different dates never see one another;
 * a row always sees itself in the attention.
 */
export interface Graph {
  /** Group of each row [R]; rows of one group see one another. Absent: all rows of the date do. */
  groups?: Int32Array | readonly number[];
  /** Edge list in CSR over the rows of the batch: row r sees `targets[offsets[r] .. offsets[r + 1]]`. Takes the place of `groups` in the attention. */
  edges?: { offsets: Int32Array | readonly number[]; targets: Int32Array | readonly number[] };
}

/** Row ranges of the dates of a packed batch: rows of date d are `offsets[d] .. offsets[d + 1]`. */
export type Offsets = Int32Array | readonly number[];

/** A graph together with the dates that its rows belong to. */
export interface PackedGraph extends Graph {
  /** Absent: all rows are one date. */
  offsets?: Offsets;
}

/** The graph as the core takes it. */
export function nativeGraph(rows: number, graph: PackedGraph = {}): NativeGraph {
  return {
    offsets: graph.offsets === undefined ? Int32Array.of(0, rows) : integers(graph.offsets, "offsets"),
    ...(graph.groups === undefined ? {} : { groups: integers(graph.groups, "groups") }),
    ...(graph.edges === undefined ? {} : { edgeOffsets: integers(graph.edges.offsets, "edges.offsets"), edgeTargets: integers(graph.edges.targets, "edges.targets") }),
  };
}

/** A copy as int32, each value checked: a silent wrap would give another graph. */
export function integers(values: Int32Array | readonly number[], name: string): Int32Array {
  if (!(values instanceof Int32Array) && !(Array.isArray(values) && values.every((value) => Number.isInteger(value) && Math.abs(value) < 2 ** 31))) {
    throw invalidOption(name, "whole numbers: an array or Int32Array", values);
  }
  return Int32Array.from(values);
}
