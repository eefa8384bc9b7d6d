import type { Maybe } from "../format.js";
import { decimals, value } from "../format.js";
import type { Section } from "../section.js";
import type { SubjectNumbers } from "../subject.js";

/** What an audit found. */
export interface AuditNumbers {
  readonly passed: boolean;
  readonly findings: readonly {
    readonly code: string;
    readonly severity: string;
    readonly columns?: readonly string[];
    readonly dates?: readonly string[];
    readonly tickers?: readonly string[];
    readonly value?: Maybe;
    readonly threshold?: Maybe;
    readonly text: string;
    readonly next: string;
  }[];
  readonly checks: readonly string[];
}

/** The command that audits what a report is about. */
export function auditCommand(subject: SubjectNumbers): string {
  if (subject.kind === "walk-forward") return `astgnn audit --run ${subject.name}/fold-01`;
  return subject.kind === "predictions" ? "astgnn audit --data FILE" : `astgnn audit --run ${subject.name}`;
}

const NAMED = 5;

export function auditSection({ audit, subject }: { readonly audit?: AuditNumbers | undefined; readonly subject: SubjectNumbers }): Section {
  const section = { id: "audit", title: "Audit" };
  if (audit === undefined) {
    return { ...section, blocks: [{ kind: "absent", title: "No audit was made", reason: `Nothing is known about leaks. ${auditCommand(subject)} looks for them and puts what it finds here.` }] };
  }
  const rows = audit.findings.map(({ severity, code, columns, tickers, value: measured, threshold, text, next }) => [
    severity,
    code.replaceAll("_", " "),
    `${text}${listed("Columns", columns)}${listed("Tickers", tickers)} ${next}`,
    value(measured, decimals(3), "not measured"),
    value(threshold, decimals(3), "no limit"),
  ]);
  const lead = `${audit.passed ? "Passed" : "Failed"}: ${audit.findings.length} ${audit.findings.length === 1 ? "finding" : "findings"} in ${audit.checks.length} checks (${audit.checks.join(", ")}).`;
  const columns = [{ name: "Severity" }, { name: "Finding" }, { name: "What, and what to do", align: "sentence" as const }, { name: "Measured", align: "number" as const }, { name: "Limit", align: "number" as const }];
  return { ...section, lead, blocks: rows.length === 0 ? [] : [{ kind: "table", columns, rows }] };
}

function listed(what: string, names: readonly string[] | undefined): string {
  if (names === undefined || names.length === 0) return "";
  return ` ${what}: ${names.slice(0, NAMED).join(", ")}${names.length > NAMED ? ` and ${names.length - NAMED} more` : ""}.`;
}
