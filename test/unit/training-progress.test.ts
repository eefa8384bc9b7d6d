import { describe, expect, it } from "vitest";
import type { EpochEvent } from "../../lib/run/records.js";
import { duration } from "../../lib/setup/progress.js";
import { TrainingProgress, type PlannedTraining } from "../../lib/cli/training-progress.js";
import { processTerminal } from "../../lib/cli/terminal.js";

const work: PlannedTraining = { epochs: 2, datesPerStep: 1, seeds: undefined, validDates: 10, scoredDates: 40, patience: 0 };

/** A progress on a clock of its own; `lines` are those drawn, `err` the plain ones. */
function progressOf(plan: PlannedTraining, { isInteractive = true, isQuiet = false } = {}) {
  const [lines, err]: [string[], string[]] = [[], []];
  let ms = 0;
  const terminal = { isInteractive, out: () => {}, err: (line: string) => void err.push(line), progress: (line: string) => void (isInteractive && lines.push(line)), clearProgress: () => void lines.push("") };
  const progress = new TrainingProgress(terminal, isQuiet, () => ms);
  progress.plan(plan);
  const start = (seed = 0, stepsDone = 0): void => progress.start({ epochs: plan.epochs, stepsPerEpoch: 20, stepsDone, parameters: 1, device: "cpu", threads: 1, memoryBytes: 1, seed });
  return {
    progress, lines, err, start,
    wait: (seconds: number) => void (ms += 1000 * seconds),
    /** Steps `from` to `to` of an epoch, one a second each. */
    steps: (epoch: number, from = 1, to = 20, seconds = 1, seed = 0): void => {
      for (let stepInEpoch = from; stepInEpoch <= to; stepInEpoch++) {
        ms += 1000 * seconds;
        progress.step({ step: 20 * (epoch - 1) + stepInEpoch, epoch, stepInEpoch, stepsPerEpoch: 20, loss: 0.5, learningRate: 1e-3, gradientNorm: 1, rows: 1, milliseconds: 1, seed });
      }
    },
    /** A validation of 10 dates in `seconds`. */
    epoch: (epoch: number, seconds: number, seed = 0): void => {
      progress.phase({ phase: "validation", done: 0, total: plan.validDates, seed });
      ms += 1000 * seconds;
      progress.epoch({ epoch, seed } as EpochEvent);
    },
    /** 40 dates in two blocks of 20, `seconds` each. */
    score: (seconds: number, seed: number | null = 0): void => {
      for (const done of [0, 20, 40]) {
        if (done > 0) ms += 1000 * seconds;
        progress.phase({ phase: "scoring", done, total: 40, seed });
      }
      progress.phase({ phase: "writing", done: 40, total: 40, seed });
    },
  };
}

