import { setImmediate as yieldToEventLoop } from "node:timers/promises";

/** How long this thread may be busy before others get their turn, in milliseconds. */
const BUSY_MS = 3;

let lastBreath = 0;

/** Lets the event loop turn where this thread has been busy for a few milliseconds: to be awaited between small pieces of long synchronous work. */
export async function breathe(): Promise<void> {
  if (performance.now() - lastBreath < BUSY_MS) return;
  await yieldToEventLoop();
  lastBreath = performance.now();
}
