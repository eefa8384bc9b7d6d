import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { downloadFile, type DownloadOptions } from "../../lib/setup/archive.js";
import { setup } from "../../lib/setup/setup.js";
import { libtorchFiles, scratch, zip } from "./libtorch-fixture.js";

const root = scratch();
let count = 0;
const fresh = (): string => join(root, `file-${++count}`, "archive.zip");
const content = randomBytes(300_001);
const sha256 = createHash("sha256").update(content).digest("hex");

let server: Server;
let address = "";
let requests: { url: string; range: string | undefined }[] = [];
/** A connection that breaks once the client has so many bytes on disk. */
let cut: { at: number; response: ServerResponse } | undefined;
let answer: (request: IncomingMessage, response: ServerResponse, nth: number) => void;

/** Serves bytes as a server with ranges and entity tags does; `cutAfter` breaks the connection after so many. */
function serve(request: IncomingMessage, response: ServerResponse, bytes: Buffer, options: { cutAfter?: number; etag?: string; ranges?: boolean } = {}): void {
  const etag = options.etag ?? '"one"';
  const range = options.ranges === false ? undefined : /^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1];
  const fits = range !== undefined && (request.headers["if-range"] ?? etag) === etag;
  const start = fits ? Number(range) : 0;
  if (start >= bytes.length) return void response.writeHead(416).end();
  const headers = { etag, "content-length": bytes.length - start, ...(fits ? { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` } : {}) };
  response.writeHead(fits ? 206 : 200, headers);
  if (options.cutAfter === undefined) return void response.end(bytes.subarray(start));
  cut = { at: start + options.cutAfter, response };
  response.write(bytes.subarray(start, start + options.cutAfter));
}

beforeAll(async () => {
  server = createServer((request, response) => {
    requests.push({ url: request.url!, range: request.headers.range });
    answer(request, response, requests.length);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());
beforeEach(() => {
  requests = [];
  cut = undefined;
});

const fetchIt = (file: string, more: Partial<DownloadOptions> = {}): Promise<string> =>
  downloadFile({
    url: `${address}/a.zip`,
    file,
    retryMs: 1,
    ...more,
    onProgress: (progress) => {
      if (cut !== undefined && progress.bytes === cut.at) cut.response.destroy();
      more.onProgress?.(progress);
    },
  });

describe("downloading a file", () => {
  it("returns its checksum and leaves only the file", async () => {
    answer = (request, response) => serve(request, response, content);
    const file = fresh();
    expect(await fetchIt(file, { sha256: sha256.toUpperCase() })).toBe(sha256);
    expect(readFileSync(file).equals(content)).toBe(true);
    expect(readdirSync(join(file, ".."))).toEqual(["archive.zip"]);
  });

  it("goes on after a cut connection where it stopped", async () => {
    answer = (request, response, nth) => serve(request, response, content, nth <= 2 ? { cutAfter: 100_000 } : {});
    const file = fresh();
    expect(await fetchIt(file)).toBe(sha256);
    expect(requests.map(({ range }) => range)).toEqual([undefined, "bytes=100000-", "bytes=200000-"]);
  });

  it("goes on where an earlier process was stopped", async () => {
    const file = fresh();
    const abort = new AbortController();
    answer = (request, response) => serve(request, response, content, { cutAfter: 100_000 });
    const stopped = fetchIt(file, { signal: abort.signal, retryMs: 60_000, onProgress: ({ message }) => message.startsWith("connection lost") && abort.abort() });
    await expect(stopped).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
    expect(existsSync(file)).toBe(false);
    answer = (request, response) => serve(request, response, content);
    expect(await fetchIt(file)).toBe(sha256);
    expect(requests.at(-1)!.range).toBe("bytes=100000-");
  });

  it("starts anew where the file on the server changed in between", async () => {
    const other = randomBytes(200_000);
    answer = (request, response, nth) => (nth === 1 ? serve(request, response, content, { cutAfter: 100_000 }) : serve(request, response, other, { etag: '"two"' }));
    const file = fresh();
    await fetchIt(file);
    expect(readFileSync(file).equals(other)).toBe(true);
  });

  it("starts anew where the server knows no ranges", async () => {
    answer = (request, response, nth) => serve(request, response, content, { ranges: false, ...(nth === 1 ? { cutAfter: 100_000 } : {}) });
    const file = fresh();
    expect(await fetchIt(file)).toBe(sha256);
  });

  it("follows a redirect", async () => {
    answer = (request, response) => (request.url === "/a.zip" ? void response.writeHead(302, { location: "/b.zip" }).end() : serve(request, response, content));
    expect(await fetchIt(fresh())).toBe(sha256);
    expect(requests.map(({ url }) => url)).toEqual(["/a.zip", "/b.zip"]);
  });

  it("deletes a file with the wrong checksum and says both", async () => {
    answer = (request, response) => serve(request, response, content);
    const file = fresh();
    const expected = "0".repeat(64);
    await expect(fetchIt(file, { sha256: expected })).rejects.toMatchObject({ code: "ERR_DOWNLOAD", message: expect.stringContaining(`has SHA-256 ${sha256}, expected ${expected}`) });
    expect(readdirSync(join(file, ".."))).toEqual([]);
  });

  it("checks the checksum of a file that was complete already", async () => {
    answer = (request, response) => serve(request, response, content);
    const file = fresh();
    await fetchIt(file);
    requests = [];
    expect(await fetchIt(file, { sha256 })).toBe(sha256);
    expect(requests).toEqual([]);
    await expect(fetchIt(file, { sha256: "1".repeat(64) })).rejects.toMatchObject({ code: "ERR_DOWNLOAD" });
  });

  it("gives up on a body that always ends too early, and keeps what came", async () => {
    answer = (request, response) => {
      if (request.headers.range !== undefined) return void response.destroy();
      serve(request, response, content, { cutAfter: 1000 });
    };
    const file = fresh();
    await expect(fetchIt(file, { attempts: 3 })).rejects.toMatchObject({ code: "ERR_DOWNLOAD", message: expect.stringContaining("could not be fetched") });
    expect(requests).toHaveLength(4);
    expect(readFileSync(`${file}.partial`).length).toBe(1000);
  });

  it("does not repeat what a server refuses", async () => {
    answer = (_request, response) => void response.writeHead(404).end();
    await expect(fetchIt(fresh())).rejects.toMatchObject({ code: "ERR_DOWNLOAD", message: expect.stringMatching(/answered 404 Not Found\. Set ASTGNN_LIBTORCH_URL/) });
    expect(requests).toHaveLength(1);
  });

  it("repeats what a busy server refuses", async () => {
    answer = (request, response, nth) => (nth < 3 ? void response.writeHead(503).end() : serve(request, response, content));
    expect(await fetchIt(fresh())).toBe(sha256);
  });

  it("says what stands in the way where nobody listens", async () => {
    const failed = downloadFile({ url: "http://127.0.0.1:1/a.zip", file: fresh(), attempts: 2, retryMs: 1 });
    await expect(failed).rejects.toMatchObject({ code: "ERR_DOWNLOAD", message: expect.stringContaining("--from <file>") });
  });
});

describe("setup without pip", () => {
  const archive = zip(Object.fromEntries(Object.entries(libtorchFiles("2.15.0")).map(([name, bytes]) => [`libtorch/${name}`, bytes])));
  const environment = (): { env: NodeJS.ProcessEnv; cache: string } => {
    const base = join(fresh(), "..");
    return { env: { HOME: base, XDG_CACHE_HOME: base, PATH: "", ASTGNN_LIBTORCH_URL: `${address}/libtorch%2Bcpu.zip` }, cache: join(base, "astgnn") };
  };

  it("fetches the archive, states its checksum and keeps no download", async () => {
    answer = (request, response) => serve(request, response, archive);
    const { env, cache } = environment();
    const result = await setup({ env });
    expect(result.files).toEqual([{ name: "libtorch+cpu.zip", sha256: createHash("sha256").update(archive).digest("hex") }]);
    expect(readdirSync(cache)).toEqual(["libtorch-2.15.0-cpu"]);
    await setup({ env });
    expect(requests).toHaveLength(1);
  });

  it("refuses an archive with another checksum, or that is no zip, and leaves no LibTorch", async () => {
    answer = (request, response) => serve(request, response, archive);
    const { env, cache } = environment();
    await expect(setup({ env, sha256: "2".repeat(64) })).rejects.toMatchObject({ code: "ERR_DOWNLOAD" });
    answer = (request, response) => serve(request, response, Buffer.from("<html>sign in</html>"), { etag: '"page"' });
    await expect(setup({ env })).rejects.toMatchObject({ code: "ERR_DOWNLOAD", message: expect.stringContaining("is no whole zip file") });
    expect(readdirSync(cache)).toEqual([]);
  });

  it("has no archive for cuda and says what is needed", async () => {
    await expect(setup({ env: environment().env, variant: "cuda" })).rejects.toMatchObject({ code: "ERR_DOWNLOAD", message: expect.stringContaining("pip") });
  });
});
