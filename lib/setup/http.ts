import { readFileSync } from "node:fs";
import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Socket } from "node:net";
import { connect as tlsConnect, rootCertificates } from "node:tls";
import { AstgnnError } from "../errors.js";

/** How to ask. */
export interface GetOptions {
  headers?: OutgoingHttpHeaders | undefined;
  /** Environment with the proxy and certificate variables; default process.env. */
  env?: NodeJS.ProcessEnv | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds in which nothing comes; default 60,000. */
  idleMs?: number | undefined;
}

const REDIRECTS = 10;
const UNTRUSTED = /SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY_LEAF)|CERT_UNTRUSTED|INVALID_CA/;

/**
 * Asks for a file over HTTP(S), following redirects, through the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name, and
 * trusting the certificates of SSL_CERT_FILE and NODE_EXTRA_CA_CERTS besides Node's own. Node 20 does none of this but the last by itself.
 *
 * @throws AstgnnError ERR_DOWNLOAD for what another attempt cannot cure: a proxy or a certificate; else the socket's error
 */
export async function get(url: string, options: GetOptions = {}): Promise<IncomingMessage> {
  let at = new URL(url);
  for (let redirects = 0; redirects <= REDIRECTS; redirects++) {
    if (at.protocol !== "https:" && at.protocol !== "http:") throw new AstgnnError("ERR_DOWNLOAD", `${at.href} is neither an http nor an https address.`);
    const response = await getOnce(at, options).catch((error: NodeJS.ErrnoException) => {
      if (!UNTRUSTED.test(error.code ?? "")) throw error;
      throw new AstgnnError("ERR_DOWNLOAD", `The certificate of ${at.host} is signed by nobody whom this machine trusts (${error.code}).`, {
        cause: error,
        next: "Where your network checks encrypted traffic, set SSL_CERT_FILE or NODE_EXTRA_CA_CERTS to a PEM file with its certificate.",
      });
    });
    const location = response.headers.location;
    if (![301, 302, 303, 307, 308].includes(response.statusCode!) || location === undefined) return response;
    response.destroy();
    at = new URL(location, at);
  }
  throw new AstgnnError("ERR_DOWNLOAD", `${url} leads on to another address more than ${REDIRECTS} times.`);
}

async function getOnce(url: URL, options: GetOptions): Promise<IncomingMessage> {
  const { headers = {}, env = process.env, signal, idleMs = 60_000 } = options;
  const proxy = proxyFor(url, env);
  const common = { headers, agent: false as const, ...(signal === undefined ? {} : { signal }) };
  if (url.protocol === "http:") {
    if (proxy === undefined) return answer(httpRequest(url, common), idleMs);
    return answer(httpRequest({ ...common, ...addressOf(proxy), path: url.href, headers: { ...headers, host: url.host, ...credentials(proxy) } }), idleMs);
  }
  const ca = trusted(env);
  if (proxy === undefined) return answer(httpsRequest(url, { ...common, ...ca }), idleMs);
  const socket = await tunnel(url, proxy, signal, idleMs);
  const secure = tlsConnect({ socket, servername: url.hostname, ...ca });
  // With an agent, even none, Node would not ask for this connection.
  const { agent: _, ...own } = common;
  return answer(httpsRequest(url, { ...own, createConnection: () => secure }), idleMs);
}

function answer(request: ReturnType<typeof httpRequest>, idleMs: number): Promise<IncomingMessage> {
  return new Promise((done, fail) => {
    request.setTimeout(idleMs, () => request.destroy(new Error(`nothing came for ${idleMs / 1000} s`)));
    request.on("response", done).on("error", fail).end();
  });
}

