import type { Ledger, LedgerEntry } from "../data/types.js";
import type { Terminal } from "./terminal.js";

/** The ledger for people, on stderr: one line per reason. */
export function printLedger(terminal: Terminal, { entries }: Ledger): void {
  for (const { count, text, reason } of entries) terminal.err(`ledger: ${count} ${text} (${reason})`);
}

/** The ledger in `--json` output. */
export function ledgerJson({ entries }: Ledger): LedgerEntry[] {
  return entries.map(({ stage, reason, count, unit, text }) => ({ stage, reason, count, unit, text }));
}
