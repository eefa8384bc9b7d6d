import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;
const NAME_BYTES = 256;

/** The parts of an ELF file that the dynamic loader reads. */
export interface ElfFile {
  /** Processor, as in the file's header: 62 is x86-64, 183 AArch64. */
  machine: number;
  /** Names of the shared libraries that it asks for (NEEDED). */
  needed: string[];
  /** The dynamic loader that a program asks for; a library has none. */
  interpreter?: string;
}

/**
 * Reads an ELF file without loading it: undefined where it is not 64-bit little-endian ELF, `truncated` where it ends before its segments do.
 * A few hundred bytes are read whatever the file's size.
 */
export function readElf(file: string): ElfFile | "truncated" | undefined {
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
    const textAt = (offset: number): string => {
      const bytes = read(offset, NAME_BYTES);
      const nul = bytes.indexOf(0);
      return bytes.toString("latin1", 0, nul < 0 ? bytes.length : nul);
    };
    const loader = segments.find((segment) => segment.type === PT_INTERP);
    const elf: ElfFile = { machine: header.readUInt16LE(18), needed: [], ...(loader === undefined ? {} : { interpreter: textAt(loader.offset) }) };
    const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC);
    if (dynamic === undefined) return elf;
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
    return { ...elf, needed: nameOffsets.map((offset) => textAt(strings + offset)) };
  } finally {
    closeSync(descriptor);
  }
}

/** ELF's numbers of the processors that Node.js runs on. */
const MACHINES: Partial<Record<string, number>> = { x64: 62, arm64: 183 };

/**
 * The ELF header data of a library, or a text that says what is wrong with it; undefined for files that are not ELF on platforms with another format.
 * The loader itself ends the process where a file is cut short, hence the look beforehand.
 */
export function readLibrary(file: string): ElfFile | string | undefined {
  try {
    const elf = readElf(file);
    if (elf === "truncated") return "is cut short";
    if (elf === undefined) return process.platform !== "linux" ? undefined : statSync(file).size === 0 ? "is empty" : "is no shared library of a 64-bit Linux";
    const machine = MACHINES[process.arch];
    if (machine === undefined || elf.machine === machine) return elf;
    return `is for ${Object.entries(MACHINES).find(([, number]) => number === elf.machine)?.[0] ?? `processor ${elf.machine}`} and this Node.js is ${process.arch}`;
  } catch (error) {
    return `cannot be read (${(error as NodeJS.ErrnoException).code ?? (error as Error).message})`;
  }
}
