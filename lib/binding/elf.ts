import { closeSync, fstatSync, openSync, readSync } from "node:fs";

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;
const NAME_BYTES = 256;

/**
 * Names of the shared libraries that an ELF file asks for (its NEEDED entries), read without loading it, or undefined where the
 * file is not 64-bit little-endian ELF, or `truncated` where the file ends before its segments do. A few hundred bytes are read whatever the file's size.
 */
export function neededLibraries(file: string): string[] | "truncated" | undefined {
  const descriptor = openSync(file, "r");
  try {
    const read = (offset: number, length: number): Buffer => {
      const buffer = Buffer.alloc(length);
      return buffer.subarray(0, readSync(descriptor, buffer, 0, length, offset));
    };
    const header = read(0, 64);
    if (header.length < 64 || header.readUInt32BE(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) return undefined;
    const entrySize = header.readUInt16LE(54);
    const entryCount = header.readUInt16LE(56);
    const table = read(Number(header.readBigUInt64LE(32)), entrySize * entryCount);
    const segments = Array.from({ length: Math.floor(table.length / entrySize) }, (_, i) => ({
      type: table.readUInt32LE(i * entrySize),
      offset: Number(table.readBigUInt64LE(i * entrySize + 8)),
      address: Number(table.readBigUInt64LE(i * entrySize + 16)),
      size: Number(table.readBigUInt64LE(i * entrySize + 32)),
    }));
    const end = Math.max(...segments.map((segment) => segment.offset + segment.size));
    if (table.length < entrySize * entryCount || fstatSync(descriptor).size < end) return "truncated";
    const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC);
    if (dynamic === undefined) return [];
    const section = read(dynamic.offset, dynamic.size);
    const nameOffsets: number[] = [];
    let stringsAddress = 0;
    for (let at = 0; at + 16 <= section.length; at += 16) {
      const tag = section.readBigUInt64LE(at);
      const value = Number(section.readBigUInt64LE(at + 8));
      if (tag === DT_NEEDED) nameOffsets.push(value);
      else if (tag === DT_STRTAB) stringsAddress = value;
    }
    const home = segments.find(
      (segment) => segment.type === PT_LOAD && stringsAddress >= segment.address && stringsAddress < segment.address + segment.size,
    );
    if (home === undefined) return undefined;
    const strings = stringsAddress - home.address + home.offset;
    return nameOffsets.map((offset) => {
      const bytes = read(strings + offset, NAME_BYTES);
      const end = bytes.indexOf(0);
      return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
    });
  } finally {
    closeSync(descriptor);
  }
}
