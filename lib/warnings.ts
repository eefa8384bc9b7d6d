/** Something that looks wrong but stops nothing. */
export interface Warning {
  /** Stable key, e.g. `split_like_return`. */
  readonly reason: string;
  readonly text: string;
}

const printed = new Set<string>();

/** Hands a warning to whoever listens; without a listener Node prints it, each text once per process. */
export function warn(warning: Warning, listener: ((warning: Warning) => void) | undefined): void {
  if (listener !== undefined) return listener(warning);
  if (printed.has(warning.text)) return;
  printed.add(warning.text);
  process.emitWarning(warning.text, { type: "AstgnnWarning", code: `ASTGNN_${warning.reason.toUpperCase()}` });
}
