import { Command } from "commander";
import { modelSchema } from "../model/config.js";
import { trainSchema } from "../train/options.js";
import { panelFlags } from "./data-flags.js";
import { addSourceFlags, namedSource, panelOptionsFrom } from "./data-source.js";
import type { PredictRunOptions } from "../run/predict-run.js";
import { addFlags, type FlagGroup, inFlags, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { ledgerJson, printLedger } from "./ledger.js";
import { precisionFlags, usePrecision } from "./precision-flags.js";
import { flagsOf } from "./schema-flags.js";
import type { Terminal } from "./terminal.js";

const predictFlags: FlagGroup = {
  title: "Prediction",
  flags: [
    { flags: "--from <date>", option: "from", kind: "text", help: "first date to score, YYYY-MM-DD (default: the first with enough history before it)" },
    { flags: "--neutralise <names>", option: "neutralise", kind: "texts", help: "write what known exposures leave of the predictions: loadings, style, groups and columns of the data, comma-separated (default: predictions as they are)" },
    ...flagsOf("Prediction", { device: modelSchema.shape.device, threads: trainSchema.shape.threads }).flags,
  ],
};

/** `astgnn predict`: scores new data with the model and the statistics of a run. */
export function predictCommand(terminal: Terminal): Command {
  const command = new Command("predict")
    .description("score new data as the model of a run was trained; they are read as its data were, so the flags of Data are needed only for what has moved")
    .requiredOption("--run <folder>", "run folder of astgnn train, also of an ensemble")
    .requiredOption("--out <file>", "file to write, .parquet or .csv: date, ticker, prediction");
  addSourceFlags(command, " (default: what the run was trained on, read again)");
  addFlags(command, panelFlags);
  addFlags(command, predictFlags);
  addFlags(command, precisionFlags);
  return command
    .option("--json", "print one JSON object")
    .option("--debug", "on failure also print the stack")
    .action(async (written: Record<string, unknown> & { run: string; out: string; json?: boolean }) => {
      try {
        const source = namedSource(written);
        const options = { ...panelOptionsFrom(written), ...(optionsFrom(predictFlags, written) as Pick<PredictRunOptions, "from" | "neutralise" | "device" | "threads">), out: written.out };
        await usePrecision(written, options.device);
        const { predictRun } = await import("../run/predict-run.js");
        const result = await interruptible((signal) => predictRun(written.run, source, { ...options, onWarning: ({ text }) => terminal.err(`astgnn predict: ${inFlags(text, [panelFlags])}`), signal }));
        const { rows, dates, firstDate, lastDate, members, out, ledger } = result;
        if (written.json === true) return terminal.out(JSON.stringify({ ...result, ledger: ledgerJson(ledger) }));
        printLedger(terminal, ledger);
        terminal.out(`${rows} predictions on ${dates} dates, ${firstDate} to ${lastDate}${members > 1 ? `, the mean of ${members} members` : ""}, are in ${out}`);
      } catch (error) {
        throw namingFlags(error, [panelFlags, predictFlags, precisionFlags]);
      }
    });
}
