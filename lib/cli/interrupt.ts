/**
 * Runs `work` with a signal that Ctrl-C (SIGINT) or SIGTERM aborts. The second one ends the process at once, as without us.
 */
export async function interruptible<V>(work: (signal: AbortSignal) => Promise<V>): Promise<V> {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  process.once("SIGINT", abort);
  process.once("SIGTERM", abort);
  try {
    return await work(controller.signal);
  } finally {
    process.removeListener("SIGINT", abort);
    process.removeListener("SIGTERM", abort);
  }
}
