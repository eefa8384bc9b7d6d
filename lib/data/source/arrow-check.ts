/** Slots of a table of a flatbuffer that refer to more: vectors of plain entries by their size in bytes, tables, vectors of tables. */
interface Layout {
  readonly [slot: number]: { readonly entry: number } | { readonly table: () => Layout } | { readonly tables: () => Layout };
}

const KEY_VALUE: Layout = {};
const TYPE: Layout = { 6: { entry: 4 } }; // a union's ids
const INTEGER: Layout = {};
const DICTIONARY: Layout = { 6: { table: () => INTEGER } };
const FIELD: Layout = { 12: { table: () => DICTIONARY }, 14: { tables: () => FIELD }, 16: { tables: () => KEY_VALUE } };
const SCHEMA: Layout = { 6: { tables: () => FIELD }, 8: { tables: () => KEY_VALUE }, 10: { entry: 8 } };
const RECORD_BATCH: Layout = { 6: { entry: 16 }, 8: { entry: 16 }, 10: { table: () => ({}) }, 12: { entry: 8 } };
const FOOTER: Layout = { 6: { table: () => SCHEMA }, 8: { entry: 24 }, 10: { entry: 24 }, 12: { tables: () => KEY_VALUE } };
/** By the number of its kind. */
const HEADERS: Readonly<Record<number, Layout>> = { 1: SCHEMA, 2: { 6: { table: () => RECORD_BATCH } }, 3: RECORD_BATCH };
const UNION_TYPE = 14;

const MAGIC = "ARROW1";

/**
 * Looks whether the metadata of an Arrow file or stream stay within their bytes: a damaged length would have the reader make an array of as many parts, which ends
 * the process. What it lets through may still be no Arrow file.
 *
 * @throws Error saying what does not fit
 */
export function checkArrow(bytes: Uint8Array): void {
  const text = (from: number): string => new TextDecoder().decode(bytes.subarray(from, from + MAGIC.length));
  if (text(0) !== MAGIC) return checkMessages(bytes, 0);
  const end = bytes.byteLength - MAGIC.length - 4;
  const footer = new Flatbuffer(bytes);
  const begin = end - footer.int32(end);
  footer.check(begin, FOOTER);
  for (const offset of [...footer.blocks(begin, 8), ...footer.blocks(begin, 10)]) checkMessage(bytes, offset);
}

function checkMessages(bytes: Uint8Array, from: number): void {
  for (let at: number | undefined = from; at !== undefined && at < bytes.byteLength; ) at = checkMessage(bytes, at);
}

/** Where the next message begins; undefined after the last. */
function checkMessage(bytes: Uint8Array, from: number): number | undefined {
  const whole = new Flatbuffer(bytes);
  const isMarked = whole.int32(from) === -1;
  const begin = from + (isMarked ? 8 : 4);
  const length = whole.int32(begin - 4);
  if (length === 0) return undefined;
  if (length < 0 || begin + length > bytes.byteLength) throw new Error(`its message at byte ${from} claims ${length} bytes`);
  const message = new Flatbuffer(bytes.subarray(begin, begin + length));
  const layout = HEADERS[message.byte(0, 6)];
  if (layout === undefined) throw new Error(`its message at byte ${from} is of an unknown kind`);
  message.check(0, { 8: { table: () => layout } });
  const body = message.int64(message.root(0), 10);
  if (body < 0 || begin + length + body > bytes.byteLength) throw new Error(`the body of its message at byte ${from} claims ${body} bytes`);
  const batch = message.batch(layout);
  if (batch !== undefined) checkRows(message, batch, bytes.subarray(begin + length, begin + length + body));
  return begin + length + body;
}

/** No more can be packed into a byte: by LZ4, by ZSTD. */
const MOST_PACKED = [255, 40_000];

