import { Command } from "commander";
import { AstgnnError } from "../errors.js";
import type { Conflict } from "../portfolio/conflict.js";
import type { Portfolio } from "../portfolio/optimise.js";
import { optimiseSchema } from "../portfolio/options.js";
import { addFlags, type FlagGroup, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { flagOf, flagsOf } from "./schema-flags.js";
import { aligned, decimals, type Terminal } from "./terminal.js";

const { covariance, ...others } = optimiseSchema.shape;

/** Flags whose value is a file of what the library takes as numbers. */
const FILES = ["covariance", "budgets", "expected", "benchmark", "current", "limits"];

const portfolioFlags: FlagGroup = {
  title: "Portfolio",
  flags: [
    flagOf("covariance", covariance, { help: "covariance of returns: CSV with a header of tickers, then the rows of the matrix", value: "file", kind: "json" }),
    { flags: "--risk <folder>", option: "risk", kind: "text" as const, help: "in place of it, folder of a run whose risk model astgnn risk stored" },
    { flags: "--date <date>", option: "date", kind: "text" as const, help: "date that the stored risk model must be of, YYYY-MM-DD (default: the one it is of)" },
    ...flagsOf("Portfolio", others).flags,
  ].map((flag) => (FILES.includes(flag.option) ? { ...flag, kind: "text" as const } : flag)),
};

/** Rows of the tables that people see; --json has all. */
const SHOWN = 30;

/** `astgnn portfolio`: weights from a covariance and limits. */
export function portfolioCommand(terminal: Terminal): Command {
  const command = new Command("portfolio").description("choose the weights of a portfolio by the risk of its stocks and within limits: docs/portfolio.md");
  addFlags(command, portfolioFlags);
  return command
    .option("--json", "print one JSON object")
    .option("--debug", "on failure also print the stack")
    .action(async (written: Record<string, unknown> & { json?: boolean }) => {
      try {
        await show(written, terminal);
      } catch (error) {
        throw namingFlags(error, [portfolioFlags]);
      }
    });
}

async function show(written: Record<string, unknown> & { json?: boolean }, terminal: Terminal): Promise<void> {
  const { risk, date, ...options } = optionsFrom(portfolioFlags, written);
  if (risk !== undefined && options["covariance"] !== undefined) throw new AstgnnError("ERR_OPTION", "--covariance and --risk each name a covariance.", { option: "--risk", next: "Leave one of them out." });
  if (risk === undefined && date !== undefined) throw new AstgnnError("ERR_OPTION", "--date is about the risk model of --risk, which is not given.", { option: "--date", next: "Add --risk FOLDER, or leave it out." });
  for (const name of FILES) if (options[name] !== undefined) options[name] = { file: options[name] };
  if (risk !== undefined) options["covariance"] = { risk, ...(date === undefined ? {} : { date }) };
  const { optimise } = await import("../portfolio/optimise.js");
  const found = await interruptible((signal) => optimise({ ...(options as unknown as Parameters<typeof optimise>[0]), signal }));
  if (found.status === "infeasible") process.exitCode = 1;
  if (written.json === true) return terminal.out(JSON.stringify(found, (_, value: unknown) => (value instanceof Float64Array ? [...value] : value)));
  for (const line of found.status === "optimal" ? portfolioText(found) : conflictText(found)) terminal.out(line);
}

const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;

/** A portfolio as lines, the largest positions first. */
function portfolioText({ tickers, weights, riskShares, volatility, value, duals = [], fewNames, notes }: Portfolio): string[] {
  const held = [...tickers.keys()].filter((i) => Math.abs(weights[i]!) > 1e-6).sort((a, b) => Math.abs(weights[b]!) - Math.abs(weights[a]!));
  const rows = held.slice(0, SHOWN).map((i) => [tickers[i]!, percent(weights[i]!), percent(riskShares[i]!)]);
  const prices = duals.slice(0, SHOWN).map(({ limit, bound, ticker, at, price }) => [ticker === undefined ? limit : `${limit} of ${ticker}`, bound === "equal" ? "at" : `at its ${bound === "max" ? "most" : "least"}`, String(at), price.toPrecision(3)]);
  return [
    `${held.length} of ${tickers.length} stocks are held; volatility ${decimals(volatility, 6)}, of the time that the covariance is of${value === undefined || value === volatility ? "" : `; the objective is ${decimals(value, 6)}`}`,
    ...(fewNames === undefined ? [] : [`${fewNames.names} names by a heuristic: ${percent(fewNames.gap)} from ${decimals(fewNames.relaxation, 6)}, which no choice of names can beat`]),
    ...aligned([["ticker", "weight", "of the risk"], ...rows], (column) => column > 0),
    ...(held.length > SHOWN ? [`... and ${held.length - SHOWN} more: --json has all`] : []),
    ...(prices.length === 0 ? [] : ["", "What limits cost: the gain of the objective per unit by which a limit gives way", ...aligned([["limit", "", "", "price"], ...prices], (column) => column > 1)]),
    ...(duals.length > SHOWN ? [`... and ${duals.length - SHOWN} more: --json has all`] : []),
    ...notes.map((note) => `Note: ${note}`),
  ];
}

/** Why there is no portfolio, as lines. */
function conflictText({ conflict, give, isOfChosenNames }: Conflict): string[] {
  return [
    `No portfolio keeps to ${conflict.length === 1 ? conflict[0]! : `${conflict.slice(0, -1).join(", ")} and ${conflict.at(-1)!}`} together. Without any one of them the others can hold:`,
    ...conflict.map((name) => `  ${name} alone would have to give way by ${Number(give[name]!.toPrecision(4))}${["maxWeight", "minWeight", "longOnly"].includes(name) ? " for every stock" : ""}`),
    ...(isOfChosenNames === true ? ["The names are those with the largest weights; others may do, which are not searched for."] : []),
  ];
}
