import type { ReportNumbers } from "../numbers.js";
import type { Block, Section } from "../section.js";

/** Words of a part of run.json; older versions and walk-forwards have fewer of them. */
function text(part: unknown): string {
  if (part === undefined || part === null) return "";
  if (typeof part !== "object") return String(part);
  if (Array.isArray(part)) return part.map(text).join(", ");
  return Object.entries(part).map(([name, value]) => `${name} ${text(value)}`).join(", ");
}

/** How to get the same numbers again. */
export function reproduceSection({ run, command, subject, trials = [] }: ReportNumbers): Section {
  const blocks: Block[] = [];
  if (subject.kind === "backtest") {
    blocks.push({ kind: "listing", title: "Command", text: command ?? `astgnn backtest --weights ${subject.name} --data ${subject.prices ?? "FILE"} --out FOLDER` });
  } else if (subject.kind === "predictions") {
    blocks.push({ kind: "listing", title: "Command", text: `astgnn evaluate --predictions ${subject.name} --data ${subject.prices ?? "FILE"} --out FOLDER` });
  } else {
    const again = `astgnn evaluate --run ${subject.name}`;
    blocks.push({ kind: "listing", title: "Commands", text: command === undefined ? again : `${command}\n${again}` });
  }
  if (run !== undefined) {
    const rows = Object.entries({
      Data: text(run.source),
      Fingerprint: text(run.fingerprint),
      Seeds: text(run.seeds),
      Versions: text(run.versions),
      Machine: text(run.hardware),
      Device: text(run.device),
      Kernels: text(run.kernels),
      Threads: text(run.threads),
    }).filter(([, value]) => value !== "");
    blocks.push({ kind: "table", columns: [{ name: "" }, { name: "" }], rows, note: "The same seed, machine and number of threads give the same bits." });
    const { config, training, dataset, panel } = run;
    blocks.push({ kind: "listing", title: "Every option", text: JSON.stringify({ panel, dataset, config, training }, null, 2), isFolded: true });
  }
  if (trials.length > 0) blocks.push({ kind: "listing", title: "Runs that count as trials", text: trials.join("\n"), isFolded: true });
  return { id: "reproduce", title: "How to reproduce", blocks };
}
