import { basename } from "node:path";
import { Command } from "commander";
import type { PanelOptions } from "../data/panel.js";
import { AstgnnError } from "../errors.js";
import type { Backtest } from "../portfolio/backtest/backtest.js";
import type { RunBacktestOptions } from "../portfolio/backtest/of-run.js";
import { BOOKS, backtestShape, type BacktestOptions, type BacktestSource } from "../portfolio/backtest/options.js";
import { backtestLines } from "./backtest-table.js";
import { commandLine } from "./command-line.js";
import { panelFlags } from "./data-flags.js";
import { addSourceFlags, namedSource, panelOptionsFrom, sourceFrom } from "./data-source.js";
import { addFlags, type FlagGroup, inFlags, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { ledgerJson, printLedger } from "./ledger.js";
import { flagOf, flagsOf } from "./schema-flags.js";
import type { Terminal } from "./terminal.js";

const terms: FlagGroup = {
  title: "Trading",
  flags: [
    flagOf("costBps", backtestShape.costBps, { name: "costs-bps", help: "basis points of each unit of traded value, one way", value: "bps" }),
    ...flagsOf("Trading", backtestShape).flags,
  ],
};

const books: FlagGroup = {
  title: "Books of predictions",
  flags: [
    { flags: "--book <name>", option: "book", kind: "text", help: `${BOOKS.join(", ")}: long and short by the distance from the mean, the top against the bottom quantile, or the highest alone (default: factorWeighted)` },
    { flags: "--quantiles <count>", option: "quantiles", kind: "scalar", help: "quantiles of that book: a whole number from 2 (default: 5)" },
    { flags: "--top-k <count>", option: "topK", kind: "scalar", help: "stocks of the book top: a whole number from 1 (default: a tenth of the mean number of stocks)" },
    { flags: "--horizon <dates>", option: "horizonDays", kind: "scalar", help: "dates for which a portfolio is held, so many side by side: a whole number from 1 (default: those of the run's label)" },
    { flags: "--prediction <number>", option: "prediction", kind: "scalar", help: "which of the run's predictions, from 0 (default: 0)" },
    { flags: "--split <name>", option: "split", kind: "text", help: "whose predictions: test or valid (default: test)" },
  ],
};

const GROUPS = [panelFlags, terms, books] as const;

type Written = Record<string, unknown> & { run?: string; weights?: string; out?: string; positions?: string; json?: boolean };

/** `astgnn backtest`: what weights or predictions come to when they are traded. */
export function backtestCommand(terminal: Terminal): Command {
  const command = new Command("backtest")
    .description("hold weights of a file, or books of a run's predictions, through the prices, with fills, costs and what cannot be traded; what every number means: docs/backtest.md")
    .option("--weights <file>", "table of date, ticker and weight, .parquet or .csv: the whole portfolio of each date, decided after its close; needs --data")
    .option("--run <folder>", "run folder of astgnn train, also of an ensemble or a walk-forward; its report gets the backtest")
    .option("--positions <file>", "file that gets the positions after each fill: date, ticker, weight, shares; .parquet or .csv")
    .option("--out <folder>", "folder that gets report.html and report.json of weights");
  addFlags(command, terms);
  addFlags(command, books);
  addSourceFlags(command, " (default with --run: what the run was trained on, read again)");
  addFlags(command, panelFlags);
  return command
    .option("--json", "print one JSON object")
    .option("--debug", "on failure also print the stack")
    .action(async (written: Written, self: Command) => {
      try {
        await hold(written, commandLine(self), terminal);
      } catch (error) {
        throw namingFlags(error, GROUPS);
      }
    });
}

async function hold(written: Written, command: string, terminal: Terminal): Promise<void> {
  if ((written.run === undefined) === (written.weights === undefined)) {
    throw new AstgnnError("ERR_OPTION", `${written.run === undefined ? "Neither --run nor --weights is given" : "Both --run and --weights are given"}.`, { option: "--weights", next: "Give one of them." });
  }
  const { maxDropped, ...reading } = panelOptionsFrom(written) as PanelOptions;
  const options: BacktestOptions = {
    ...optionsFrom(terms, written),
    maxDropped,
    onWarning: ({ text }) => terminal.err(`astgnn backtest: ${inFlags(text, GROUPS)}`),
    onProgress: (done) => terminal.progress(`backtest: ${Math.round(100 * done)} %`),
  };
  const { found, name, source } = await interruptible((signal) => (written.run === undefined ? ofWeights(written, { ...reading, maxDropped, signal }, { ...options, signal }) : ofRun(written.run, written, { ...options, signal })));
  terminal.clearProgress();
  const folder = written.run ?? written.out;
  if (folder !== undefined) {
    const [{ writeReport }, { backtestNumbers }] = await Promise.all([import("../evaluate/write-report.js"), import("../portfolio/backtest/numbers.js")]);
    const backtest = backtestNumbers(name, source, found);
    if (written.run !== undefined) await writeReport(folder, { backtest }).catch((error: Error) => terminal.err(`astgnn backtest: ${error.message}`));
    else await writeReport(folder, { backtest, ledger: found.ledger }, { command, predictions: { kind: "backtest", name: basename(written.weights!), prices: String(written["data"] ?? "a query") } });
  }
  if (written.positions !== undefined) await (await import("../portfolio/backtest/positions-file.js")).writePositions(written.positions, found);
  if (written.json === true) return terminal.out(JSON.stringify(numbersOf(found)));
  printLedger(terminal, found.ledger);
  for (const line of backtestLines(found)) terminal.out(line);
  if (folder !== undefined) terminal.err(`astgnn backtest: the report is in ${folder}/report.html`);
}

interface Held {
  readonly found: Backtest;
  readonly name: string;
  readonly source: string;
}

async function ofWeights(written: Written, reading: PanelOptions, options: BacktestOptions): Promise<Held> {
  const stray = books.flags.find(({ option }) => optionsFrom(books, written)[option] !== undefined);
  if (stray !== undefined) throw new AstgnnError("ERR_OPTION", `${stray.flags.split(" ")[0]} goes with --run: weights are held as they are.`, { option: stray.option, next: "Leave it out." });
  const [{ backtest }, { openPanel }] = await Promise.all([import("../portfolio/backtest/backtest.js"), import("../data/panel.js")]);
  const panel = await openPanel(sourceFrom(written), reading);
  const source: BacktestSource = { weights: written.weights! };
  const name = basename(written.weights!);
  return { found: await backtest(source, panel, options), name, source: `Weights of ${name}` };
}

async function ofRun(folder: string, written: Written, options: RunBacktestOptions): Promise<Held> {
  if (written.out !== undefined) throw new AstgnnError("ERR_OPTION", "--out goes with --weights: the backtest of a run goes into its own report.", { option: "--out", next: "Leave it out." });
  const { backtestRun } = await import("../portfolio/backtest/of-run.js");
  const book = optionsFrom(books, written) as Omit<RunBacktestOptions, keyof BacktestOptions>;
  const found = await backtestRun(folder, { ...options, ...book, source: namedSource(written) });
  const name = book.book ?? "factorWeighted";
  return { found, name, source: `The book ${name} of the run's ${book.split === "valid" ? "validation" : "test"} predictions` };
}

/** Everything but what there is of every date. */
function numbersOf({ daily: _, fills: __, tickers: ___, ledger, ...numbers }: Backtest): object {
  return { ...numbers, ledger: ledgerJson(ledger) };
}
