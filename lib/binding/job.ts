import { AstgnnError } from "../errors.js";
import type { NativeJob } from "./types.js";

/** What a cancelled call rejects with. */
export function abortedBy(signal: AbortSignal, what: string): AstgnnError {
  return new AstgnnError("ERR_ABORTED", `${what} was stopped by its signal.`, { cause: signal.reason });
}

/**
 * The result of a job that a signal may stop; `start` is not called where it already has. `what` is what was stopped, as messages name it.
 *
 * @throws AstgnnError ERR_ABORTED, or what the job fails with
 */
export async function finished<R>(start: () => NativeJob<R>, signal: AbortSignal | undefined, what: string): Promise<R> {
  if (signal?.aborted === true) throw abortedBy(signal, what);
  const job = start();
  const cancel = (): void => job.cancel();
  signal?.addEventListener("abort", cancel, { once: true });
  try {
    return await job.done;
  } catch (error) {
    if (signal !== undefined && (error as AstgnnError).code === "ERR_ABORTED") throw abortedBy(signal, what);
    throw error;
  } finally {
    signal?.removeEventListener("abort", cancel);
  }
}
