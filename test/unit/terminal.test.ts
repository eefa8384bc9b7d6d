import { expect, it, vi } from "vitest";
import { processTerminal } from "../../lib/cli/terminal.js";

it("prints names of others' data without what a terminal obeys", () => {
  const written: string[] = [];
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, "write").mockImplementation((text) => written.push(String(text)) > 0));
  const terminal = processTerminal();
  terminal.out("AAA\u001b[2J\u001b]0;title\u0007\r\u009b31m\u202eBBB\tC é 株");
  terminal.err("two\nlines\u001b[1A");
  for (const spy of spies) spy.mockRestore();
  expect(written).toEqual(["AAA\ufffd[2J\ufffd]0;title\ufffd\ufffd\ufffd31m\ufffdBBB\tC é 株\n", "two\nlines\ufffd[1A\n"]);
});
