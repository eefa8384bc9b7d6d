import { Command, CommanderError } from "commander";
import { packageVersion } from "../binding/package-root.js";
import { AstgnnError } from "../errors.js";
import { auditCommand } from "./audit.js";
import { backtestCommand } from "./backtest.js";
import { demoCommand } from "./demo.js";
import { evaluateCommand } from "./evaluate.js";
import { explainCommand } from "./explain.js";
import { infoCommand } from "./info.js";
import { packCommand } from "./pack.js";
import { peersCommand } from "./peers.js";
import { planCommand } from "./plan.js";
import { portfolioCommand } from "./portfolio.js";
import { predictCommand } from "./predict.js";
import { riskCommand } from "./risk.js";
import { similarCommand } from "./similar.js";
import { setupCommand } from "./setup.js";
import { processTerminal, type Terminal } from "./terminal.js";
import { trainCommand } from "./train.js";
import { watchCommand } from "./watch.js";

/** Exit codes of every command. */
export const EXIT = { done: 0, failed: 1, badUsage: 2, interrupted: 130 } as const;

/**
 * Runs one command line and returns its exit code: 0, 1 (failed), 2 (bad usage) or 130 (interrupted). Errors go to stderr in one
 * sentence with the next step; `--debug` adds the stack.
 *
 * @param argv what follows the program's name
 */
export async function main(argv: readonly string[], terminal: Terminal = processTerminal()): Promise<number> {
  const program = programFor(terminal);
  const name = program.commands.find((command) => command.name() === argv[0])?.name();
  const speaker = name === undefined ? "astgnn" : `astgnn ${name}`;
  const before = process.exitCode;
  process.exitCode = undefined;
  try {
    if (argv.length === 0) {
      terminal.err(program.helpInformation().trimEnd());
      return EXIT.badUsage;
    }
    await program.parseAsync([...argv], { from: "user" });
    return Number(process.exitCode ?? EXIT.done);
  } catch (error) {
    return report(error, speaker, argv.includes("--debug"), terminal);
  } finally {
    terminal.clearProgress();
    process.exitCode = before;
  }
}

function programFor(terminal: Terminal): Command {
  const program = new Command("astgnn")
    .description("Learn stock factors and a stock-to-stock graph from prices, and predict returns through it.")
    .version(packageVersion)
    .enablePositionalOptions()
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      // What commander would print about bad usage is in the error it throws; report() prints that once, in our words.
      writeErr: () => {},
      outputError: () => {},
    });
  const commands = [
    setupCommand(),
    infoCommand(),
    demoCommand(terminal),
    packCommand(terminal),
    trainCommand(terminal),
    planCommand(terminal),
    predictCommand(terminal),
    evaluateCommand(terminal),
    explainCommand(terminal),
    auditCommand(terminal),
    peersCommand(terminal),
    riskCommand(terminal),
    portfolioCommand(terminal),
    similarCommand(terminal),
    backtestCommand(terminal),
    watchCommand(terminal),
  ];
  for (const command of commands) {
    command.copyInheritedSettings(program);
    if (!command.options.some((option) => option.long === "--json")) command.option("--json", "print JSON on stdout and nothing else");
    if (!command.options.some((option) => option.long === "--debug")) command.option("--debug", "on failure also print the stack");
    program.addCommand(command);
  }
  return program.helpCommand(false).addHelpText("after", "\nEach command explains itself: astgnn train --help");
}

function report(error: unknown, speaker: string, debug: boolean, terminal: Terminal): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return EXIT.done;
    const [problem, suggestion] = error.message.replace(/^error: /, "").split("\n");
    const sentence = oneLine(problem!.charAt(0).toUpperCase() + problem!.slice(1));
    terminal.err(`${speaker}: ${sentence} ${suggestion === undefined ? `See ${speaker} --help.` : suggestion.replace(/^\(|\)$/g, "")}`);
    return EXIT.badUsage;
  }
  if (!(error instanceof AstgnnError)) {
    const message = error instanceof Error ? error.message : String(error);
    terminal.err(`${speaker}: ${oneLine(message)} This should not happen; run it again with --debug to see where.`);
  } else {
    terminal.err(`${speaker}: ${oneLine(error.message)}`);
  }
  if (debug && error instanceof Error) terminal.err(stackOf(error));
  if (error instanceof AstgnnError && error.code === "ERR_OPTION") return EXIT.badUsage;
  return error instanceof AstgnnError && error.code === "ERR_ABORTED" ? EXIT.interrupted : EXIT.failed;
}

function oneLine(message: string): string {
  const line = message.replace(/\s*\n\s*/g, " ").trim();
  return /[.!?]$/.test(line) ? line : `${line}.`;
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\nCaused by: ${stackOf(error.cause)}` : "";
  return `${error.stack ?? error.message}${cause}`;
}
