import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { DuckDBConnection, DuckDBInstance } from "@duckdb/node-api";
import { afterEach, expect, it, vi } from "vitest";
import { Database } from "../../lib/data/source/database.js";

afterEach(() => vi.restoreAllMocks());

it("makes no instance where the signal is aborted already or nothing is asked, and closes the one that is made meanwhile", async () => {
  const create = vi.spyOn(DuckDBInstance, "create");
  const listens = vi.spyOn(AbortSignal.prototype, "addEventListener");
  const aborted = { name: "AbortError", code: "ERR_ABORTED" };
  expect(() => Database.open(AbortSignal.abort())).toThrow(expect.objectContaining(aborted));
  await Database.open(new AbortController().signal)[Symbol.asyncDispose]();
  expect(create).not.toHaveBeenCalled();
  expect(listens).not.toHaveBeenCalled();

  const abort = new AbortController();
  const close = vi.spyOn(DuckDBInstance.prototype, "closeSync");
  const run = vi.spyOn(DuckDBConnection.prototype, "run");
  {
    await using database = Database.open(abort.signal);
    const running = database.run("SELECT 1", "");
    abort.abort();
    await expect(running).rejects.toMatchObject(aborted);
  }
  expect(create).toHaveBeenCalledTimes(1);
  expect(run).not.toHaveBeenCalled();
  expect(close).toHaveBeenCalledTimes(1);
});

it("starts once for what is asked at the same time", async () => {
  const create = vi.spyOn(DuckDBInstance, "create");
  await using database = Database.open();
  expect(await Promise.all([1, 2].map((n) => database.rows(`SELECT ${n}`, "")))).toEqual([[[1]], [[2]]]);
  expect(create).toHaveBeenCalledTimes(1);
});

const LARGE_SORT = "SELECT sum(length(s)) FROM (SELECT s, row_number() OVER (ORDER BY h) AS n FROM (SELECT hash(i) AS h, repeat(i::VARCHAR, 8) AS s FROM range(1000000) t(i))) WHERE n % 2 = 0";

it("lets a query that needs more than the memory spill, outside the user's working directory, and leaves nothing behind", async () => {
  let spill = "";
  {
    await using database = Database.open();
    await database.run("SET memory_limit = '40MB'; SET threads = 1", "");
    [[spill]] = (await database.rows("SELECT current_setting('temp_directory')", "")) as [[string]];
    expect(await database.rows(LARGE_SORT, "")).toHaveLength(1);
    expect(existsSync(spill)).toBe(true);
  }
  expect(dirname(spill)).toBe(tmpdir());
  expect(existsSync(spill)).toBe(false);
  expect(existsSync(".tmp")).toBe(false);
});

it("says what to do where it cannot spill", async () => {
  const before = process.env.TMPDIR;
  process.env.TMPDIR = "/proc/nowhere";
  try {
    await using database = Database.open();
    await database.run("SET memory_limit = '40MB'; SET threads = 1", "");
    await expect(database.rows(LARGE_SORT, "the query")).rejects.toMatchObject({
      code: "ERR_OUT_OF_MEMORY",
      message: expect.stringMatching(/^Reading the query needs more than the memory, and it cannot go on in \/proc\/nowhere: .* set TMPDIR to a folder with more space\.$/) as string,
    });
  } finally {
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
  }
});
