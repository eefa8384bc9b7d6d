import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { crc32 } from "node:zlib";
import { openPromise, type Entry, type ZipFile } from "yauzl";
import { AstgnnError } from "../errors.js";
import { aborted } from "./checksum.js";
import type { OnProgress } from "./progress.js";

/** Where an entry of an archive goes, relative to the target folder, or undefined to leave it out. */
export type Select = (name: string) => string | undefined;

/** How to unpack. */
export interface UnpackOptions {
  select: Select;
  into: string;
  /** Files to mark as programs beside those that the archive marks, by where they go: wheels may have lost the mark. */
  executable?: ((target: string) => boolean) | undefined;
  onProgress?: OnProgress | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Unpacks the selected entries of a zip file (wheels are zip files) and checks each one's size and CRC-32.
 *
 * @returns the number of files written
 * @throws AstgnnError ERR_DOWNLOAD where the archive is damaged, ERR_ABORTED
 */
export async function unpackZip(file: string, options: UnpackOptions): Promise<number> {
  const { into, onProgress, signal } = options;
  const { zip, chosen } = await chosenEntries(file, options.select);
  try {
    const totalBytes = chosen.reduce((sum, { entry }) => sum + entry.uncompressedSize, 0);
    const folders = new Set<string>();
    let bytes = 0;
    for (const { entry, target } of chosen) {
      if (signal?.aborted) throw aborted(signal);
      const path = join(into, target);
      if (!folders.has(dirname(path))) await mkdir(dirname(path), { recursive: true });
      folders.add(dirname(path));
      let sum = 0;
      const counter = new Transform({
        transform(chunk: Buffer, _encoding, done) {
          sum = crc32(chunk, sum);
          bytes += chunk.length;
          onProgress?.({ stage: "unpack", message: `unpacking ${basename(file)}`, bytes, totalBytes });
          done(null, chunk);
        },
      });
      const mode = (entry.externalFileAttributes >>> 16) & 0o111 || options.executable?.(target) === true ? 0o755 : 0o644;
      const source = await zip.openReadStreamPromise(entry);
      await pipeline(source, counter, createWriteStream(path, { mode }), ...(signal === undefined ? [] : [{ signal }]));
      if (sum !== entry.crc32) throw damaged(file, `${entry.fileName} fails its CRC-32`);
    }
    return chosen.length;
  } catch (error) {
    if (signal?.aborted) throw aborted(signal);
    if (error instanceof AstgnnError || isSystemError(error)) throw error;
    throw damaged(file, (error as Error).message, error);
  } finally {
    zip.close();
  }
}

/** What unpacking the selected entries takes on disk, and what is left in the archive. */
export async function unpackedBytes(file: string, select: Select): Promise<{ bytes: number; leftOut: { files: number; bytes: number } }> {
  const all = await chosenEntries(file, (name) => name);
  all.zip.close();
  const sum = (entries: typeof all.chosen): number => entries.reduce((total, { entry }) => total + entry.uncompressedSize, 0);
  const left = all.chosen.filter(({ entry }) => select(entry.fileName) === undefined);
  return { bytes: sum(all.chosen) - sum(left), leftOut: { files: left.length, bytes: sum(left) } };
}

async function chosenEntries(file: string, select: Select): Promise<{ zip: ZipFile; chosen: { entry: Entry; target: string }[] }> {
  let zip: ZipFile | undefined;
  try {
    // yauzl itself refuses absolute names and names with `..`.
    zip = await openPromise(file, { autoClose: false, lazyEntries: true });
    const chosen: { entry: Entry; target: string }[] = [];
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName.endsWith("/")) continue;
      const target = select(entry.fileName);
      if (target !== undefined) chosen.push({ entry, target });
    }
    return { zip, chosen };
  } catch (error) {
    zip?.close();
    if (isSystemError(error)) throw error;
    throw damaged(file, (error as Error).message, error);
  }
}

function isSystemError(error: unknown): boolean {
  return typeof (error as NodeJS.ErrnoException).syscall === "string";
}

function damaged(file: string, reason: string, cause?: unknown): AstgnnError {
  return new AstgnnError("ERR_DOWNLOAD", `${file} is no whole zip file: ${reason}.`, { file, cause, next: "Delete it and fetch it again." });
}
