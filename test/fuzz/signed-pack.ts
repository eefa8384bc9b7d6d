import { createHash } from "node:crypto";

/** What a test changes of the header of a packed dataset. */
export interface WrittenHeader extends Record<string, unknown> {
  sections: Record<string, { offset: number; shape: number[]; chunkBytes: number; checksums: number[]; type: string }>;
}

export function headerOf(pack: Uint8Array): WrittenHeader {
  return JSON.parse(new TextDecoder().decode(pack.subarray(Number(Buffer.from(pack).readBigUInt64LE(16))))) as WrittenHeader;
}

/** The file with another header: whoever changes one can sign it too. */
export function signed(pack: Uint8Array, header: unknown): Uint8Array {
  const preamble = Buffer.from(pack.subarray(0, 64));
  const begin = Number(preamble.readBigUInt64LE(16));
  const text = Buffer.from(JSON.stringify(header) ?? "");
  preamble.writeBigUInt64LE(BigInt(text.length), 24);
  createHash("sha256").update(text).digest().copy(preamble, 32);
  return Buffer.concat([preamble, pack.subarray(64, begin), text]);
}
