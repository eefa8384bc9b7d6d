import { expect, test } from "vitest";
import { loadCore, loadCoreAway } from "../../lib/binding/load.js";

test("the event loop turns while LibTorch is opened for the first time, and the core is the one that loadCore gives", async () => {
  let turns = 0;
  let next: NodeJS.Immediate;
  const turn = (): void => {
    turns++;
    next = setImmediate(turn);
  };
  turn();
  const cores = await Promise.all([loadCoreAway(), loadCoreAway()]);
  clearImmediate(next!);
  // Opened on this thread it would turn twice or so.
  expect(turns).toBeGreaterThan(20);
  expect(cores).toEqual([loadCore(), loadCore()]);
  expect(await loadCoreAway()).toBe(loadCore());
  expect(cores[0].info().devices[0]).toBe("cpu");
});
