import { readFileSync } from "node:fs";
import { STATUS_CODES } from "node:http";
import { rootCertificates } from "node:tls";
import type { Dispatcher } from "undici";
import { AstgnnError } from "../errors.js";

/** How to ask. */
export interface GetOptions {
  headers?: Record<string, string> | undefined;
  /** Environment with the proxy and certificate variables; default process.env. */
  env?: NodeJS.ProcessEnv | undefined;
  signal?: AbortSignal | undefined;
  /** Milliseconds in which nothing comes; default 60,000. */
  idleMs?: number | undefined;
}

/** An answer whose body is still to be read. `close` ends its connection; without it the process would wait for the server to do so. */
export interface Answer extends Dispatcher.ResponseData {
  close(): Promise<void>;
}

const REDIRECTS = 10;
const UNTRUSTED = /SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY_LEAF)|CERT_UNTRUSTED|INVALID_CA/;

/**
 * Asks for a file over HTTP(S), following redirects, through the proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name, and
 * trusting the certificates of SSL_CERT_FILE and NODE_EXTRA_CA_CERTS besides Node's own. Node 20 does none of this but the last by itself,
 * and undici's own reading of the variables differs from curl's: no ALL_PROXY, and HTTP_PROXY for https addresses too.
 *
 * @throws AstgnnError ERR_DOWNLOAD for what another attempt cannot cure: a proxy or a certificate; else the socket's error
 */
export async function get(url: string, options: GetOptions = {}): Promise<Answer> {
  const { headers = {}, env = process.env, signal, idleMs = 60_000 } = options;
  // Loaded only for a fetch: a third of what `astgnn --version` takes.
  const { Agent, Pool, ProxyAgent, request } = await import("undici");
  let at = new URL(url);
  for (let redirects = 0; redirects <= REDIRECTS; redirects++) {
    if (at.protocol !== "https:" && at.protocol !== "http:") throw new AstgnnError("ERR_DOWNLOAD", `${at.href} is neither an http nor an https address.`);
    const proxy = proxyFor(at, env);
    const connect = { ...trusted(env), timeout: idleMs };
    const timeouts = { headersTimeout: idleMs, bodyTimeout: idleMs };
    const dispatcher = proxy === undefined
      ? new Agent({ ...timeouts, connect })
      : new ProxyAgent({
          ...timeouts, uri: proxy.origin, requestTls: connect, proxyTls: { timeout: idleMs }, proxyTunnel: false, ...credentials(proxy),
          clientFactory: (origin, own) => new Pool(origin, { ...own, ...timeouts }),
        });
    try {
      const answer = await request(at, { dispatcher, headers, ...(signal === undefined ? {} : { signal }) });
      const location = answer.headers["location"];
      if (![301, 302, 303, 307, 308].includes(answer.statusCode) || typeof location !== "string") return { ...answer, close: () => dispatcher.destroy() };
      await dispatcher.destroy();
      at = new URL(location, at);
    } catch (error) {
      await dispatcher.destroy();
      throw failure(error as NodeJS.ErrnoException, at, proxy);
    }
  }
  throw new AstgnnError("ERR_DOWNLOAD", `${url} leads on to another address more than ${REDIRECTS} times.`);
}

/** The error to throw: an AstgnnError for what a retry cannot cure, and the proxy named where it failed. */
function failure(error: NodeJS.ErrnoException, at: URL, proxy: URL | undefined): Error {
  if (UNTRUSTED.test(error.code ?? "")) {
    return new AstgnnError("ERR_DOWNLOAD", `The certificate of ${at.host} is signed by no authority that this machine trusts (${error.code}).`, {
      cause: error,
      next: "Where your network checks encrypted traffic, set SSL_CERT_FILE or NODE_EXTRA_CA_CERTS to a PEM file with its certificate.",
    });
  }
  if (proxy === undefined) return error;
  if (error.syscall === "connect" || error.code === "UND_ERR_CONNECT_TIMEOUT") {
    return new Error(`the proxy ${proxy.host} cannot be reached (${error.message || error.code})`, { cause: error });
  }
  const status = Number(/^Proxy response \((\d+)\)/.exec(error.message)?.[1] ?? (/^Proxy Authentication Required/.test(error.message) ? 407 : NaN));
  if (Number.isNaN(status)) return error;
  if (status >= 500) return new Error(`the proxy ${proxy.host} answered ${status}`, { cause: error });
  const next = status === 407 ? "It wants a user and a password: HTTPS_PROXY=http://user:password@host:port." : `Check HTTPS_PROXY, or name ${at.hostname} in NO_PROXY if it can be reached without one.`;
  return new AstgnnError("ERR_DOWNLOAD", `The proxy ${proxy.host} answered ${`${status} ${STATUS_CODES[status] ?? ""}`.trimEnd()} when asked for ${at.host}.`, { cause: error, next });
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

function credentials({ username, password }: URL): { token?: string } {
  if (username === "") return {};
  return { token: `Basic ${Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString("base64")}` };
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
