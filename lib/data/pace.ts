import { setImmediate as yieldToEventLoop } from "node:timers/promises";

/** How long a synchronous piece of work may keep the thread before others get their turn, in milliseconds. */
const BUSY_MS = 3;

/** Yields to the event loop in long synchronous work: `await pace.step()` between pieces that take a millisecond or less. */
export class Pace {
  #since = performance.now();

  /** Resolves at once where the thread was free a moment ago, else after the event loop had its turn. */
  step(): Promise<void> | undefined {
    return performance.now() - this.#since < BUSY_MS ? undefined : this.#yield();
  }

  async #yield(): Promise<void> {
    await yieldToEventLoop();
    this.#since = performance.now();
  }
}
