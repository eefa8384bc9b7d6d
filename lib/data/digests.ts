import { createHash } from "node:crypto";
import type { Groups } from "./groups.js";
import type { DataDigests, Edges } from "./types.js";

/** SHA-256 of each date's rows, [dates * 32], of parts by name. */
export type DateDigests = ReadonlyMap<string, Uint8Array>;

/** Bytes of a digest. */
export const DIGEST_BYTES = 32;

/** Which stock has a row on which date. */
export const KEYS = "dates and tickers";

/** The name of a column as a part of the data. */
export const partOf = (column: string): string => `column ${column}`;

/** What digests of dates do not cover. */
export interface DigestedAxes {
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  readonly groups: Groups | undefined;
  readonly edges: Edges | undefined;
}

/** The digests of a panel's parts, as far as they are known: columns that nobody has read yet come later. */
export class PanelDigests {
  readonly #axes: DigestedAxes;
  readonly #dates: Map<string, Uint8Array>;
  readonly #whole = new Map<string, string>();

  constructor(axes: DigestedAxes, dates: DateDigests) {
    this.#axes = axes;
    this.#dates = new Map(dates);
  }

  has(column: string): boolean {
    return this.#dates.has(partOf(column));
  }

  add(dates: DateDigests): void {
    for (const [part, digests] of dates) this.#dates.set(part, digests);
  }

  /** Date by date. */
  get dates(): DateDigests {
    return this.#dates;
  }

  /** Of what all panels have, and of these columns. */
  of(columns: readonly string[]): DataDigests {
    const parts = [...this.#dates.keys()].filter((part) => !part.startsWith(partOf("")));
    parts.push(...(this.#axes.edges === undefined ? [] : ["edges"]), ...columns.map(partOf));
    return Object.freeze(Object.fromEntries([...new Set(parts)].sort().map((part) => [part, this.#digest(part)])));
  }

  #digest(part: string): string {
    const known = this.#whole.get(part);
    if (known !== undefined) return known;
    const { dates, tickers, groups, edges } = this.#axes;
    const hash = createHash("sha256");
    if (part === KEYS) hash.update(JSON.stringify({ dates, tickers }));
    if (part === "groups") hash.update(JSON.stringify(groups!.names));
    if (part === "edges") for (const column of [edges!.source, edges!.target, edges!.from, edges!.to]) hash.update(column);
    else hash.update(this.#dates.get(part)!);
    const digest = hash.digest("hex");
    this.#whole.set(part, digest);
    return digest;
  }
}

/** The fingerprint of data: SHA-256 (hex) over the digests of their parts. */
export function fingerprintOf(digests: DataDigests): string {
  return createHash("sha256").update(JSON.stringify({ format: 2, parts: Object.entries(digests) })).digest("hex");
}

/** The first part by which data differ, undefined where they are the same. */
export function differingPart(a: DataDigests, b: DataDigests): string | undefined {
  return [...new Set([KEYS, ...[...Object.keys(a), ...Object.keys(b)].sort()])].find((part) => a[part] !== b[part]);
}

/** Whether data are the same as far as both say: columns that only one of them names are no difference. */
export function agree(a: DataDigests, b: DataDigests): boolean {
  const isColumn = (part: string): boolean => part.startsWith(partOf(""));
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((part) => a[part] === b[part] || (isColumn(part) && (a[part] === undefined || b[part] === undefined)));
}
