import type { EpochEvent } from "../run/records.js";
import type { PhaseEvent, StartEvent } from "../train/events.js";

/** What a training will do, as far as it is known before its first step. */
export interface TrainingWork {
  readonly epochs: number;
  readonly datesPerStep: number;
  /** One member per seed, one after the other; undefined for a single run. */
  readonly seeds: readonly number[] | undefined;
  /** Dates of a validation. */
  readonly validDates: number;
  /** Dates that are scored at the end; 0 where nothing is written. */
  readonly scoredDates: number;
}

/** Weight that a unit keeps with each one after it: the last hundred or so count, for other work on the machine comes and goes. */
const MEMORY = 0.99;
/** A date's forward pass as a share of its training step, until one was timed. */
const FORWARD_SHARE = 1 / 3;

/** Mean seconds per unit of work. */
class Pace {
  #units = 0;
  #seconds = 0;

  add(units: number, seconds: number): void {
    this.#units = this.#units * MEMORY ** units + units;
    this.#seconds = this.#seconds * MEMORY ** units + seconds;
  }

  get perUnit(): number | undefined {
    return this.#units > 0 ? this.#seconds / this.#units : undefined;
  }
}

/**
 * How long a training will still take, from its events: steps, validations and the scoring of this member and of those to come, each at the pace that was
 * seen. What was done before a resume counts as done and not as fast. Early stopping may end it sooner.
 */
export class TimeLeft {
  readonly #work: TrainingWork;
  readonly #now: () => number;
  readonly #step = new Pace();
  readonly #date = new Pace();
  #stepsPerEpoch = 0;
  /** Members that are done; the one in hand is the next. */
  #members = 0;
  #stepsLeft = 0;
  #validationsLeft = 0;
  #scoresLeft = 0;
  /** When the work in hand began. */
  #since: number | undefined;
  #scored = 0;

  /** @param now milliseconds of a clock that never goes back */
  constructor(work: TrainingWork, now: () => number) {
    this.#work = work;
    this.#now = now;
  }

  start({ epochs, stepsPerEpoch, stepsDone, seed }: StartEvent): void {
    this.#begin(seed);
    this.#stepsPerEpoch = stepsPerEpoch;
    this.#stepsLeft = epochs * stepsPerEpoch - stepsDone;
    this.#validationsLeft = epochs - Math.floor(stepsDone / stepsPerEpoch);
    this.#since = this.#now();
  }

  step(): void {
    this.#stepsLeft--;
    this.#lap(this.#step, 1);
  }

  epoch({ epoch }: EpochEvent): void {
    if (this.#work.validDates > 0) this.#lap(this.#date, this.#work.validDates);
    this.#validationsLeft = this.#work.epochs - epoch;
    this.#since = this.#now();
  }

  phase({ phase, done, total, seed }: PhaseEvent): void {
    if (phase === "validation" || done === 0) this.#since = this.#now();
    if (phase === "validation") return;
    // Stopped early, or trained before a resume.
    [this.#stepsLeft, this.#validationsLeft] = [0, 0];
    if (done === 0) this.#begin(seed);
    else this.#lap(this.#date, (done - this.#scored) * this.#membersOf(seed));
    this.#scored = done;
    this.#scoresLeft = (total - done) * this.#membersOf(seed);
  }

  /** Seconds; undefined before anything was timed. */
  get seconds(): number | undefined {
    const { validDates, scoredDates, epochs, datesPerStep, seeds } = this.#work;
    const ownStep = this.#step.perUnit;
    const date = this.#date.perUnit ?? (ownStep === undefined ? undefined : (ownStep / datesPerStep) * FORWARD_SHARE);
    if (date === undefined) return undefined;
    const step = ownStep ?? (date / FORWARD_SHARE) * datesPerStep;
    const count = seeds?.length ?? 1;
    const later = Math.max(0, count - this.#members - 1);
    const steps = this.#stepsLeft + later * epochs * this.#stepsPerEpoch;
    const together = seeds === undefined || this.#members === count ? 0 : count * scoredDates;
    const dates = this.#validationsLeft * validDates + this.#scoresLeft + later * (epochs * validDates + scoredDates) + together;
    return Math.max(0, steps * step + dates * date - (this.#now() - this.#since!) / 1000);
  }

  /** Share of the steps of all members that are done. */
  get share(): number {
    const { epochs, seeds } = this.#work;
    const all = (seeds?.length ?? 1) * epochs * this.#stepsPerEpoch;
    return all === 0 ? 0 : Math.min(1, ((this.#members + 1) * epochs * this.#stepsPerEpoch - this.#stepsLeft) / all);
  }

  #membersOf(seed: number | null): number {
    return seed === null ? this.#work.seeds!.length : 1;
  }

  #begin(seed: number | null): void {
    const { seeds, scoredDates } = this.#work;
    this.#members = seeds === undefined ? 0 : seed === null ? seeds.length : seeds.indexOf(seed);
    this.#scoresLeft = scoredDates * this.#membersOf(seed);
  }

  #lap(pace: Pace, units: number): void {
    const now = this.#now();
    if (units > 0) pace.add(units, (now - this.#since!) / 1000);
    this.#since = now;
  }
}