/** A connection to the target that the proxy passes on unread. */
function tunnel(target: URL, proxy: URL, signal: AbortSignal | undefined, idleMs: number): Promise<Socket> {
  const host = `${target.hostname}:${target.port || 443}`;
  return new Promise((done, fail) => {
    const request = httpRequest({ ...addressOf(proxy), method: "CONNECT", path: host, headers: { host, ...credentials(proxy) }, agent: false, ...(signal === undefined ? {} : { signal }) });
    request.setTimeout(idleMs, () => request.destroy(new Error(`nothing came for ${idleMs / 1000} s`)));
    request.on("error", (error) => fail(new Error(`the proxy ${proxy.host} cannot be reached (${error.message || (error as NodeJS.ErrnoException).code})`, { cause: error })));
    const take = ({ statusCode, statusMessage }: IncomingMessage, socket: Socket): void => {
      if (statusCode === 200) return done(socket.setTimeout(0));
      socket.destroy();
      const said = `The proxy ${proxy.host} answered ${statusCode} ${statusMessage ?? ""}`.trimEnd();
      if (statusCode! >= 500) return fail(new Error(`the proxy ${proxy.host} answered ${statusCode}`));
      const next = statusCode === 407 ? "It wants a user and a password: HTTPS_PROXY=http://user:password@host:port." : `Check HTTPS_PROXY, or name ${target.hostname} in NO_PROXY if it can be reached without one.`;
      fail(new AstgnnError("ERR_DOWNLOAD", `${said} when asked for ${host}.`, { next }));
    };
    request.on("connect", take).on("response", (response) => take(response, response.socket)).end();
  });
}

/** The proxy for an address, or undefined. The lower-case names come first, as with curl. */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv): URL | undefined {
  const read = (name: string): string => env[name.toLowerCase()] || env[name.toUpperCase()] || "";
  const text = read(url.protocol === "https:" ? "https_proxy" : "http_proxy") || read("all_proxy");
  if (text === "" || isExempt(url, read("no_proxy"))) return undefined;
  const address = text.includes("://") ? text : `http://${text}`;
  const proxy = URL.canParse(address) ? new URL(address) : undefined;
  if (proxy?.protocol === "http:") return proxy;
  // The text itself may hold a password.
  throw new AstgnnError("ERR_DOWNLOAD", `The proxy that the environment names${proxy === undefined ? "" : `, ${proxy.protocol}//${proxy.host},`} is not of the kind http://host:port.`, {
    next: "Set HTTPS_PROXY to an HTTP proxy, or fetch the file elsewhere and run `npx astgnn setup --from <file>`.",
  });
}

/** Names in NO_PROXY stand for themselves and what is below them; `*` is every host. */
function isExempt(url: URL, list: string): boolean {
  return list.split(/[\s,]+/).some((entry) => {
    const [, host = "", port] = /^(?:\*?\.)?(.+?)(?::(\d+))?$/.exec(entry) ?? [];
    if (host === "*") return true;
    if (host === "" || (port !== undefined && port !== (url.port || (url.protocol === "https:" ? "443" : "80")))) return false;
    return url.hostname === host.toLowerCase() || url.hostname.endsWith(`.${host.toLowerCase()}`);
  });
}

function addressOf(proxy: URL): { host: string; port: number } {
  return { host: proxy.hostname.replace(/^\[|\]$/g, ""), port: Number(proxy.port || 80) };
}

function credentials({ username, password }: URL): OutgoingHttpHeaders {
  if (username === "") return {};
  return { "proxy-authorization": `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64")}` };
}

/** Certificates to trust where SSL_CERT_FILE names some; without it Node decides, which reads NODE_EXTRA_CA_CERTS by itself. */
function trusted(env: NodeJS.ProcessEnv): { ca?: string[] } {
  if ((env["SSL_CERT_FILE"] ?? "") === "") return {};
  const files = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"].filter((name) => (env[name] ?? "") !== "");
  const read = (name: string): string => {
    try {
      return readFileSync(env[name]!, "utf8");
    } catch (cause) {
      throw new AstgnnError("ERR_DOWNLOAD", `${name} names ${env[name]}, which cannot be read (${(cause as NodeJS.ErrnoException).code}).`, { file: env[name]!, cause, next: `Unset ${name}, or let it name a PEM file.` });
    }
  };
  return { ca: [...rootCertificates, ...files.map(read)] };
}
