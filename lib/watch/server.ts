import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { AstgnnError } from "../errors.js";

/** What a reader may take of this process. */
export interface ServerLimits {
  /** Connections at a time; one more is closed at once. */
  readonly connections: number;
  /** Milliseconds in which a request must have come, and in which its answer must have been taken. */
  readonly patienceMs: number;
  /** Milliseconds for which one rendering serves all readers. */
  readonly renderingMs: number;
}

const LIMITS: ServerLimits = { connections: 16, patienceMs: 10_000, renderingMs: 500 };

/** Parts of the page, made when somebody asks. */
export interface Content {
  page(): Promise<string>;
  /** What changes of it. */
  state(): Promise<string>;
}

/** A server that is up. */
export interface WatchServer {
  /** With the token: who has this address may look. */
  readonly url: string;
  /** Ends all connections. */
  close(): Promise<void>;
}

/**
 * Serves the page on 127.0.0.1 under an address with a random token. It answers GET for two paths, from memory and never from files; another host or origin in a
 * request's headers, as a page of another site that resolves to this machine would send, or no token, is refused.
 *
 * @param port 0: any that is free
 * @throws AstgnnError ERR_OPTION where the port cannot be had
 */
export async function serveWatch(content: Content, { port = 0, limits = LIMITS }: { port?: number; limits?: ServerLimits } = {}): Promise<WatchServer> {
  const token = randomBytes(24).toString("base64url");
  const parts = { "": { make: shared(() => content.page(), limits.renderingMs), type: "text/html" }, state: { make: shared(() => content.state(), limits.renderingMs), type: "text/html" } };
  const server = createServer({ maxHeaderSize: 8192, headersTimeout: limits.patienceMs, requestTimeout: limits.patienceMs, keepAliveTimeout: limits.patienceMs, connectionsCheckingInterval: Math.min(1000, limits.patienceMs) });
  server.maxConnections = limits.connections;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // A body is not read, and a reader who does not take the answer is dropped with it.
    const deadline = setTimeout(() => response.destroy(), limits.patienceMs);
    response.on("close", () => clearTimeout(deadline));
    const refusal = refusalOf(request, token, (server.address() as AddressInfo).port);
    if (refusal !== undefined) return send(response, refusal, "text/plain", `${REFUSALS[refusal]}\n`);
    const name = request.url!.slice(token.length + 2);
    if (!Object.hasOwn(parts, name)) return send(response, 404, "text/plain", `${REFUSALS[404]}\n`);
    const { make, type } = parts[name as keyof typeof parts];
    send(response, 200, type, await make(), request.method === "HEAD");
  };
  server.on("request", (request, response) => {
    answer(request, response).catch(() => (response.headersSent ? response.destroy() : send(response, 500, "text/plain", "The run cannot be read.\n")));
  });
  server.on("clientError", (_, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => reject(new AstgnnError("ERR_OPTION", `Port ${port} of 127.0.0.1 cannot be had: ${cause.message}.`, { option: "port", cause, next: "Name another port, or none." })));
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${token}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const REFUSALS = { 400: "Bad request.", 403: "Forbidden: use the address that astgnn watch printed.", 404: "There is nothing here.", 405: "Only GET." } as const;

/** Why a request gets no page; undefined where it does. */
function refusalOf({ method, url = "", headers, headersDistinct }: IncomingMessage, token: string, port: number): keyof typeof REFUSALS | undefined {
  // Of a header that comes twice Node takes one, and who forwards it may take the other.
  const { host: hosts = [], origin: origins = [] } = headersDistinct;
  const [host = ""] = hosts;
  if (hosts.length !== 1 || ![`127.0.0.1:${port}`, `localhost:${port}`].includes(host)) return 403;
  if (origins.some((origin) => origin !== `http://${host}`)) return 403;
  const [, given = "", rest] = /^\/([^/]*)(\/.*)?$/.exec(url) ?? [];
  if (!isSame(given, token) || rest === undefined) return 403;
  if (method !== "GET" && method !== "HEAD") return 405;
  return headers["content-length"] === undefined && headers["transfer-encoding"] === undefined ? undefined : 400;
}

/** In a time that tells nothing of where two texts differ. */
function isSame(a: string, b: string): boolean {
  const [x, y] = [a, b].map((text) => createHash("sha256").update(text).digest()) as [Buffer, Buffer];
  return timingSafeEqual(x, y);
}

function send(response: ServerResponse, status: number, type: string, text: string, isHead = false): void {
  const body = Buffer.from(text);
  response.writeHead(status, {
    "Content-Type": `${type}; charset=utf-8`,
    "Content-Length": body.length,
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    ...(status === 200 ? {} : { Connection: "close" }),
  });
  response.end(isHead ? undefined : body);
}

/** Makes a text at most once in a while, however many ask: memory and time do not grow with the readers. */
function shared(make: () => Promise<string>, forMs: number): () => Promise<string> {
  let made: Promise<string> | undefined;
  let until = 0;
  return () => {
    if (made === undefined || performance.now() >= until) {
      made = make();
      until = performance.now() + forMs;
      made.catch(() => (until = 0));
    }
    return made;
  };
}
