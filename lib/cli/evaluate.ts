import { Command } from "commander";
import type { RunEvaluation, SplitEvaluation } from "../evaluate/evaluate-run.js";
import { ledgerJson, printLedger } from "./ledger.js";
import { decimals, type Terminal } from "./terminal.js";

/** `astgnn evaluate`: metrics of a run, from its predictions. */
export function evaluateCommand(terminal: Terminal): Command {
  return new Command("evaluate")
    .description("recompute the validation and test metrics of a run from its predictions")
    .requiredOption("--run <folder>", "run folder of astgnn train, also of an ensemble")
    .option("--json", "print one JSON object")
    .option("--debug", "on failure also print the stack")
    .action(async ({ run, json }: { run: string; json?: boolean }) => {
      const { evaluateRun } = await import("../evaluate/evaluate-run.js");
      const evaluation = await evaluateRun(run);
      if (json === true) terminal.out(JSON.stringify(toJson(evaluation)));
      else {
        printLedger(terminal, evaluation.ledger);
        for (const line of text(evaluation)) terminal.out(line);
        if (evaluation.valid.dates + evaluation.test.dates === 0) terminal.err("astgnn evaluate: The run has neither validation nor test dates: there is nothing to evaluate.");
      }
    });
}

/** Everything but the daily values. */
function toJson({ valid, test, ledger }: RunEvaluation): Record<string, unknown> {
  const numbers = ({ daily: _, ...others }: SplitEvaluation): Omit<SplitEvaluation, "daily"> => others;
  return { valid: numbers(valid), test: numbers(test), ledger: ledgerJson(ledger) };
}

function text({ valid, test }: RunEvaluation): string[] {
  const row = (name: string, show: (split: SplitEvaluation) => string): string => `${name.padEnd(22)}${show(valid).padStart(20)}${show(test).padStart(20)}`;
  const withError = (value: number, error: number): string => `${decimals(value)} +- ${decimals(error)}`;
  return [
    row("", (split) => (split === valid ? "valid" : "test")),
    row("IC +- standard error", (split) => withError(split.ic, split.icStandardError)),
    row("ICIR", ({ icir }) => decimals(icir, 3)),
    row("RankIC", (split) => withError(split.rankIc, split.rankIcStandardError)),
    row("RankICIR", ({ rankIcir }) => decimals(rankIcir, 3)),
    row("hit rate", ({ hitRate }) => decimals(hitRate)),
    row("MSE on targets", ({ mse }) => decimals(mse)),
    row("dates", ({ dates }) => String(dates)),
    row("rows", ({ rows }) => String(rows)),
    row("effective neighbours", ({ effectiveNeighbours }) => decimals(effectiveNeighbours, 1)),
    row("self weight", ({ selfWeight }) => decimals(selfWeight)),
  ];
}
