import { mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { AstgnnError } from "../errors.js";
import { aborted, sha256Of } from "./checksum.js";
import { get, type Answer } from "./http.js";
import type { OnProgress } from "./progress.js";

/** How to fetch one file over HTTP(S). */
export interface DownloadOptions {
  url: string;
  /** Where the complete file goes; `<file>.partial` holds what is there so far. */
  file: string;
  /** Hexadecimal SHA-256 that the file must have. */
  sha256?: string | undefined;
  /** Connections in a row that may bring nothing new; default 5. */
  attempts?: number | undefined;
  /** Milliseconds before the second attempt, doubled each time; default 1,000. */
  retryMs?: number | undefined;
  /** Environment with the proxy and certificate variables; default process.env. */
  env?: NodeJS.ProcessEnv | undefined;
  onProgress?: OnProgress | undefined;
  signal?: AbortSignal | undefined;
}

/** What the server said about the file that a partial download belongs to. */
interface Origin {
  url: string;
  etag?: string;
  total?: number;
}

/** A failure that another attempt may cure: a cut connection, a busy server. */
class Interrupted extends Error {}

/**
 * Fetches a file, going on where an earlier attempt or process stopped (Range with If-Range), and returns its SHA-256.
 *
 * @throws AstgnnError ERR_DOWNLOAD (address, status, checksum), ERR_ABORTED
 */
export async function downloadFile(options: DownloadOptions): Promise<string> {
  const { url, file, signal, onProgress } = options;
  await mkdir(dirname(file), { recursive: true });
  const partial = `${file}.partial`;
  // Complete already where an earlier run was stopped after the download: taken as what came, so that its checksum is checked below.
  if ((await sizeOf(file)) > 0) await rename(file, partial);
  else await fetchAll(options, partial);
  const sha256 = await sha256Of(partial, onProgress, signal);
  if (options.sha256 !== undefined && options.sha256.toLowerCase() !== sha256) {
    await forget(partial);
    throw new AstgnnError("ERR_DOWNLOAD", `${url} has SHA-256 ${sha256}, expected ${options.sha256.toLowerCase()}.`, { next: "The file was deleted. Check the expected value and the address, then run it again." });
  }
  await rename(partial, file);
  await rm(originFile(partial), { force: true });
  return sha256;
}

/** Connects again and again until all of the file is there. */
async function fetchAll(options: DownloadOptions, partial: string): Promise<void> {
  const { url, signal, onProgress } = options;
  let idle = 0;
  for (;;) {
    const before = await sizeOf(partial);
    try {
      return await fetchRest(options, partial);
    } catch (error) {
      if (signal?.aborted) throw aborted(signal);
      if (!(error instanceof Interrupted)) throw error;
      idle = (await sizeOf(partial)) > before ? 0 : idle + 1;
      if (idle >= (options.attempts ?? 5)) {
        throw new AstgnnError("ERR_DOWNLOAD", `${url} could not be fetched: ${error.message}.`, {
          cause: error,
          next: "Check the network and run it again (it goes on where it stopped), or fetch the file elsewhere and run `npx astgnn setup --from <file>`.",
        });
      }
      onProgress?.({ stage: "download", message: `connection lost (${error.message}), trying again` });
      await sleep((options.retryMs ?? 1000) * 2 ** idle, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
      if (signal?.aborted) throw aborted(signal);
    }
  }
}

/** One connection: asks for what is missing and appends it. */
async function fetchRest({ url, file, env, onProgress, signal }: DownloadOptions, partial: string): Promise<void> {
  const origin = await readOrigin(partial, url);
  const have = origin === undefined ? 0 : await sizeOf(partial);
  if (origin?.total !== undefined && have === origin.total) return;
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (have > 0) {
    headers["range"] = `bytes=${have}-`;
    if (origin?.etag !== undefined) headers["if-range"] = origin.etag;
  }
  const response = await get(url, { headers, env, signal }).catch((error: Error) => {
    throw error instanceof AstgnnError ? error : new Interrupted(error.message || (error as NodeJS.ErrnoException).code);
  });
  const status = response.statusCode;
  if (status !== 200 && status !== 206) await response.close();
  if (status === 416) {
    await forget(partial);
    throw new Interrupted("the server does not know the range asked for");
  }
  if (status >= 500 || status === 429 || status === 408) throw new Interrupted(`the server answered ${status}`);
  if (status !== 200 && status !== 206) {
    throw new AstgnnError("ERR_DOWNLOAD", `${url} answered ${`${status} ${response.statusText}`.trimEnd()}.`, {
      next: "Set ASTGNN_LIBTORCH_URL to an address that has the archive, or run `npx astgnn setup --from <file>`.",
    });
  }
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headerOf(response, "content-range") ?? "");
  const goesOn = status === 206 && Number(range?.[1]) === have;
  if (status === 206 && !goesOn) {
    await response.close();
    await forget(partial);
    throw new Interrupted("the server sent another range than was asked for");
  }
  const length = headerOf(response, "content-length");
  const total = goesOn ? (range?.[2] === "*" ? undefined : Number(range?.[2])) : length === undefined ? undefined : Number(length);
  const etag = headerOf(response, "etag");
  // A weak tag promises no equal bytes, so it cannot guard a range.
  await writeOrigin(partial, { url, ...(etag === undefined || etag.startsWith("W/") ? {} : { etag }), ...(total === undefined ? {} : { total }) });
  const start = goesOn ? have : 0;
  let bytes = start;
  const message = `downloading ${basename(file)}${start > 0 ? ", going on where it stopped" : ""}`;
  const target = await open(partial, goesOn ? "a" : "w");
  try {
    // Each chunk is on disk before the next is read: a stream that breaks drops what it has buffered.
    const chunks = response.body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    for (;;) {
      const { done, value } = await chunks.next().catch((error: Error) => {
        throw new Interrupted(error.message);
      });
      if (done === true) break;
      await target.writeFile(value);
      bytes += value.length;
      onProgress?.({ stage: "download", message, bytes, ...(total === undefined ? {} : { totalBytes: total }) });
    }
  } finally {
    await response.close();
    await target.close();
  }
  if (total !== undefined && bytes !== total) throw new Interrupted(`${bytes} of ${total} bytes came`);
}

function headerOf({ headers }: Answer, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

const originFile = (partial: string): string => `${partial}.json`;

/** The origin of the partial file, or undefined where there is none or it came from elsewhere. */
async function readOrigin(partial: string, url: string): Promise<Origin | undefined> {
  try {
    const origin = JSON.parse(await readFile(originFile(partial), "utf8")) as Origin;
    return origin.url === url ? origin : undefined;
  } catch {
    return undefined;
  }
}

async function writeOrigin(partial: string, origin: Origin): Promise<void> {
  await writeFile(originFile(partial), JSON.stringify(origin));
}

async function forget(partial: string): Promise<void> {
  await rm(partial, { force: true });
  await rm(originFile(partial), { force: true });
}

/** Bytes of a download that are there already, whole or partial. */
export async function bytesHere(url: string, file: string): Promise<number> {
  const partial = `${file}.partial`;
  return (await sizeOf(file)) || ((await readOrigin(partial, url)) === undefined ? 0 : sizeOf(partial));
}

async function sizeOf(file: string): Promise<number> {
  return stat(file).then((s) => s.size, () => 0);
}