describe("The progress of a training on a terminal", () => {
  it("shows share, time left, epoch, step and loss, and counts steps, validations and scoring at the pace it saw", () => {
    const { progress, lines, start, steps, epoch, score } = progressOf(work);
    start();
    expect(progress.timeLeft).toBe("");
    steps(1, 1, 10);
    // 30 steps of a second; two validations and the scoring, 60 dates, at a third of one until a date was timed.
    expect(lines.at(-1)).toBe("[#####...............] 25 %, 50 s left, epoch 1/2, step 10/20, loss 0.5000");
    steps(1, 11);
    epoch(1, 2);
    expect(progress.timeLeft).toBe("30 s left"); // 20 steps, 10 dates of the second validation and 40 of the scoring at .2 s
    steps(2);
    epoch(2, 2);
    expect(progress.timeLeft).toBe("8 s left");
    lines.length = 0;
    score(4);
    expect(lines).toEqual([
      "[....................] scoring 40 dates, 8 s left",
      "[##########..........] scoring 40 dates, 4 s left",
      "[####################] scoring 40 dates, 0 s left",
      "writing predictions and reports",
    ]);
    progress.end();
    expect(lines.at(-1)).toBe("");
  });

  it("counts down while nothing is heard, and never below nothing", () => {
    const { progress, lines, wait, start, steps } = progressOf({ ...work, validDates: 0, scoredDates: 0 });
    start();
    steps(1);
    wait(5);
    progress.redraw();
    expect(lines.at(-1)).toContain(" 15 s left");
    wait(60);
    progress.redraw();
    expect(lines.at(-1)).toContain(" 0 s left");
  });

  it("takes steps before a resume as done and not as fast", () => {
    const { lines, start, steps } = progressOf({ ...work, validDates: 0, scoredDates: 0 });
    start(0, 30);
    steps(2, 11, 12, 3);
    expect(lines.at(-1)).toBe("[################....] 80 %, 24 s left, epoch 2/2, step 12/20, loss 0.5000");
  });

  it("goes on with a resumed run that had only its scoring to do", () => {
    const { lines, score } = progressOf(work);
    score(4);
    expect(lines).toEqual(["[....................] scoring 40 dates", "[##########..........] scoring 40 dates, 4 s left", "[####################] scoring 40 dates, 0 s left", "writing predictions and reports"]);
  });

  it("says at most where the training may stop early, and forgets the steps when it has", () => {
    const { progress, start, steps, epoch, score } = progressOf({ ...work, epochs: 50, patience: 2 });
    start();
    steps(1);
    epoch(1, 2);
    expect(progress.timeLeft).toBe("at most 18 min 6 s left"); // 49 epochs of 20 + 2 s, 8 s of scoring
    score(1);
    expect(progress.timeLeft).toBe("at most 0 s left");
  });

  it("counts all seeds, those before a resume as done, and the scoring of all together", () => {
    const plan = { ...work, seeds: [3, 5, 8], validDates: 0, scoredDates: 40 };
    const { progress, lines, start, steps, score } = progressOf(plan);
    start(5);
    steps(1, 1, 20, 3, 5);
    // 20 and 40 steps of 3 s; 2 x 40 dates, then 3 members x 40, at a second each until one was timed.
    expect(lines.at(-1)).toBe("[##########..........] 50 %, 6 min 20 s left, epoch 1/2, step 20/20, loss 0.5000, seed 5 (2 of 3)");
    score(20, 5);
    expect(progress.timeLeft).toBe("4 min 40 s left"); // 40 steps, 40 dates, 3 x 40 together
    start(8);
    steps(1, 1, 20, 3, 8);
    steps(2, 1, 20, 3, 8);
    score(20, 8);
    expect(progress.timeLeft).toBe("2 min left");
    score(60, null);
    expect(lines.at(-3)).toBe("[##########..........] scoring 40 dates, 1 min left, all 3 seeds");
  });

  it("tells how long a phase without steps has taken", () => {
    const { progress, lines, wait } = progressOf(work);
    progress.begin("reading prices.parquet");
    wait(61.5);
    progress.redraw();
    expect(lines).toEqual(["reading prices.parquet", "reading prices.parquet, 1 min 1 s"]);
  });

  it("draws no more than ten times a second, and always at the end of an epoch", () => {
    const { lines, start, steps } = progressOf(work);
    start();
    steps(1, 1, 20, 0.01);
    expect(lines.map((line) => /step (\d+)/.exec(line)![1])).toEqual(["1", "11", "20"]);
  });
});

describe("Without a terminal", () => {
  it("phases get one plain line each and steps none", () => {
    const { progress, err, lines, start, steps, epoch, score } = progressOf(work, { isInteractive: false });
    progress.begin("reading prices.parquet");
    start();
    steps(1);
    epoch(1, 2);
    score(1);
    expect([lines, err]).toEqual([[], ["reading prices.parquet", "scoring 40 dates", "writing predictions and reports"]]);
  });

  it("nothing is written beside --json", () => {
    const { progress, err, start, score } = progressOf(work, { isInteractive: false, isQuiet: true });
    progress.begin("reading prices.parquet");
    start();
    score(1);
    expect(err).toEqual([]);
  });

  it("the process's own terminal moves no cursor", () => {
    // Tests run with pipes.
    expect(processTerminal().isInteractive).toBe(process.stderr.isTTY === true);
  });
});

it.each([[0, "0 s"], [0.2, "1 s"], [59, "59 s"], [60, "1 min"], [200, "3 min 20 s"], [3599.5, "1 h"], [7500, "2 h 5 min"]])("%d seconds read %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});