/** A row takes a bit at least, in a batch and in each of its columns that takes anything: no more of them than bytes can hold. */
function checkRows(message: Flatbuffer, batch: number, body: Uint8Array): void {
  const codec = message.codec(batch);
  let held = body.byteLength;
  if (codec !== undefined) {
    held = 0;
    for (const [offset, length] of message.pairs(batch, 8)) {
      if (length < 8) continue;
      if (offset < 0 || offset + length > body.byteLength) throw new Error(`a buffer claims bytes ${offset} to ${offset + length} of ${body.byteLength}`);
      const claimed = Number(new DataView(body.buffer, body.byteOffset + offset).getBigInt64(0, true));
      const packed = length - 8;
      if (claimed > packed * MOST_PACKED[codec === 0 ? 0 : 1]! + 1024) throw new Error(`a buffer of ${packed} bytes claims to hold ${claimed}`);
      held += claimed === -1 ? packed : Math.max(0, claimed);
    }
  }
  for (const rows of [message.int64(batch, 4), ...message.pairs(batch, 6).map(([rows]) => rows)]) {
    if (rows < 0 || rows > 8 * held) throw new Error(`${rows} rows are claimed of ${held} bytes`);
  }
}

/** Tables of one flatbuffer. */
class Flatbuffer {
  readonly #view: DataView;
  /** Bytes that vectors may still take: no file needs more than it has. */
  #left: number;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#left = bytes.byteLength;
  }

  int32(at: number): number {
    return this.#view.getInt32(at, true);
  }

  /** The table that an offset refers to. */
  root(at: number): number {
    return at + this.int32(at);
  }

  byte(root: number, slot: number): number {
    const at = this.#field(this.root(root), slot);
    return at === undefined ? 0 : this.#view.getUint8(at);
  }

  int64(table: number, slot: number): number {
    const at = this.#field(table, slot);
    return at === undefined ? 0 : Number(this.#view.getBigInt64(at, true));
  }

  /** Offsets of the blocks in a vector of a footer, checked before. */
  blocks(root: number, slot: number): number[] {
    return this.#entries(this.root(root), slot, 24).map((at) => Number(this.#view.getBigInt64(at, true)));
  }

  /** Entries of two 64-bit numbers of a vector, checked before. */
  pairs(table: number, slot: number): [number, number][] {
    return this.#entries(table, slot, 16).map((at) => [Number(this.#view.getBigInt64(at, true)), Number(this.#view.getBigInt64(at + 8, true))]);
  }

  /** The record batch of a message of `layout`, a dictionary's own too. */
  batch(layout: Layout): number | undefined {
    const header = this.#field(this.root(0), 8);
    if (header === undefined || layout === SCHEMA) return undefined;
    if (layout === RECORD_BATCH) return this.root(header);
    const data = this.#field(this.root(header), 6);
    return data === undefined ? undefined : this.root(data);
  }

  /** Number of the codec that packs a batch; undefined where none does. */
  codec(batch: number): number | undefined {
    const at = this.#field(batch, 10);
    if (at === undefined) return undefined;
    const codec = this.#field(this.root(at), 4);
    return codec === undefined ? 0 : this.#view.getInt8(codec);
  }

  #entries(table: number, slot: number, size: number): number[] {
    const at = this.#field(table, slot);
    if (at === undefined) return [];
    const base = this.root(at);
    return Array.from({ length: this.int32(base) }, (_, i) => base + 4 + size * i);
  }

  check(root: number, layout: Layout): void {
    this.#table(root, layout);
  }

  #table(at: number, layout: Layout): void {
    const table = at + this.int32(at);
    for (const [slot, part] of Object.entries(layout)) {
      const field = this.#field(table, Number(slot));
      if (field === undefined) continue;
      if ("table" in part) this.#table(field, part.table());
      else if ("entry" in part) this.#vector(field, part.entry);
      else {
        const { base, count } = this.#vector(field, 4);
        for (let i = 0; i < count; i++) this.#table(base + 4 * i, part.tables());
      }
    }
    if (layout === FIELD && this.byte(at, 8) === UNION_TYPE) {
      const type = this.#field(table, 10);
      if (type !== undefined) this.#table(type, TYPE);
    }
  }

  /** Where a table has a field. */
  #field(table: number, slot: number): number | undefined {
    const vtable = table - this.int32(table);
    if (slot >= this.#view.getInt16(vtable, true)) return undefined;
    const offset = this.#view.getInt16(vtable + slot, true);
    return offset === 0 ? undefined : table + offset;
  }

  #vector(field: number, entry: number): { base: number; count: number } {
    const base = field + this.int32(field) + 4;
    const count = this.int32(base - 4);
    this.#left -= count * entry;
    if (count < 0 || base + count * entry > this.#view.byteLength || this.#left < 0) throw new Error(`a list of its metadata claims ${count} entries`);
    return { base, count };
  }
}
