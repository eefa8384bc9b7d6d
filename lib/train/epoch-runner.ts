import type { NativeError } from "../binding/native-errors.js";
import type { NativeSession, NativeStep } from "../binding/types.js";
import type { Dataset } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { abortedBy } from "../binding/job.js";
import type { DateOrder } from "./date-order.js";

/** Runs a user's callbacks so that one that throws stops the training instead of vanishing in the native callback. */
export class Callbacks {
  #failure: { error: unknown } | undefined;
  #stop: (() => void) | undefined;

  /** Calls back; what it throws, or rejects with, is kept and stops the job in hand. */
  call<E>(callback: ((event: E) => unknown) | undefined, event: E): void {
    void this.#run(callback, event);
  }

  /** Calls back between jobs, waits where it returns a promise, and throws what it throws. */
  async settle<E>(callback: ((event: E) => unknown) | undefined, event: E): Promise<void> {
    await this.#run(callback, event);
    this.check();
  }

  /** What to call when a callback throws. */
  stopWith(stop: (() => void) | undefined): void {
    this.#stop = stop;
  }

  /** Throws what a callback threw. */
  check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #run<E>(callback: ((event: E) => unknown) | undefined, event: E): Promise<void> {
    if (callback === undefined || this.#failure !== undefined) return;
    try {
      const result = callback(event);
      if (result instanceof Promise) await result;
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#stop?.();
  }
}

/** A part of an epoch: the steps `begin .. end` of its order. */
export interface Segment {
  session: NativeSession;
  dataset: Dataset;
  order: DateOrder;
  begin: number;
  end: number;
  /** Rate of step i of the epoch, from 0. */
  rateOf(i: number): number;
  threads: number;
  signal: AbortSignal | undefined;
  /** Other ranks take the same steps: an abort ends all of them after the same one. */
  isShared: boolean;
  callbacks: Callbacks;
  onStep(step: NativeStep, learningRate: number): void;
}

/**
 * Runs the steps of a segment on the compute thread.
 *
 * @throws what a callback threw, AstgnnError ERR_ABORTED, or ERR_NOT_FINITE naming step, date and term
 */
export async function runSegment(segment: Segment): Promise<void> {
  const { session, order, begin, end, threads, signal, callbacks } = segment;
  if (signal?.aborted === true && !segment.isShared) throw abortedBy(signal, "The training");
  const from = order.offsets[begin]!;
  const learningRates = Float64Array.from({ length: end - begin }, (_, i) => segment.rateOf(begin + i));
  let done = 0;
  const job = session.run(
      { dates: order.dates.slice(from, order.offsets[end]!), offsets: order.offsets.slice(begin, end + 1).map((offset) => offset - from), learningRates },
      threads,
      (step) => segment.onStep(step, learningRates[done++]!),
    );
  const cancel = (): void => job.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  callbacks.stopWith(cancel);
  if (signal?.aborted === true) cancel();
  try {
    await job.done;
  } catch (error) {
    callbacks.check();
    if ((error as AstgnnError).code === "ERR_ABORTED") {
      if (signal !== undefined && (signal.aborted || !segment.isShared)) throw abortedBy(signal, "The training");
      if (segment.isShared) throw new AstgnnError("ERR_ABORTED", "The training was stopped by another rank.", { cause: error });
    }
    throw namingDate(error as NativeError, segment.dataset);
  } finally {
    callbacks.stopWith(undefined);
    signal?.removeEventListener("abort", cancel);
  }
  callbacks.check();
  if (done !== end - begin) throw new AstgnnError("ERR_INTERNAL", `The core reported ${done} of ${end - begin} steps.`);
}

/** The core knows dates by index only. */
function namingDate(error: NativeError, dataset: Dataset): Error {
  const { dateIndex, term, step } = error;
  if (error.code !== "ERR_NOT_FINITE" || dateIndex === undefined) return error;
  const date = dataset.dates[dateIndex]!;
  return new AstgnnError("ERR_NOT_FINITE", `The loss is not finite at step ${step}: term ${term} on ${date}.`, {
    date,
    cause: error,
    next: "The model keeps the weights of the last finished epoch. Look at the data of that date; a lower learningRate or clipNorm helps where it is not the data.",
  });
}
