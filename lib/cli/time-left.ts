import type { EpochEvent } from "../run/records.js";
import type { PhaseEvent, StartEvent, StepEvent } from "../train/events.js";

/** What a training will do, as far as it is known before its first step. */
export interface TrainingWork {
  readonly epochs: number;
  readonly datesPerStep: number;
  /** One member per seed, begun in this order; undefined for a single run. */
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

/** What is left of a member that has begun. */
interface Left {
  steps: number;
  validations: number;
  /** Dates to score. */
  scores: number;
  /** Dates that its scoring has done. */
  scored: number;
}

/**
 * How long a training will still take, from its events: steps, validations and the scoring of the members in hand and of those to come, each at the pace that was
 * seen, which is that of all members in hand together. What was done before a resume counts as done and not as fast. Early stopping may end it sooner.
 */
export class TimeLeft {
  readonly #work: TrainingWork;
  readonly #now: () => number;
  readonly #step = new Pace();
  readonly #date = new Pace();
  #stepsPerEpoch = 0;
  /** By seed; null where all members are scored together. */
  readonly #left = new Map<number | null, Left>();
  /** Members that have begun, and those before them. */
  #begun = 0;
  /** When the work in hand began. */
  #since: number | undefined;

  /** @param now milliseconds of a clock that never goes back */
  constructor(work: TrainingWork, now: () => number) {
    this.#work = work;
    this.#now = now;
  }

  start({ epochs, stepsPerEpoch, stepsDone, seed }: StartEvent): void {
    const left = this.#begin(seed);
    this.#stepsPerEpoch = stepsPerEpoch;
    left.steps = epochs * stepsPerEpoch - stepsDone;
    left.validations = epochs - Math.floor(stepsDone / stepsPerEpoch);
    this.#since = this.#now();
  }

  step({ seed }: Pick<StepEvent, "seed">): void {
    this.#of(seed).steps--;
    this.#lap(this.#step, 1);
  }

  epoch({ epoch, seed }: EpochEvent): void {
    if (this.#work.validDates > 0) this.#lap(this.#date, this.#work.validDates);
    this.#of(seed).validations = this.#work.epochs - epoch;
    this.#since = this.#now();
  }

  phase({ phase, done, total, seed }: PhaseEvent): void {
    if (phase === "validation" || done === 0) this.#since = this.#now();
    if (phase === "validation") return;
    const left = done === 0 ? this.#begin(seed) : this.#of(seed);
    // Stopped early, or trained before a resume.
    [left.steps, left.validations] = [0, 0];
    if (done > 0) this.#lap(this.#date, (done - left.scored) * this.#membersOf(seed));
    left.scored = done;
    left.scores = (total - done) * this.#membersOf(seed);
  }

  /** Seconds; undefined before anything was timed. */
  get seconds(): number | undefined {
    const { validDates, scoredDates, epochs, datesPerStep, seeds } = this.#work;
    const ownStep = this.#step.perUnit;
    const date = this.#date.perUnit ?? (ownStep === undefined ? undefined : (ownStep / datesPerStep) * FORWARD_SHARE);
    if (date === undefined) return undefined;
    const step = ownStep ?? (date / FORWARD_SHARE) * datesPerStep;
    const count = seeds?.length ?? 1;
    const later = Math.max(0, count - this.#begun);
    const steps = this.#sum("steps") + later * epochs * this.#stepsPerEpoch;
    const together = seeds === undefined || this.#left.has(null) ? 0 : count * scoredDates;
    const dates = this.#sum("validations") * validDates + this.#sum("scores") + later * (epochs * validDates + scoredDates) + together;
    return Math.max(0, steps * step + dates * date - (this.#now() - this.#since!) / 1000);
  }

  /** Share of the steps of all members that are done. */
  get share(): number {
    const { epochs, seeds } = this.#work;
    const all = (seeds?.length ?? 1) * epochs * this.#stepsPerEpoch;
    return all === 0 ? 0 : Math.min(1, (this.#begun * epochs * this.#stepsPerEpoch - this.#sum("steps")) / all);
  }

  #sum(of: keyof Left): number {
    return [...this.#left.values()].reduce((sum, left) => sum + left[of], 0);
  }

  #of(seed: number | null): Left {
    return this.#left.get(seed) ?? this.#begin(seed);
  }

  #membersOf(seed: number | null): number {
    return seed === null ? this.#work.seeds!.length : 1;
  }

  #begin(seed: number | null): Left {
    const { seeds, scoredDates } = this.#work;
    this.#begun = Math.max(this.#begun, seeds === undefined ? 1 : seed === null ? seeds.length : seeds.indexOf(seed) + 1);
    if (seed === null) this.#left.clear();
    const left = { steps: 0, validations: 0, scores: scoredDates * this.#membersOf(seed), scored: 0 };
    this.#left.set(seed, left);
    return left;
  }

  #lap(pace: Pace, units: number): void {
    const now = this.#now();
    if (units > 0) pace.add(units, (now - this.#since!) / 1000);
    this.#since = now;
  }
}
