import { Command, Option } from "commander";
import { AstgnnError } from "../errors.js";
import type { Audit, AuditRunOptions } from "../evaluate/audit/audit.js";
import type { Finding } from "../evaluate/audit/finding.js";
import { listed } from "../data/loss.js";
import { datasetFlags, panelFlags } from "./data-flags.js";
import { addSourceFlags, datasetOptionsFrom, namedSource, panelOptionsFrom, sourceFrom } from "./data-source.js";
import { addFlags, inFlags, namingFlags } from "./flags.js";
import { interruptible } from "./interrupt.js";
import type { Terminal } from "./terminal.js";

const GROUPS = [panelFlags, datasetFlags] as const;

type Written = Record<string, unknown> & { run?: string; json?: boolean };

/** `astgnn audit`: looks for leaks and other reasons not to believe the numbers of data or of a run. */
export function auditCommand(terminal: Terminal): Command {
  const command = new Command("audit")
    .description("look for leaks and other reasons not to believe numbers, in data or in a run; exit code 1 where there is one; what every finding means: docs/audit.md")
    .option("--run <folder>", "run folder of astgnn train: its own data and options, so only --data or --sql may be added, for later data too, which are then checked against the training; its report.html and report.json get the findings");
  command.option("--as-of <date>", "with --run and --data that go on after those of the run: the date that they should reach, YYYY-MM-DD (default: today)");
  command.option("--shuffled", "also train the run's model for one epoch on shuffled labels and in reversed time, with three seeds each");
  addSourceFlags(command);
  for (const group of GROUPS) addFlags(command, group);
  return command
    .option("--json", "print one JSON object")
    .option("--debug", "on failure also print the stack")
    .action(async (written: Written) => {
      try {
        const found = written.run === undefined ? await ofData(written, terminal) : await ofRun(written.run, written);
        if (written.run !== undefined && found.live !== true) await addToReport(written.run, found, terminal);
        print(found, written.json === true, terminal);
        if (!found.passed) process.exitCode = 1;
      } catch (error) {
        throw namingFlags(error, GROUPS);
      }
    });
}

async function ofData(written: Written, terminal: Terminal): Promise<Audit> {
  if (namedSource(written) === undefined) throw new AstgnnError("ERR_OPTION", "Neither --run nor --data is given.", { option: "--run", next: "Give one of them." });
  if (written["shuffled"] === true) throw new AstgnnError("ERR_OPTION", "--shuffled trains the model of a run, and no --run is given.", { option: "--shuffled", next: "Add --run FOLDER, or leave it out." });
  const [panelOptions, datasetOptions] = [panelOptionsFrom(written), datasetOptionsFrom(written)];
  const [{ audit }, { openPanel }] = await Promise.all([import("../evaluate/audit/audit.js"), import("../data/panel.js")]);
  return interruptible(async (signal) => {
    const panel = await openPanel(sourceFrom(written), { ...panelOptions, onWarning: ({ text }) => terminal.err(`astgnn audit: ${inFlags(text, GROUPS)}`), signal });
    return audit(panel, { ...datasetOptions, signal });
  });
}

async function ofRun(folder: string, written: Written): Promise<Audit> {
  const foreign = GROUPS.flatMap((group) => group.flags.map(({ flags }) => new Option(flags))).find((option) => written[option.attributeName()] !== undefined);
  if (foreign !== undefined) {
    throw new AstgnnError("ERR_OPTION", `${foreign.long} goes with --data: a run is audited with its own options, its data read as run.json says.`, { option: foreign.long!, next: "Leave it out." });
  }
  const { audit } = await import("../evaluate/audit/audit.js");
  return interruptible((signal) => audit(folder, { source: namedSource(written), ...(written["asOf"] === undefined ? {} : { asOf: written["asOf"] }), shuffled: written["shuffled"], signal } as AuditRunOptions));
}

/** The audit stands whether or not the folder can be written. */
async function addToReport(folder: string, found: Audit, terminal: Terminal): Promise<void> {
  const { writeReport } = await import("../evaluate/write-report.js");
  await writeReport(folder, { audit: found }).catch((error: Error) => terminal.err(`astgnn audit: ${error.message}`));
}

function print({ passed, findings, checks }: Audit, json: boolean, terminal: Terminal): void {
  if (json) return terminal.out(JSON.stringify({ passed, findings, checks }));
  for (const finding of findings) terminal.out(line(finding));
  terminal.out(`${passed ? "passed" : "failed"}: ${findings.length} ${findings.length === 1 ? "finding" : "findings"} in ${checks.length} checks (${checks.join(", ")})`);
}

function line({ severity, code, text, columns, tickers, next }: Finding): string {
  const names = [...(columns === undefined || columns.length < 2 ? [] : [`columns ${listed(columns)}`]), ...(tickers === undefined || tickers.length === 0 ? [] : [`tickers ${listed(tickers)}`])];
  return `${severity.padEnd(4)}  ${code}: ${text}${names.length === 0 ? "" : ` (${names.join("; ")})`} ${next}`;
}
