import { AstgnnError } from "../errors.js";

/** Arrays of a panel's grid [dates * stocks]. */
export type GridArray = Float32Array | Float64Array | Uint8Array | Int32Array;

/** Room for dates to come, as a share of those that there are. */
const ROOM = 0.25;

/** Up to which byte of a buffer a grid has been given out: the bytes after it are free. */
const givenOut = new WeakMap<ArrayBufferLike, number>();

/**
 * The grid with `length` cells: those of `grid`, then `filler`. Where the buffer has room behind the grid that no other has taken, cells are added in
 * place, so that a date costs what a date holds; else the grid moves to a buffer with room. `grid` itself stays as it is.
 */
export function lengthen<G extends GridArray>(grid: G, length: number, filler: number): G {
  const size = grid.BYTES_PER_ELEMENT;
  const hasRoom = givenOut.get(grid.buffer) === grid.byteOffset + grid.byteLength && grid.byteOffset + length * size <= grid.buffer.byteLength;
  const longer = hasRoom ? viewOf(grid, grid.buffer, grid.byteOffset, length) : viewOf(grid, memoryFor(length, size), 0, length);
  givenOut.set(longer.buffer, longer.byteOffset + longer.byteLength);
  if (!hasRoom) longer.set(grid);
  longer.fill(filler, grid.length);
  return longer;
}

/**
 * The same where stocks join: column n of `grid` [dates * stocks] becomes column `places[n]` of `width`, the others hold `filler`. Places ascend.
 */
export function widen<G extends GridArray>(grid: G, places: Int32Array, width: number, length: number, filler: number): G {
  const size = grid.BYTES_PER_ELEMENT;
  const wider = viewOf(grid, memoryFor(length, size), 0, length);
  givenOut.set(wider.buffer, wider.byteLength);
  wider.fill(filler);
  const stocks = places.length;
  // Stocks between two that join stay side by side and are copied at once.
  for (let first = 0; first < stocks; ) {
    let end = first + 1;
    while (end < stocks && places[end]! === places[end - 1]! + 1) end++;
    for (let from = first, to = places[first]!; from < grid.length; from += stocks, to += width) wider.set(grid.subarray(from, from + end - first), to);
    first = end;
  }
  return wider;
}

/** @throws AstgnnError ERR_OUT_OF_MEMORY */
function memoryFor(cells: number, size: number): ArrayBuffer {
  try {
    return new ArrayBuffer(Math.ceil(cells * (1 + ROOM)) * size);
  } catch (cause) {
    throw new AstgnnError("ERR_OUT_OF_MEMORY", `A column of ${cells} cells, and room for those to come, does not fit into memory.`, { cause, next: "Append to a panel of fewer columns or of a shorter date range." });
  }
}

function viewOf<G extends GridArray>(grid: G, buffer: ArrayBufferLike, offset: number, length: number): G {
  return new (grid.constructor as new (buffer: ArrayBufferLike, offset: number, length: number) => G)(buffer, offset, length);
}
