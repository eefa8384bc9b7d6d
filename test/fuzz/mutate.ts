import { below, randomBits, type RandomBits } from "../../lib/metrics/random.js";

/** Numbers at the edges of what readers count with. */
const EDGES = [0, 1, -1, 2, 255, 256, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 + 2, -(2 ** 31), 1e308, -1e308, 1e-320, 0.5, 1.5] as const;
const TEXTS = ["", "NaN", "nan", "inf", "-inf", "1e999", "0x10", "null", "2016-13-45", "9999-12-31", "0000-00-00", "1970-01-01 25:00:00", '"', "''", ",", "\u0000", "\r", "é", "𝔘", "<script>", "../../etc/passwd", "__proto__", "constructor", "toString"] as const;

/** Draws by which one input is changed; the same for the same seed. */
export class Mutator {
  readonly #random: RandomBits;

  constructor(seed: number) {
    this.#random = randomBits(seed, 7);
  }

  below(limit: number): number {
    return below(this.#random, limit);
  }

  pick<V>(values: readonly V[]): V {
    return values[this.below(values.length)]!;
  }

  /** One to four changes of bytes: bits, edges of integers, cuts, copies, swaps and words. */
  bytes(seed: Uint8Array): Uint8Array {
    let bytes: Uint8Array = Uint8Array.from(seed);
    for (let changes = 1 + this.below(4); changes > 0; changes--) bytes = this.#changed(bytes);
    return bytes;
  }

  #changed(bytes: Uint8Array): Uint8Array {
    const at = this.below(bytes.length + 1);
    const end = Math.min(bytes.length, at + 1 + this.below(16));
    const joined = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
    switch (this.below(8)) {
      case 0: // a bit
        if (bytes.length > 0) bytes[at % bytes.length]! ^= 1 << this.below(8);
        return bytes;
      case 1:
        if (bytes.length > 0) bytes[at % bytes.length] = this.pick([0, 1, 0x7f, 0x80, 0xff, 0x22, 0x2c, 0x0a]);
        return bytes;
      case 2: // an integer of eight bytes
        if (bytes.length >= 8) new DataView(bytes.buffer, bytes.byteOffset).setBigUint64(Math.min(at, bytes.length - 8), this.pick([0n, 1n, 7n, 1n << 31n, 1n << 53n, (1n << 64n) - 1n, BigInt(bytes.length)]), true);
        return bytes;
      case 3: // cut off
        return bytes.slice(0, at);
      case 4: // cut out
        return joined(bytes.subarray(0, at), bytes.subarray(end));
      case 5: // twice
        return joined(bytes.subarray(0, end), bytes.subarray(at));
      case 6:
        return joined(bytes.subarray(0, at), new TextEncoder().encode(this.pick(TEXTS)), bytes.subarray(at));
      default: // a stretch over another
        bytes.copyWithin(at, this.below(bytes.length + 1), this.below(bytes.length + 1));
        return bytes;
    }
  }

  /** One to three changes of a JSON value: other types, edges, names that objects know, missing and further parts. */
  json(value: unknown): unknown {
    const copy = structuredClone(value);
    let changed = copy;
    for (let changes = 1 + this.below(3); changes > 0; changes--) changed = this.#within(changed);
    return changed;
  }

  #within(value: unknown): unknown {
    if (typeof value !== "object" || value === null || this.below(6) === 0) return this.#other(value);
    const keys = Object.keys(value);
    if (keys.length === 0) return this.#other(value);
    const key = this.pick(keys);
    const parts = value as Record<string, unknown>;
    switch (this.below(8)) {
      case 0:
        if (Array.isArray(value)) value.splice(Number(key), 1);
        else delete parts[key];
        return value;
      case 1:
        if (Array.isArray(value)) value.push(structuredClone(this.pick(value as unknown[])));
        else Object.defineProperty(parts, this.pick([...TEXTS, ...keys.map((name) => `${name}x`)]), { value: structuredClone(parts[key]), enumerable: true, writable: true, configurable: true });
        return value;
      default:
        parts[key] = this.#within(parts[key]);
        return value;
    }
  }

  #other(value: unknown): unknown {
    switch (this.below(8)) {
      case 0:
        return null;
      case 1:
        return this.pick(TEXTS);
      case 2:
        return [value];
      case 3:
        return { value };
      case 4:
        return typeof value === "number" ? String(value) : typeof value === "string" ? Number(value) : !value;
      case 5:
        return typeof value === "string" ? value.slice(0, this.below(value.length + 1)) + this.pick(TEXTS) : this.pick(EDGES);
      default:
        return this.pick(EDGES);
    }
  }
}
