import type { DuckDBDataChunk } from "@duckdb/node-api";
import duckdb from "@duckdb/node-bindings";

/** The memory of one column of a chunk, without a copy: valid only while the chunk is held. */
export interface ColumnMemory {
  /** `width` bytes a row. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** One bit a row, 1 where the row has a value; undefined where all rows have one. */
  readonly validity: Uint8Array | undefined;
}

/** Column `column` of a chunk of `count` rows whose items take `width` bytes: one call a column, where `getItem` is one a value. */
export function columnMemory(chunk: DuckDBDataChunk, column: number, count: number, width: number): ColumnMemory {
  const vector = duckdb.data_chunk_get_vector(chunk.chunk, column);
  const bytes = duckdb.vector_get_data(vector, count * width) as Uint8Array<ArrayBuffer>;
  const validity = duckdb.vector_get_validity(vector, Math.ceil(count / 64) * 8) as Uint8Array | null;
  return { bytes, validity: validity ?? undefined };
}

/** Whether row `i` has a value. */
export function isValid(validity: Uint8Array, i: number): boolean {
  return (validity[i >> 3]! & (1 << (i & 7))) !== 0;
}

/** Copies a FLOAT or DOUBLE column into `target` from `at` on, NULL as NaN. */
export function copyNumbers(chunk: DuckDBDataChunk, column: number, count: number, target: Float32Array | Float64Array, at: number): void {
  const { bytes, validity } = columnMemory(chunk, column, count, target.BYTES_PER_ELEMENT);
  target.set(target instanceof Float32Array ? new Float32Array(bytes.buffer, bytes.byteOffset, count) : new Float64Array(bytes.buffer, bytes.byteOffset, count), at);
  if (validity === undefined) return;
  for (let byte = 0; byte * 8 < count; byte++) {
    if (validity[byte] === 255) continue;
    for (let i = byte * 8; i < Math.min(count, byte * 8 + 8); i++) if (!isValid(validity, i)) target[at + i] = NaN;
  }
}

/** Copies a UTINYINT column without NULL into `target` from `at` on. */
export function copyBytes(chunk: DuckDBDataChunk, column: number, count: number, target: Uint8Array, at: number): void {
  target.set(columnMemory(chunk, column, count, 1).bytes, at);
}

/** How many rows of a UTINYINT column without NULL are 1. */
export function countOnes(chunk: DuckDBDataChunk, column: number, count: number): number {
  return columnMemory(chunk, column, count, 1).bytes.reduce((sum, flag) => sum + flag, 0);
}
