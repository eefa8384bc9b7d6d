import { invalidOption } from "./errors.js";

/**
 * Prints a warning once to stderr, as Node does with its own: type `AstgnnWarning`, code `ASTGNN_` and the reason in capitals. Programs hear
 * it with `process.on("warning")`; `node --disable-warning=AstgnnWarning` silences it.
 *
 * @param reason stable key, e.g. `graph_is_average`
 */
export function warnPerson(reason: string, text: string): void {
  process.emitWarning(text, { type: "AstgnnWarning", code: `ASTGNN_${reason.toUpperCase()}` });
}

/** Something that looks wrong but stops nothing. */
export interface Warning {
  /** Stable key, e.g. `split_like_return`. */
  readonly reason: string;
  readonly text: string;
}

const printed = new Set<string>();

/** Passes a warning to the listener; without a listener it is printed, each text once per process. */
export function warn(warning: Warning, listener: ((warning: Warning) => void) | undefined): void {
  if (listener !== undefined) {
    if (typeof listener !== "function") throw invalidOption("onWarning", "a function", listener);
    return listener(warning);
  }
  if (printed.has(warning.text)) return;
  printed.add(warning.text);
  warnPerson(warning.reason, warning.text);
}
