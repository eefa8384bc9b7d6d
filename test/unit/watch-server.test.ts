import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { main } from "../../lib/cli/program.js";
import { withLock } from "../../lib/setup/lock.js";
import { serveWatch, type WatchServer } from "../../lib/watch/server.js";

interface Reply {
  status: number;
  text: string;
  headers: IncomingMessage["headers"];
}

function ask(url: string, { method = "GET", headers = {}, path, body }: { method?: string; headers?: Record<string, string>; path?: string; body?: string } = {}): Promise<Reply> {
  const { hostname, port, pathname } = new URL(url);
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, method, headers, path: path ?? pathname, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk)).on("end", () => resolve({ status: response.statusCode!, text, headers: response.headers }));
    });
    sent.on("error", reject).end(body);
  });
}

describe("The server of the page", () => {
  let server: WatchServer;
  let made = 0;
  beforeAll(async () => {
    server = await serveWatch({ page: async () => `page ${++made}`, state: async () => "state" }, { limits: { connections: 16, patienceMs: 10_000, renderingMs: 60_000 } });
  });
  afterAll(() => server.close());
  const port = (): string => new URL(server.url).port;
  const token = (): string => new URL(server.url).pathname.split("/")[1]!;

  it("answers its address on 127.0.0.1, which has a token of 192 bits, and nothing is kept or sent on", async () => {
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/[\w-]{32}\/$/);
    const { status, text, headers } = await ask(server.url);
    expect([status, text]).toEqual([200, "page 1"]);
    expect(headers).toMatchObject({ "cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff", "cross-origin-resource-policy": "same-origin", "content-security-policy": "frame-ancestors 'none'" });
    expect(headers).not.toHaveProperty("access-control-allow-origin");
    expect(await ask(`${server.url}state`)).toMatchObject({ status: 200, text: "state" });
    expect(await ask(server.url, { method: "HEAD" })).toMatchObject({ status: 200, text: "" });
    expect(await ask(server.url, { headers: { host: `localhost:${port()}`, origin: `http://localhost:${port()}` } })).toMatchObject({ status: 200 });
  });

  it("makes the page once for all who ask within a while", async () => {
    const replies = await Promise.all(Array.from({ length: 8 }, () => ask(server.url)));
    expect(new Set(replies.map(({ text }) => text)).size).toBe(1);
  });

  it.each(["127.0.0.1", "127.0.0.1:1", "example.org", "example.org:80", "localhost", "127.0.0.1.example.org"])("refuses the host %s", async (host) => {
    expect(await ask(server.url, { headers: { host } })).toMatchObject({ status: 403, text: expect.not.stringContaining("page") });
  });

  it.each(["http://example.org", "null", "https://127.0.0.1", "http://127.0.0.1:1"])("refuses the origin %s", async (origin) => {
    expect(await ask(server.url, { headers: { origin } })).toMatchObject({ status: 403 });
  });

  it("refuses no token, another one, and one that only begins or ends like it", async () => {
    for (const path of ["/", "/state", `/${"A".repeat(32)}/`, `/${token()}`, `/${token()}x/`, `/${token().slice(1)}/`, `/x${token()}/`, `//${token()}/`, `/?${token()}/`]) {
      expect([path, (await ask(server.url, { path })).status]).toEqual([path, 403]);
    }
  });

  it("has two paths and no others, and reads no file", async () => {
    for (const rest of ["../", "..%2f..%2fetc/passwd", "../../../../etc/passwd", "%2e%2e/etc/passwd", "run.json", "state/", "state?x=1", "__proto__", "constructor", "\\..\\x", "%00"]) {
      expect([rest, (await ask(server.url, { path: `/${token()}/${rest}` })).status]).toEqual([rest, 404]);
    }
  });

  it("refuses other methods, and bodies", async () => {
    for (const method of ["POST", "PUT", "DELETE", "OPTIONS"]) expect(await ask(server.url, { method })).toMatchObject({ status: 405, headers: { connection: "close" } });
    expect(await ask(server.url, { headers: { "content-length": "5" }, body: "hello" })).toMatchObject({ status: 400 });
  });

  it("takes no headers beyond 8 KiB and no request that is none, and answers the next", async () => {
    const path = new URL(server.url).pathname;
    const hello = `GET ${path} HTTP/1.1\r\nHost: ${new URL(server.url).host}\r\n`;
    const thrown = [
      `${hello}X: ${"a".repeat(1 << 20)}\r\n\r\n`, `${hello}${"X: a\r\n".repeat(5000)}\r\n`, `GET ${path}${"a".repeat(1 << 20)} HTTP/1.1\r\n\r\n`, `${hello}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
      `${hello}Host: example.org\r\nHost: example.org\r\n\r\n`, `${hello.replace("HTTP/1.1", "HTTP/9.9")}\r\n`, "\u0016\u0003\u0001\u0002\u0000\u0001", "\u0000".repeat(1 << 16), `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`, `${hello}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n`,
    ];
    for (const bytes of thrown) {
      const answer = await new Promise<string>((resolve) => {
        let text = "";
        const socket = connect(Number(port()), "127.0.0.1", () => void socket.end(bytes)).on("error", () => {});
        socket.on("data", (chunk: Buffer) => (text += chunk.toString())).on("close", () => resolve(text));
      });
      expect([bytes.slice(0, 200), answer.includes("page")]).toEqual([bytes.slice(0, 200), bytes.includes("Upgrade")]);
    }
    expect(await ask(server.url)).toMatchObject({ status: 200 });
  });

  it("stands a flood of connections, and answers when it is over", async () => {
    const flood = Array.from({ length: 300 }, () => connect(Number(port()), "127.0.0.1").on("error", () => {}));
    await Promise.all(flood.map((socket) => new Promise((resolve) => socket.once("connect", resolve).once("close", resolve))));
    for (const socket of flood) socket.destroy();
    await Promise.all(flood.map((socket) => new Promise((resolve) => void (socket.closed ? resolve(undefined) : socket.once("close", resolve)))));
    // The server learns of it a moment later.
    let reply: Reply | undefined;
    while (reply === undefined) reply = await ask(server.url).catch(() => undefined);
    expect(reply).toMatchObject({ status: 200 });
  });

  it("says which port cannot be had", async () => {
    await expect(serveWatch({ page: async () => "", state: async () => "" }, { port: Number(port()) })).rejects.toThrow(/Port \d+ of 127\.0\.0\.1 cannot be had: .*EADDRINUSE/);
  });
});

describe("Slow readers", () => {
  let server: WatchServer;
  const sockets: Socket[] = [];
  beforeEach(async () => {
    // More than socket buffers take.
    server = await serveWatch({ page: async () => "x".repeat(64 << 20), state: async () => { throw new Error("/a/path"); } }, { limits: { connections: 3, patienceMs: 300, renderingMs: 1000 } });
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await server.close();
  });
  const open = (): Socket => {
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1").on("error", () => {});
    sockets.push(socket);
    return socket;
  };
  const closed = (socket: Socket): Promise<void> => new Promise((resolve) => void (socket.closed ? resolve() : socket.once("close", () => resolve())));
  const head = (): string => `GET ${new URL(server.url).pathname} HTTP/1.1\r\nHost: ${new URL(server.url).host}\r\n`;

  it("are dropped where they do not send their request", async () => {
    const socket = open();
    socket.write(head());
    socket.resume();
    await closed(socket);
  });

  it("are dropped where they do not take the answer", async () => {
    const socket = open();
    socket.write(`${head()}\r\n`);
    let received = 0;
    // Reads what comes first and then no more until the server has dropped it.
    await new Promise<void>((resolve) => socket.once("close", resolve).once("data", (chunk: Buffer) => {
      received += chunk.length;
      socket.pause();
      setTimeout(resolve, 600);
    }));
    socket.on("data", (chunk: Buffer) => (received += chunk.length)).resume();
    await closed(socket);
    expect(received).toBeLessThan(64 << 20);
  });

  it("take no more connections than there are", async () => {
    const three = [open(), open(), open()];
    await Promise.all(three.map((socket) => new Promise((resolve) => socket.once("connect", resolve))));
    const fourth = open();
    fourth.resume();
    await closed(fourth);
  });

  it("get no path from an error", async () => {
    expect(await ask(`${server.url}state`)).toMatchObject({ status: 500, text: "The run cannot be read.\n" });
  });

  it("hold up nobody who closes the server", async () => {
    const socket = open();
    socket.write(`${head()}\r\n`);
    await new Promise<unknown>((resolve) => socket.once("close", resolve).once("data", resolve));
    socket.pause();
    await server.close();
    await expect(ask(server.url)).rejects.toThrow(/ECONNREFUSED/);
  });
});

describe("astgnn watch", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "astgnn-watch-server-"))));
  afterEach(() => rmSync(folder, { recursive: true }));

  it("shows a run of another process as it goes on, and closes when it is finished", async () => {
    const run = join(folder, "run");
    const lines: Record<string, string>[] = [];
    let heard: (() => void) | undefined;
    const hears = new Promise<void>((resolve) => (heard = resolve));
    const terminal = { isInteractive: false, out: (line: string) => { lines.push(JSON.parse(line) as Record<string, string>); heard!(); }, err: () => {}, progress: () => {}, clearProgress: () => {} };
    const watching = main(["watch", run, "--json"], terminal);
    await hears;
    const url = lines[0]!["url"]!;
    expect(lines).toEqual([{ event: "watching", url, state: "waiting" }]);
    mkdirSync(run);
    const stateOf = async (): Promise<string> => /class="state (\w+)"/.exec((await ask(`${url}state`)).text)![1]!;
    const until = async (state: string): Promise<void> => {
      while ((await stateOf()) !== state) await new Promise((resolve) => setTimeout(resolve, 50));
    };
    await until("waiting");
    await withLock(join(run, ".lock"), {}, async () => {
      writeFileSync(join(run, "run.json"), JSON.stringify({ status: "running", training: { epochs: 1 } }));
      await until("running");
      writeFileSync(join(run, "run.json"), JSON.stringify({ status: "finished", training: { epochs: 1 } }));
    });
    await until("finished");
    expect(await watching).toBe(0);
    expect(lines.at(-1)).toEqual({ event: "end", state: "finished" });
    await expect(ask(url)).rejects.toThrow(/ECONNREFUSED/);
  });

  const entry = new URL("../../dist/cli/main.js", import.meta.url).pathname;
  it.skipIf(!existsSync(entry))("closes on SIGINT with code 130", async () => {
    const child = spawn(process.execPath, [entry, "watch", join(folder, "run")], { stdio: ["ignore", "pipe", "pipe"] });
    let err = "";
    child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.on("exit", resolve));
    const [url] = await new Promise<RegExpExecArray>((resolve) => {
      let out = "";
      child.stdout.on("data", (chunk: Buffer) => {
        const found = /http:\S+/.exec((out += chunk.toString()));
        if (found !== null) resolve(found);
      });
    });
    expect((await ask(url!)).text).toContain("Waiting for a training to begin in");
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(err).toBe("astgnn watch: The watch has ended; the training goes on.\n");
    await expect(ask(url!)).rejects.toThrow(/ECONNREFUSED/);
  });
});
