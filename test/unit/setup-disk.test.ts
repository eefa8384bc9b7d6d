import { chmodSync, chownSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { diskFailure, diskOf } from "../../lib/setup/disk.js";
import { planSetup } from "../../lib/setup/plan.js";
import { pinnedVersion } from "../../lib/binding/pinned.js";
import { setup } from "../../lib/setup/setup.js";
import { libtorchFiles, scratch, write, zip } from "./libtorch-fixture.js";

const root = scratch();
const NOBODY = 65_534;
let count = 0;
const fresh = (): string => join(root, `case-${++count}`);

/** Root may write everywhere: run as a user who may not. */
async function asUser<T>(work: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) return work();
  process.seteuid!(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid!(0);
  }
}

it("says that the user cache is not writable and what to set, before anything is fetched", async () => {
  const home = fresh();
  mkdirSync(home, { recursive: true });
  chmodSync(home, 0o555);
  chmodSync(dirname(home), 0o755);
  const from = write(fresh(), libtorchFiles(pinnedVersion));
  const env = { HOME: home, PATH: "" };
  const cache = join(home, ".cache", "astgnn");
  const message = `LibTorch cannot be put into the user cache ${cache}: it is not writable (EACCES). Set XDG_CACHE_HOME to a folder that is, now and whenever astgnn runs, or ASTGNN_LIBTORCH to the folder of a LibTorch that is there.`;
  await asUser(() => expect(setup({ env, from })).rejects.toMatchObject({ code: "ERR_DOWNLOAD", message, file: cache }));
  chmodSync(home, 0o755);
  expect(readdirSync(home)).toEqual([]);
});

it("says so too where a file is in the way of the cache, and its plan does", async () => {
  const base = write(fresh(), { cache: "a file" });
  const options = { env: { HOME: base, XDG_CACHE_HOME: join(base, "cache"), PATH: "" }, from: write(fresh(), libtorchFiles(pinnedVersion)) };
  const message = /^LibTorch cannot be put into the user cache .*cache\/astgnn: it is not writable \(ENOTDIR\)/;
  await expect(setup(options)).rejects.toThrow(message);
  expect((await planSetup(options)).problems).toEqual([expect.stringMatching(message)]);
});

it("uses a LibTorch in a cache that it may only read", async () => {
  const base = fresh();
  const target = write(join(base, "astgnn", `libtorch-${pinnedVersion}-cpu`), libtorchFiles(pinnedVersion));
  const env = { HOME: base, XDG_CACHE_HOME: base, PATH: "" };
  chmodSync(join(base, "astgnn"), 0o555);
  expect(await asUser(() => setup({ env }))).toMatchObject({ path: target, source: "cache" });
  chmodSync(join(base, "astgnn"), 0o755);
});

it("does not blame the cache for a file of --from that it may not read", async () => {
  const base = fresh();
  mkdirSync(base, { recursive: true });
  if (process.getuid?.() === 0) chownSync(base, NOBODY, NOBODY);
  const wheel = join(write(fresh(), { "libtorch-a.zip": zip({ a: "" }) }), "libtorch-a.zip");
  chmodSync(wheel, 0o000);
  await asUser(async () => {
    await expect(setup({ env: { HOME: base, XDG_CACHE_HOME: base, PATH: "" }, from: wheel })).rejects.toThrow(/^EACCES: permission denied, open '.*libtorch-a\.zip'$/);
  });
});

it("says how much space is needed and free where an archive does not fit, and writes nothing", async () => {
  const base = fresh();
  // Each entry claims almost four gigabytes, in all more than any disk has.
  const names = Array.from({ length: 4_000 }, (_, i) => `libtorch/include/${i}.h`);
  const archive = zip(Object.fromEntries(names.map((name) => [name, ""])));
  for (let at = archive.indexOf("PK\x01\x02"); at >= 0; at = archive.indexOf("PK\x01\x02", at + 4)) archive.writeUInt32LE(0xfffffff0, archive.writeUInt32LE(0xfffffff0, at + 20));
  const from = join(write(fresh(), { "libtorch-huge.zip": archive }), "libtorch-huge.zip");
  const env = { HOME: base, XDG_CACHE_HOME: base, PATH: "" };
  await expect(setup({ env, from })).rejects.toMatchObject({
    code: "ERR_DOWNLOAD",
    message: expect.stringMatching(/^There is not enough disk space for LibTorch in .*astgnn: 17180 GB are needed and [\d.]+ [MG]B are free\. Free some, or set XDG_CACHE_HOME/),
  });
  expect(readdirSync(join(base, "astgnn"))).toEqual([]);
  expect((await planSetup({ env, from })).problems[0]).toMatch(/^There is not enough disk space/);
});

it("translates what the file system says while it writes, and nothing else", async () => {
  const full = await diskFailure(root, 5e6, Object.assign(new Error("write"), { code: "ENOSPC" }));
  expect(full?.message).toMatch(/not enough disk space for LibTorch in .*: 5\.0 MB are needed and/);
  const readOnly = await diskFailure(root, 0, Object.assign(new Error("open"), { code: "EROFS", path: join(root, "lock") }));
  expect(readOnly?.message).toContain("it is not writable (EROFS)");
  // On a read-only disk Node's recursive mkdir says ENOENT, so the disk is asked.
  const below = join(write(fresh(), { file: "" }), "file", "astgnn");
  const disguised = await diskFailure(below, 0, Object.assign(new Error("mkdir"), { code: "ENOENT", syscall: "mkdir", path: below }));
  expect(disguised?.message).toContain(`the user cache ${below}: it is not writable (ENOTDIR)`);
  expect(await diskFailure(root, 0, Object.assign(new Error("open"), { code: "EACCES", path: "/elsewhere/file" }))).toBeUndefined();
  expect(await diskFailure(root, 0, new Error("other"))).toBeUndefined();
});

it("looks at the nearest folder that is there, and makes none", async () => {
  expect(await diskOf(join(root, "not", "there"))).toMatchObject({ folder: root, freeBytes: expect.any(Number) });
  expect(readdirSync(root)).not.toContain("not");
});
