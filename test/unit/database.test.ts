import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { afterEach, expect, it, vi } from "vitest";
import { Database } from "../../lib/data/source/database.js";

afterEach(() => vi.restoreAllMocks());

it("makes no instance where the signal is aborted already, and closes the one that is made meanwhile", async () => {
  const create = vi.spyOn(DuckDBInstance, "create");
  const listens = vi.spyOn(AbortSignal.prototype, "addEventListener");
  await expect(Database.open(AbortSignal.abort())).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
  expect(create).not.toHaveBeenCalled();
  expect(listens).not.toHaveBeenCalled();

  const abort = new AbortController();
  const close = vi.spyOn(DuckDBInstance.prototype, "closeSync");
  const opening = Database.open(abort.signal);
  abort.abort();
  await expect(opening).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED" });
  expect(create).toHaveBeenCalledTimes(1);
  expect(close).toHaveBeenCalledTimes(1);
});

const LARGE_SORT = "SELECT sum(length(s)) FROM (SELECT s, row_number() OVER (ORDER BY h) AS n FROM (SELECT hash(i) AS h, repeat(i::VARCHAR, 8) AS s FROM range(1000000) t(i))) WHERE n % 2 = 0";

it("lets a query that needs more than the memory spill, outside the user's working directory, and leaves nothing behind", async () => {
  let spill = "";
  {
    await using database = await Database.open();
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
    await using database = await Database.open();
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
