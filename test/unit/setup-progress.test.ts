import { expect, it } from "vitest";
import { progressPrinter, type SetupProgress } from "../../lib/setup/progress.js";

/** What is printed for one message per second. */
function printed(isTTY: boolean, steps: Partial<SetupProgress>[], columns?: number): string {
  let output = "";
  let ms = 0;
  const printer = progressPrinter({ isTTY, ...(columns === undefined ? {} : { columns }), write: (text: string) => (output += text) }, () => ms);
  for (const step of steps) {
    printer.show({ stage: "download", message: "downloading a", ...step });
    ms += 1000;
  }
  printer.end();
  return output;
}

const totalBytes = 400e6;

it("draws a bar with share, size, rate and what is left on a terminal", () => {
  const output = printed(true, [{ bytes: 0, totalBytes }, { bytes: 100e6, totalBytes }, { bytes: totalBytes, totalBytes }], 100);
  expect(output.split("\r\x1b[K")).toEqual([
    "",
    "astgnn: [....................] 0 % of 400 MB downloading a",
    "astgnn: [#####...............] 25 % of 400 MB, 100 MB/s, 3 s left downloading a",
    "astgnn: [####################] 100 % of 400 MB, 200 MB/s downloading a\n",
  ]);
});

it("counts the rate from where a download goes on, and knows no share without a size", () => {
  expect(printed(true, [{ bytes: 300e6, totalBytes }, { bytes: 350e6, totalBytes }], 100)).toContain("87 % of 400 MB, 50 MB/s, 1 s left");
  expect(printed(true, [{ bytes: 0 }, { bytes: 30e6 }])).toContain("astgnn: 30 MB, 30 MB/s downloading a");
});

it("never draws past the edge of the terminal", () => {
  for (const line of printed(true, [{ bytes: 0, totalBytes, message: "m".repeat(200) }], 40).split("\r\x1b[K")) expect(line.trimEnd().length).toBeLessThan(40);
});

it("prints plain lines without a terminal: one per stage, and per quarter of a long one", () => {
  const steps = [0, 50e6, 110e6, 120e6, 390e6, totalBytes].map((bytes) => ({ bytes, totalBytes }));
  const output = printed(false, [...steps, { stage: "unpack", message: "unpacking a", bytes: 5, totalBytes: 10 }, { stage: "install", message: "installed" }]);
  expect(output.split("\n")).toEqual([
    "astgnn: downloading a",
    "astgnn: downloading a: 27 % of 400 MB, 55 MB/s, 6 s left",
    "astgnn: downloading a: 97 % of 400 MB, 98 MB/s, 1 s left",
    "astgnn: downloading a: 100 % of 400 MB, 80 MB/s",
    "astgnn: unpacking a",
    "astgnn: installed",
    "",
  ]);
  expect(output).not.toMatch(/[\r\x1b]/);
});
