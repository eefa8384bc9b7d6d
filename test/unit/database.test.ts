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

it("spills nowhere: no .tmp folder in the user's working directory", async () => {
  await using database = await Database.open();
  expect(await database.rows("SELECT current_setting('temp_directory')", "")).toEqual([[""]]);
});
