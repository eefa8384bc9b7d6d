import { createHash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { AstgnnError } from "../../errors.js";
import { requireText } from "../../options.js";
import { bytesOf, checkHeader, PAGE, type PackHeader, type PackSection } from "./header.js";

/** Dates of a chunk: what training reads at once, and what a checksum covers. */
export const CHUNK_DATES = 64;
/** Of the file's layout; another number is another layout. */
const FORMAT = { float32: 1, rank16: 2 };

const MAGIC = "ASTGPACK";
const PREAMBLE = 64;
const PIECE = 16 * 2 ** 20;
/** More than the names of any market take. */
const MOST_HEADER_BYTES = 2 ** 30;

/** Where a section begins at the earliest behind `bytes`. */
export const nextPage = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE;

/** Writes the header behind the sections, then the preamble that finds it: a file without it is no packed dataset. */
export async function writeHeader(file: FileHandle, header: PackHeader, offset: number): Promise<void> {
  const text = Buffer.from(JSON.stringify(header));
  await writeAll(file, text, offset);
  const preamble = Buffer.alloc(PREAMBLE);
  preamble.write(MAGIC, 0, "latin1");
  preamble.writeUInt32LE(header.sections.ranked === undefined ? FORMAT.float32 : FORMAT.rank16, 8);
  preamble.writeBigUInt64LE(BigInt(offset), 16);
  preamble.writeBigUInt64LE(BigInt(text.length), 24);
  createHash("sha256").update(text).digest().copy(preamble, 32);
  await writeAll(file, preamble, 0);
}

/** A disk that is nearly full takes a part, and says so in a number alone. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at, bytes.length - at, offset + at)).bytesWritten;
}

/**
 * What a packed dataset says of itself.
 *
 * @throws AstgnnError ERR_DATA where the file is none, of another format, cut or damaged
 */
export async function readHeader(path: string): Promise<PackHeader> {
  requireText(path, "file", "a path");
  await using file = await open(path, "r").catch((error: Error) => {
    throw new AstgnnError("ERR_DATA", `${path} cannot be read: ${error.message}.`, { file: path, cause: error, next: "Name a file that astgnn pack wrote." });
  });
  const preamble = Buffer.alloc(PREAMBLE);
  const { bytesRead } = await file.read(preamble, 0, PREAMBLE, 0);
  if (bytesRead < PREAMBLE || preamble.toString("latin1", 0, 8) !== MAGIC) {
    throw new AstgnnError("ERR_DATA", `${path} is no packed dataset.`, { file: path, next: "Name a file that astgnn pack wrote to its end." });
  }
  const format = preamble.readUInt32LE(8);
  if (!Object.values(FORMAT).includes(format)) {
    throw new AstgnnError("ERR_DATA", `${path} has format ${format} of packed datasets; this version reads formats ${Object.values(FORMAT).join(" and ")}.`, { file: path, next: "Pack the data again with this version." });
  }
  const [offset, length] = [Number(preamble.readBigUInt64LE(16)), Number(preamble.readBigUInt64LE(24))];
  const { size } = await file.stat();
  if (size < offset + length) {
    throw new AstgnnError("ERR_DATA", `${path} is cut: it has ${size} of ${offset + length} bytes.`, { file: path, next: "Copy it again, or pack the data again." });
  }
  if (length > MOST_HEADER_BYTES) throw damaged(path, "the header");
  const text = Buffer.alloc(length);
  await file.read(text, 0, length, offset);
  if (!createHash("sha256").update(text).digest().equals(preamble.subarray(32))) throw damaged(path, "the header");
  return checkHeader(path, parsed(text), size);
}

/** Undefined where it is no JSON. */
function parsed(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString()) as unknown;
  } catch {
    return undefined;
  }
}

/** Writes a section, page by page aligned, and says where the next may begin. */
export async function writeSection(file: FileHandle, offset: number, values: Float32Array | Int32Array, shape: readonly number[], chunkBytes: number): Promise<{ section: PackSection; end: number }> {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const checksums: number[] = [];
  for (let begin = 0; begin < bytes.length; begin += chunkBytes) {
    const chunk = bytes.subarray(begin, begin + chunkBytes);
    let checksum = 0;
    for (let at = 0; at < chunk.length; at += PIECE) {
      const piece = chunk.subarray(at, at + PIECE);
      checksum = crc32(piece, checksum);
      await writeAll(file, piece, offset + begin + at);
    }
    checksums.push(checksum);
  }
  const section = { type: values instanceof Int32Array ? "int32" : "float32", shape, offset, chunkBytes, checksums } as const;
  return { section, end: nextPage(offset + bytes.length) };
}

/** A section that is in the file, with its checksums. */
export async function checkedSection(file: FileHandle, section: Omit<PackSection, "checksums">): Promise<PackSection> {
  const checksums: number[] = [];
  for await (const checksum of checksumsOf(file, section)) checksums.push(checksum);
  return { ...section, checksums };
}

async function* checksumsOf(file: FileHandle, section: Omit<PackSection, "checksums">): AsyncGenerator<number> {
  const total = bytesOf(section);
  const buffer = Buffer.alloc(Math.min(PIECE, Math.max(1, total)));
  for (let begin = 0; begin < total; begin += section.chunkBytes) {
    const end = Math.min(total, begin + section.chunkBytes);
    let checksum = 0;
    for (let at = begin; at < end; ) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, end - at), section.offset + at);
      if (bytesRead === 0) break;
      checksum = crc32(buffer.subarray(0, bytesRead), checksum);
      at += bytesRead;
    }
    yield checksum;
  }
}

/**
 * Reads the whole file and compares its checksums.
 *
 * @throws AstgnnError ERR_DATA naming the section and dates that differ from what was written
 */
export async function verifySections(path: string, { sections, dates }: PackHeader, signal: AbortSignal | undefined): Promise<void> {
  await using file = await open(path, "r");
  for (const [name, section] of Object.entries(sections)) {
    let chunk = 0;
    for await (const checksum of checksumsOf(file, section)) {
      signal?.throwIfAborted();
      if (checksum !== section.checksums[chunk]) {
        const byDate = section.shape[0] === dates.length;
        const rows = section.chunkBytes / (bytesOf(section) / section.shape[0]!);
        throw damaged(path, byDate ? `${name} of ${dates[chunk * rows]!} to ${dates[Math.min(dates.length, (chunk + 1) * rows) - 1]!}` : name);
      }
      chunk++;
    }
  }
}

function damaged(path: string, what: string): AstgnnError {
  return new AstgnnError("ERR_DATA", `${path} is damaged: ${what} differ${what.startsWith("the ") ? "s" : ""} from what was written.`, { file: path, next: "Copy it again, or pack the data again." });
}
