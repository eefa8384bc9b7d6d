import { execFile, execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, request, type IncomingMessage, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { connect, createServer as createSilentServer, type AddressInfo, type Socket } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { downloadFile } from "../../lib/setup/archive.js";
import { get, proxyFor } from "../../lib/setup/http.js";
import { findPip } from "../../lib/setup/pip.js";
import { libtorchFiles, scratch, write, zip } from "./libtorch-fixture.js";

const root = scratch();
const repository = join(import.meta.dirname, "..", "..");
let count = 0;
const fresh = (): string => join(root, `case-${++count}`);
const content = Buffer.from("what was asked for");

describe("the proxy of the environment", () => {
  const proxyOf = (address: string, env: NodeJS.ProcessEnv): string | undefined => proxyFor(new URL(address), env)?.host;

  it.each([
    ["https://host.example/a", { HTTPS_PROXY: "http://proxy:3128" }, "proxy:3128"],
    ["https://host.example/a", { HTTPS_PROXY: "http://upper:1", https_proxy: "lower:2" }, "lower:2"],
    ["https://host.example/a", { HTTP_PROXY: "http://proxy:3128" }, undefined],
    ["http://host.example/a", { HTTP_PROXY: "http://proxy:3128" }, "proxy:3128"],
    ["https://host.example/a", { all_proxy: "http://proxy:3128" }, "proxy:3128"],
    ["https://host.example/a", { HTTPS_PROXY: "" }, undefined],
    ["https://host.example/a", { HTTPS_PROXY: "proxy:3128", NO_PROXY: "other.example, host.example" }, undefined],
    ["https://a.host.example/a", { HTTPS_PROXY: "proxy:3128", NO_PROXY: ".host.example" }, undefined],
    ["https://a.host.example/a", { HTTPS_PROXY: "proxy:3128", no_proxy: "*.host.example" }, undefined],
    ["https://ghost.example/a", { HTTPS_PROXY: "proxy:3128", NO_PROXY: "host.example" }, "proxy:3128"],
    ["https://host.example/a", { HTTPS_PROXY: "proxy:3128", NO_PROXY: "host.example:8443" }, "proxy:3128"],
    ["https://host.example:8443/a", { HTTPS_PROXY: "proxy:3128", NO_PROXY: "host.example:8443" }, undefined],
    ["https://host.example/a", { HTTPS_PROXY: "proxy:3128", NO_PROXY: "*" }, undefined],
  ])("for %s with %o is %s", (address, env, expected) => {
    expect(proxyOf(address, env)).toBe(expected);
  });

  it("is refused where it is not an HTTP proxy, without showing its password", () => {
    expect(() => proxyOf("https://host.example/a", { ALL_PROXY: "socks5://me:secret@proxy:1080" })).toThrow(/names, socks5:\/\/proxy:1080, is not of the kind http:\/\/host:port\. Set HTTPS_PROXY/);
  });
});

describe("a download", () => {
  let proxy: Server;
  let proxyAddress = "";
  let asked: { line: string; credentials: string | undefined }[] = [];
  let refuse: number | undefined;

  beforeAll(async () => {
    proxy = createServer((incoming, response) => {
      asked.push({ line: `${incoming.method} ${incoming.url}`, credentials: incoming.headers["proxy-authorization"] });
      if (refuse !== undefined) return void response.writeHead(refuse).end();
      incoming.pipe(request(incoming.url!, { headers: incoming.headers }, (answer) => answer.pipe(response.writeHead(answer.statusCode!, answer.headers))));
    });
    proxy.on("connect", (incoming: IncomingMessage, socket) => {
      asked.push({ line: `CONNECT ${incoming.url}`, credentials: incoming.headers["proxy-authorization"] });
      if (refuse !== undefined) return void socket.end(`HTTP/1.1 ${refuse} No\r\n\r\n`);
      // Whatever the name, it is this machine.
      const target = connect(Number(incoming.url!.split(":")[1]), "127.0.0.1", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        target.pipe(socket).pipe(target);
      });
      for (const end of [target, socket]) end.on("error", () => end.destroy());
    });
    proxyAddress = await listen(proxy);
  });
  afterAll(() => void proxy.close());
  beforeEach(() => {
    asked = [];
    refuse = undefined;
  });

  const fetched = async (url: string, env: NodeJS.ProcessEnv): Promise<Buffer> => {
    const file = join(fresh(), "file");
    await downloadFile({ url, file, env, attempts: 1 });
    return readFileSync(file);
  };

  describe("over http", () => {
    let server: Server;
    let port = "";
    beforeAll(async () => {
      const moved: Record<string, string> = { "/moved": "/file", "/round": "/round" };
      server = createServer((incoming, response) => void (incoming.url! in moved ? response.writeHead(302, { location: moved[incoming.url!] }).end() : response.end(content)));
      port = (await listen(server)).split(":")[1]!;
    });
    afterAll(() => void server.close());

    it("goes through the proxy, with user and password, and follows redirects", async () => {
      const env = { http_proxy: `http://me:p%40ss@${proxyAddress}` };
      expect(await fetched(`http://127.0.0.1:${port}/moved`, env)).toEqual(content);
      const credentials = `Basic ${Buffer.from("me:p@ss").toString("base64")}`;
      expect(asked).toEqual(["/moved", "/file"].map((path) => ({ line: `GET http://127.0.0.1:${port}${path}`, credentials })));
    });

    it("says that the proxy cannot be reached", async () => {
      await expect(fetched(`http://127.0.0.1:${port}/file`, { http_proxy: "http://127.0.0.1:1" })).rejects.toThrow(/could not be fetched: the proxy 127\.0\.0\.1:1 cannot be reached \(.+\)\. Check the network/);
    });

    it("gives up after ten redirects", async () => {
      await expect(fetched(`http://127.0.0.1:${port}/round`, {})).rejects.toThrow(`http://127.0.0.1:${port}/round leads on to another address more than 10 times.`);
    });

    it("passes the proxy by where NO_PROXY says so", async () => {
      expect(await fetched(`http://127.0.0.1:${port}/file`, { http_proxy: proxyAddress, NO_PROXY: "127.0.0.1" })).toEqual(content);
      expect(asked).toEqual([]);
    });
  });

  const openssl = spawnSync("openssl", ["version"]).status === 0;
  describe.runIf(openssl)("over https (needs openssl for a certificate)", () => {
    const certificate = join(root, "certificate.pem");
    let server: ReturnType<typeof createSecureServer>;
    let url = "";
    let body: Buffer = content;

    beforeAll(async () => {
      const key = join(root, "key.pem");
      execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=archive.test", "-addext", "subjectAltName=DNS:archive.test", "-keyout", key, "-out", certificate], { stdio: "ignore" });
      server = createSecureServer({ key: readFileSync(key), cert: readFileSync(certificate) }, (_incoming, response) => void response.end(body));
      url = `https://archive.test:${(await listen(server)).split(":")[1]}/libtorch.zip`;
    });
    afterAll(() => void server.close());

    it("goes through the proxy's tunnel and trusts SSL_CERT_FILE", async () => {
      expect(await fetched(url, { HTTPS_PROXY: `http://${proxyAddress}`, SSL_CERT_FILE: certificate })).toEqual(content);
      expect(asked.map(({ line }) => line)).toEqual([`CONNECT ${new URL(url).host}`]);
    });

    it("says what to set where the certificate is trusted by nobody", async () => {
      await expect(fetched(url, { HTTPS_PROXY: proxyAddress })).rejects.toMatchObject({
        code: "ERR_DOWNLOAD",
        message: expect.stringMatching(/^The certificate of archive\.test:\d+ is signed by no authority that this machine trusts \(\w+\)\. .* set SSL_CERT_FILE or NODE_EXTRA_CA_CERTS/),
      });
    });

    it("names the variable whose certificate file cannot be read", async () => {
      await expect(fetched(url, { SSL_CERT_FILE: join(root, "nowhere.pem") })).rejects.toThrow(/SSL_CERT_FILE names .*nowhere\.pem, which cannot be read \(ENOENT\)\. Unset SSL_CERT_FILE/);
    });

    it.each([
      [407, /proxy 127\.0\.0\.1:\d+ answered 407 Proxy Authentication Required when asked for archive\.test:\d+\. It wants a user and a password/],
      [403, /answered 403 Forbidden when asked for archive\.test:\d+\. Check HTTPS_PROXY, or name archive\.test in NO_PROXY/],
      [503, /could not be fetched: the proxy 127\.0\.0\.1:\d+ answered 503\. Check the network/],
    ])("passes on that the proxy answered %d", async (status, message) => {
      refuse = status;
      await expect(fetched(url, { HTTPS_PROXY: proxyAddress, SSL_CERT_FILE: certificate })).rejects.toThrow(message);
    });

    it("of the command honours both, NODE_EXTRA_CA_CERTS too", async () => {
      const files = Object.fromEntries(Object.entries(libtorchFiles("2.15.0")).map(([name, bytes]) => [`libtorch/${name}`, bytes]));
      body = zip(files);
      const cache = fresh();
      const env = { PATH: "", HOME: cache, XDG_CACHE_HOME: cache, ASTGNN_LIBTORCH_URL: url, HTTPS_PROXY: `http://${proxyAddress}`, NODE_EXTRA_CA_CERTS: certificate };
      const { stdout } = await promisify(execFile)(process.execPath, [join(repository, "dist", "cli", "main.js"), "setup", "--json"], { env });
      expect(JSON.parse(stdout)).toMatchObject({ path: join(cache, "astgnn", "libtorch-2.15.0-cpu"), source: "fetched" });
      expect(asked.map(({ line }) => line)).toEqual([`CONNECT ${new URL(url).host}`]);
    });
  });

  it.each([
    ["a server", (address: string) => ({ url: `http://${address}/file`, env: {} })],
    ["a proxy", (address: string) => ({ url: "https://archive.test/file", env: { HTTPS_PROXY: `http://${address}` } })],
  ])("does not wait for ever for %s that takes a connection and says nothing", async (_who, asking) => {
    const held = new Set<Socket>();
    const silent = createSilentServer((socket) => void held.add(socket.on("error", () => undefined)));
    const { url, env } = asking(await listen(silent));
    await expect(get(url, { env, idleMs: 100 })).rejects.toThrow();
    for (const socket of held) socket.destroy();
    silent.close();
  });

  it("with pip goes through the same proxy", async ({ skip }) => {
    const pip = await findPip();
    if (pip === undefined) return skip("there is no pip here");
    refuse = 403;
    const home = write(fresh(), { "pip.conf": "" });
    const env = { PATH: process.env["PATH"], HOME: home, PIP_CONFIG_FILE: join(home, "pip.conf"), PIP_INDEX_URL: "https://index.test/simple", PIP_RETRIES: "0", HTTPS_PROXY: `http://${proxyAddress}`, XDG_CACHE_HOME: home };
    const failed = promisify(execFile)(process.execPath, [join(repository, "dist", "cli", "main.js"), "setup"], { env });
    await expect(failed).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining("pip could not download torch==2.15.0") });
    expect(asked[0]?.line).toBe("CONNECT index.test:443");
  });
});

async function listen(server: { listen(port: number, host: string, done: () => void): unknown; address(): unknown }): Promise<string> {
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
