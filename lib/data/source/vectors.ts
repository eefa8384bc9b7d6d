import { DuckDBTypeId, type DuckDBDataChunk, type DuckDBResult } from "@duckdb/node-api";
import duckdb from "@duckdb/node-bindings";

/** Bytes of a row's value in the memory of a column. A text lies there or has a pointer there. */
const WIDTHS: Readonly<Partial<Record<DuckDBTypeId, number>>> = { [DuckDBTypeId.UTINYINT]: 1, [DuckDBTypeId.DATE]: 4, [DuckDBTypeId.FLOAT]: 4, [DuckDBTypeId.DOUBLE]: 8, [DuckDBTypeId.VARCHAR]: 16 };

/** Of each column of a chunk its memory and its validity, without a copy: valid only while the chunk is held. */
export function chunkMemory(chunk: DuckDBDataChunk, result: DuckDBResult): (Uint8Array | undefined)[] {
  const memory: (Uint8Array | undefined)[] = [];
  for (let column = 0; column < chunk.columnCount; column++) {
    const vector = duckdb.data_chunk_get_vector(chunk.chunk, column);
    const validity = duckdb.vector_get_validity(vector, Math.ceil(chunk.rowCount / 64) * 8) as Uint8Array | null;
    memory.push(duckdb.vector_get_data(vector, chunk.rowCount * WIDTHS[result.columnTypeId(column)]!), validity ?? undefined);
  }
  return memory;
}
