import { basename } from "node:path";
import { Command, Option } from "commander";
import { AstgnnError } from "../errors.js";
import type { EvaluatePredictionsOptions } from "../evaluate/evaluate-predictions.js";
import type { EvaluateRunOptions } from "../evaluate/evaluate-run.js";
import { statisticsShape } from "../metrics/statistics-options.js";
import type { Evaluation } from "../metrics/study.js";
import { panelFlags } from "./data-flags.js";
import { addBaselineFlags, baselineTable, comparisonFrom } from "./baselines.js";
import { addSourceFlags, namedSource, panelOptionsFrom, sourceFrom } from "./data-source.js";
import { evaluationTable, unitsTable } from "./evaluation-table.js";
import { addFlags, type FlagGroup, inFlags, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { ledgerJson, printLedger } from "./ledger.js";
import { flagsOf } from "./schema-flags.js";
import type { Terminal } from "./terminal.js";
import { foldTable } from "./walk-forward.js";

const statisticsFlags: FlagGroup = {
  title: "Statistics",
  flags: [
    ...flagsOf("Statistics", statisticsShape).flags,
    { flags: "--exposures <columns>", option: "exposures", kind: "texts", help: "known properties of stocks: loadings, style, groups and number columns of the data, comma-separated; gives exposures and the neutral IC (default: what the labels of the run were made neutral to)" },
  ],
};

const labelFlags: FlagGroup = {
  title: "Predictions of another tool",
  flags: [
    { flags: "--label-horizon <days>", option: "label.horizonDays", kind: "scalar", help: "dates from entry to end of the return that predictions are about, from 1 (default: 1)" },
    { flags: "--label-lag <days>", option: "label.lagDays", kind: "scalar", help: "dates from a prediction to its entry, from 0 (default: 1)" },
  ],
};

const GROUPS = [panelFlags, statisticsFlags, labelFlags] as const;

type Written = Record<string, unknown> & { run?: string; predictions?: string; out?: string; json?: boolean };

/** `astgnn evaluate`: what the predictions of a run, or of another tool, are worth. */
export function evaluateCommand(terminal: Terminal): Command {
  const command = new Command("evaluate")
    .description("compute what the validation and test predictions of a run are worth, or those that another tool made; what every number means: docs/evaluation.md")
    .option("--run <folder>", "run folder of astgnn train, also of an ensemble or a walk-forward; its report.html and report.json get the numbers");
  command.addOption(new Option("--predictions <file>", "table of date, ticker and prediction, .parquet or .csv, in place of a run; needs --data").helpGroup("Predictions of another tool:"));
  for (const flag of labelFlags.flags) command.addOption(new Option(flag.flags, flag.help).helpGroup("Predictions of another tool:"));
  command.addOption(new Option("--out <folder>", "folder that gets report.html and report.json").helpGroup("Predictions of another tool:"));
  addFlags(command, statisticsFlags);
  addBaselineFlags(command);
  addSourceFlags(command, " (default: what the run was trained on, read again)");
  addFlags(command, panelFlags);
  return command
    .option("--json", "print one JSON object")
    .option("--debug", "on failure also print the stack")
    .action(async (written: Written) => {
      try {
        if ((written.run === undefined) === (written.predictions === undefined)) {
          const given = written.run === undefined ? "Neither --run nor --predictions is given" : "Both --run and --predictions are given";
          throw new AstgnnError("ERR_OPTION", `${given}.`, { option: "--run", next: "Give one of them." });
        }
        await (written.run === undefined ? ofPredictions(written, terminal) : ofRun(written.run, written, terminal));
      } catch (error) {
        throw namingFlags(error, GROUPS);
      }
    });
}

const onWarningOf = (terminal: Terminal): EvaluateRunOptions["onWarning"] => ({ text }) => terminal.err(`astgnn evaluate: ${inFlags(text, GROUPS)}`);

async function ofRun(folder: string, written: Written, terminal: Terminal): Promise<void> {
  const foreign = [...panelFlags.flags, ...labelFlags.flags, { flags: "--out <folder>" }].map(({ flags }) => new Option(flags)).find((option) => written[option.attributeName()] !== undefined);
  if (foreign !== undefined) {
    throw new AstgnnError("ERR_OPTION", `${foreign.long} goes with --predictions: a run is evaluated on its own labels, its data read as run.json says.`, { option: foreign.long!, next: "Leave it out." });
  }
  const [{ evaluateRun }, { writeReport }] = await Promise.all([import("../evaluate/evaluate-run.js"), import("../evaluate/write-report.js")]);
  const options = optionsFrom(statisticsFlags, written) as EvaluateRunOptions;
  const compared = comparisonFrom(written, terminal);
  const { evaluation, comparison } = await interruptible(async (signal) => {
    const of = { source: namedSource(written), signal };
    return {
      evaluation: await evaluateRun(folder, { ...options, ...of, onWarning: onWarningOf(terminal) }),
      comparison: compared === undefined ? undefined : await (await import("../evaluate/baselines/compare-run.js")).compareRun(folder, { ...compared, ...of }),
    };
  });
  const { valid, test, ledger, trials, folds, missing = [] } = evaluation;
  if (missing.length > 0) terminal.err(`astgnn evaluate: Not finished, and left out: ${missing.join(", ")}.`);
  if (folds !== undefined) await (await import("../evaluate/walk-forward/stitch.js")).stitch(folder).catch((error: Error) => terminal.err(`astgnn evaluate: ${error.message}`));
  await writeReport(folder, evaluation, { comparison }).catch((error: Error) => terminal.err(`astgnn evaluate: ${error.message}`));
  if (written.json === true) return terminal.out(JSON.stringify({ valid: numbersOf(valid), test: numbersOf(test), trials, ...(folds === undefined ? {} : { folds, missing }), ...(comparison === undefined ? {} : { comparison }), ledger: ledgerJson(ledger) }));
  printLedger(terminal, ledger);
  for (const line of folds === undefined ? [] : [...foldTable(folds), ""]) terminal.out(line);
  for (const line of evaluationTable(folds === undefined ? { valid, test } : { "tests of all folds": test })) terminal.out(line);
  for (const line of comparison === undefined ? [] : baselineTable(comparison)) terminal.out(line);
  for (const line of unitsTable({ valid, test })) terminal.out(line);
  if (valid.dates + test.dates === 0) terminal.err("astgnn evaluate: The run has neither validation nor test dates: there is nothing to evaluate.");
}

async function ofPredictions(written: Written, terminal: Terminal): Promise<void> {
  const foreign = ["baselines", "compare"].find((name) => written[name] !== undefined);
  if (foreign !== undefined) throw new AstgnnError("ERR_OPTION", `--${foreign} goes with --run.`, { option: `--${foreign}`, next: "Leave it out." });
  const options = { ...panelOptionsFrom(written), ...optionsFrom(statisticsFlags, written), ...optionsFrom(labelFlags, written) } as EvaluatePredictionsOptions;
  const source = sourceFrom(written);
  const [{ evaluatePredictions }, { writeReport }] = await Promise.all([import("../evaluate/evaluate-predictions.js"), import("../evaluate/write-report.js")]);
  const evaluation = await interruptible((signal) => evaluatePredictions(written.predictions!, source, { ...options, onWarning: onWarningOf(terminal)!, signal }));
  const { test, ledger } = evaluation;
  if (written.out !== undefined) await writeReport(written.out, evaluation, { predictions: { name: basename(written.predictions!), prices: typeof source === "string" ? source : "a query" } });
  if (written.json === true) return terminal.out(JSON.stringify({ test: numbersOf(test), ledger: ledgerJson(ledger) }));
  printLedger(terminal, ledger);
  for (const line of evaluationTable({ predictions: test })) terminal.out(line);
}

/** Everything but the daily values. */
function numbersOf<E extends Evaluation>({ daily: _, series: __, ...numbers }: E): Omit<E, "daily" | "series"> {
  return numbers;
}
