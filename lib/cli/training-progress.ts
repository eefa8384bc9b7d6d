import type { EpochEvent } from "../run/records.js";
import { bar, duration } from "../setup/progress.js";
import type { PhaseEvent, StartEvent, StepEvent } from "../train/events.js";
import { decimals, type Terminal } from "./terminal.js";
import { TimeLeft, type TrainingWork } from "./time-left.js";

const WIDTH = 20;
/** A line is not written more often than it can be read. */
const REDRAW_MS = 100;

/** What a training knows of itself once its data are there. */
export interface PlannedTraining extends TrainingWork {
  /** Epochs without a better validation that end it; 0 for never. */
  readonly patience: number;
}

/**
 * The progress of `astgnn train`: on a terminal one line that is rewritten, with a bar and the time left, for each phase from reading to evaluating;
 * elsewhere a plain line where a phase begins.
 */
export class TrainingProgress {
  readonly #terminal: Terminal;
  readonly #now: () => number;
  readonly #isQuiet: boolean;
  #plan: PlannedTraining | undefined;
  #left: TimeLeft | undefined;
  #line = (): string => "";
  #drawn = -Infinity;

  /**
   * @param isQuiet no plain lines: for `--json`
   * @param now milliseconds of a clock that never goes back
   */
  constructor(terminal: Terminal, isQuiet: boolean, now: () => number = () => performance.now()) {
    this.#terminal = terminal;
    this.#isQuiet = isQuiet;
    this.#now = now;
  }

  /** Begins a phase that says nothing of how far it is. */
  begin(what: string): void {
    const since = this.#now();
    if (!this.#terminal.isInteractive && !this.#isQuiet) this.#terminal.err(what);
    this.#draw(() => `${what}${this.#now() - since < 1000 ? "" : `, ${duration(Math.floor((this.#now() - since) / 1000))}`}`);
  }

  /** Data are there: the training is about to begin. */
  plan(plan: PlannedTraining): void {
    this.#plan = plan;
    this.#left = new TimeLeft(plan, this.#now);
  }

  start(event: StartEvent): void {
    this.#left!.start(event);
  }

  step({ epoch, stepInEpoch, stepsPerEpoch, loss, seed }: StepEvent): void {
    const left = this.#left!;
    left.step({ seed });
    const { epochs } = this.#plan!;
    this.#draw(() => `${bar(left.share, 1, WIDTH)} ${Math.floor(100 * left.share)} %${this.#comma(this.timeLeft)}, epoch ${epoch}/${epochs}, step ${stepInEpoch}/${stepsPerEpoch}, loss ${decimals(loss)}${this.#member(seed)}`, stepInEpoch < stepsPerEpoch);
  }

  /** After the event, so that the next step's time does not count its printing. */
  epoch(event: EpochEvent): void {
    this.#left!.epoch(event);
  }

  phase(event: PhaseEvent): void {
    const { phase, done, total, seed } = event;
    const left = this.#left!;
    left.phase(event);
    const dates = `${total} ${total === 1 ? "date" : "dates"}`;
    const text = { validation: `validating ${dates}`, scoring: `scoring ${dates}`, writing: "writing predictions and reports" }[phase];
    if (phase !== "validation" && (phase === "writing" || done === 0) && !this.#terminal.isInteractive && !this.#isQuiet) this.#terminal.err(`${text}${this.#member(seed)}`);
    const shown = phase === "scoring" ? `${bar(done, total, WIDTH)} ${text}` : phase === "validation" ? `${bar(left.share, 1, WIDTH)} ${Math.floor(100 * left.share)} %, ${text}` : text;
    this.#draw(() => `${shown}${this.#comma(phase === "writing" ? "" : this.timeLeft)}${this.#member(seed)}`);
  }

  /** `3 min 20 s left`; empty where nothing was timed. Where the training may stop early, at most that. */
  get timeLeft(): string {
    const seconds = this.#left?.seconds;
    if (seconds === undefined) return "";
    return `${this.#plan!.patience > 0 ? "at most " : ""}${duration(seconds)} left`;
  }

  /** Draws the line in hand again: what is left or over is told by the clock. */
  redraw(): void {
    const line = this.#line();
    if (line !== "") this.#terminal.progress(line);
    this.#drawn = this.#now();
  }

  end(): void {
    this.#line = () => "";
    this.#terminal.clearProgress();
  }

  #draw(line: () => string, mayWait = false): void {
    this.#line = line;
    if (!mayWait || this.#now() - this.#drawn >= REDRAW_MS) this.redraw();
  }

  #comma(text: string): string {
    return text === "" ? "" : `, ${text}`;
  }

  #member(seed: number | null): string {
    const { seeds } = this.#plan!;
    if (seeds === undefined) return "";
    return seed === null ? `, all ${seeds.length} seeds` : `, seed ${seed} (${seeds.indexOf(seed) + 1} of ${seeds.length})`;
  }
}
