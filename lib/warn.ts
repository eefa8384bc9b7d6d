/**
 * Prints a warning once to stderr, as Node does with its own: type `AstgnnWarning`, code `ASTGNN_` and the reason in capitals. Programs hear
 * it with `process.on("warning")`; `node --disable-warning=AstgnnWarning` silences it.
 *
 * @param reason stable key, e.g. `graph_is_average`
 */
export function warnPerson(reason: string, text: string): void {
  process.emitWarning(text, { type: "AstgnnWarning", code: `ASTGNN_${reason.toUpperCase()}` });
}
