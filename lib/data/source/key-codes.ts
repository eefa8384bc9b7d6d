import type { DuckDBDataChunk, DuckDBVarCharVector } from "@duckdb/node-api";
import { columnMemory, isValid } from "./vectors.js";

/** The distinct values of a key column, numbered in the order in which they are met. */
export interface KeyCodes {
  /** Codes of the rows of a chunk into `out` from `at` on, -1 for NULL. Returns whether there was none. */
  encode(chunk: DuckDBDataChunk, column: number, count: number, out: Int32Array, at: number): boolean;
}

/** DuckDB keeps texts of up to 12 bytes in the vector itself: 4 bytes of length, the text, zeros. Longer ones are behind a pointer. */
const INLINE_BYTES = 12;
const WORDS = 4;

/** Codes of a VARCHAR column. Short texts are told apart by their 16 bytes, without a JavaScript string a row. */
export class TextCodes implements KeyCodes {
  readonly texts: string[] = [];
  /** Open addressing: code + 1, or 0 where free. */
  #slots = new Int32Array(1 << 12);
  /** The 16 bytes of a short text, by code. */
  #words = new Int32Array(WORDS << 11);
  readonly #codeOfLong = new Map<string, number>();

  encode(chunk: DuckDBDataChunk, column: number, count: number, out: Int32Array, at: number): boolean {
    const { bytes, validity } = columnMemory(chunk, column, count, 4 * WORDS);
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, WORDS * count);
    let isComplete = true;
    for (let i = 0; i < count; i++) {
      if (validity !== undefined && !isValid(validity, i)) {
        out[at + i] = -1;
        isComplete = false;
        continue;
      }
      const w = WORDS * i;
      if (i > 0 && out[at + i - 1]! >= 0 && words[w] === words[w - 4] && words[w + 1] === words[w - 3] && words[w + 2] === words[w - 2] && words[w + 3] === words[w - 1]) out[at + i] = out[at + i - 1]!;
      else out[at + i] = words[w]! > INLINE_BYTES ? this.#longCode((chunk.getColumnVector(column) as DuckDBVarCharVector).getItem(i)!) : this.#shortCode(words, w, bytes);
    }
    return isComplete;
  }

  #shortCode(words: Int32Array, w: number, bytes: Uint8Array): number {
    const a = words[w]!;
    const b = words[w + 1]!;
    const c = words[w + 2]!;
    const d = words[w + 3]!;
    const known = this.#words;
    const mask = this.#slots.length - 1;
    for (let slot = hash(a, b, c, d) & mask; ; slot = (slot + 1) & mask) {
      const code = this.#slots[slot]! - 1;
      if (code < 0) break;
      const k = WORDS * code;
      if (known[k] === a && known[k + 1] === b && known[k + 2] === c && known[k + 3] === d) return code;
    }
    const code = this.texts.length;
    this.texts.push(Buffer.from(bytes.buffer, bytes.byteOffset + 4 * w + 4, a).toString("utf8"));
    if (WORDS * (code + 1) > known.length) this.#grow();
    this.#words.set([a, b, c, d], WORDS * code);
    this.#insert(code);
    return code;
  }

  #longCode(text: string): number {
    let code = this.#codeOfLong.get(text);
    if (code !== undefined) return code;
    code = this.texts.length;
    this.texts.push(text);
    this.#codeOfLong.set(text, code);
    if (WORDS * (code + 1) > this.#words.length) this.#grow();
    this.#words[WORDS * code] = INLINE_BYTES + 1; // no short text has this length
    return code;
  }

  #grow(): void {
    const words = new Int32Array(2 * this.#words.length);
    words.set(this.#words);
    this.#words = words;
    this.#slots = new Int32Array(2 * this.#slots.length);
    for (let code = 0; code < this.texts.length - 1; code++) if (words[WORDS * code]! <= INLINE_BYTES) this.#insert(code);
  }

  #insert(code: number): void {
    const [words, mask, k] = [this.#words, this.#slots.length - 1, WORDS * code];
    let slot = hash(words[k]!, words[k + 1]!, words[k + 2]!, words[k + 3]!) & mask;
    while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
    this.#slots[slot] = code + 1;
  }
}

function hash(a: number, b: number, c: number, d: number): number {
  let h = Math.imul(a ^ Math.imul(b, 0x85ebca6b), 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 15) ^ c, 0x27d4eb2f);
  h = Math.imul(h ^ (h >>> 13) ^ d, 0x165667b1);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Codes of a DATE (days from 1970-01-01) or DOUBLE column. */
export class NumberCodes implements KeyCodes {
  readonly numbers: number[] = [];
  readonly #codes = new Map<number, number>();
  readonly #View: typeof Int32Array | typeof Float64Array;
  /** Codes of small whole numbers, which days are: code + 1 by number. */
  readonly #direct = new Int32Array(1 << 17);

  constructor(type: "DATE" | "DOUBLE") {
    this.#View = type === "DATE" ? Int32Array : Float64Array;
  }

  encode(chunk: DuckDBDataChunk, column: number, count: number, out: Int32Array, at: number): boolean {
    const { bytes, validity } = columnMemory(chunk, column, count, this.#View.BYTES_PER_ELEMENT);
    const numbers = new this.#View(bytes.buffer, bytes.byteOffset, count);
    let isComplete = true;
    for (let i = 0; i < count; i++) {
      if (validity !== undefined && !isValid(validity, i)) {
        out[at + i] = -1;
        isComplete = false;
      } else out[at + i] = this.#code(numbers[i]!);
    }
    return isComplete;
  }

  #code(number: number): number {
    const isDirect = number >= 0 && number < 1 << 17 && Number.isInteger(number);
    const known = isDirect ? this.#direct[number]! - 1 : (this.#codes.get(number) ?? -1);
    if (known >= 0) return known;
    const code = this.numbers.length;
    this.numbers.push(number);
    if (isDirect) this.#direct[number] = code + 1;
    else this.#codes.set(number, code);
    return code;
  }
}
