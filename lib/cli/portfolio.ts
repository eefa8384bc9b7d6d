import { Command } from "commander";
import { optimiseSchema } from "../portfolio/options.js";
import type { Portfolio } from "../portfolio/optimise.js";
import { addFlags, type FlagGroup, namingFlags, optionsFrom } from "./flags.js";
import { flagOf, flagsOf } from "./schema-flags.js";
import { aligned, decimals, type Terminal } from "./terminal.js";

const { shape } = optimiseSchema;

const portfolioFlags: FlagGroup = {
  title: "Portfolio",
  flags: [
    flagOf("covariance", shape.covariance, { help: "covariance of returns: CSV with a header of tickers, then the rows of the matrix", value: "file", kind: "text" }),
    ...flagsOf("Portfolio", { objective: shape.objective, budgets: shape.budgets }).flags,
  ],
};

/** Flags whose value is a file of what the library takes as numbers. */
const FILES = ["covariance", "budgets"];

/** Rows of the table that people see; --json has all. */
const SHOWN = 30;

/** `astgnn portfolio`: weights from a covariance and limits. */
export function portfolioCommand(terminal: Terminal): Command {
  const command = new Command("portfolio").description("choose the weights of a portfolio by the risk of its stocks: docs/portfolio.md");
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
  const options = optionsFrom(portfolioFlags, written);
  for (const name of FILES) if (options[name] !== undefined) options[name] = { file: options[name] };
  const { optimise } = await import("../portfolio/optimise.js");
  const portfolio = await optimise(options as unknown as Parameters<typeof optimise>[0]);
  if (written.json === true) return terminal.out(JSON.stringify(portfolio, (_, value: unknown) => (value instanceof Float64Array ? [...value] : value)));
  for (const line of portfolioText(portfolio)) terminal.out(line);
}

/** A portfolio as lines, the largest positions first. */
function portfolioText({ tickers, weights, riskShares, volatility }: Portfolio): string[] {
  const held = [...tickers.keys()].filter((i) => Math.abs(weights[i]!) > 1e-6).sort((a, b) => Math.abs(weights[b]!) - Math.abs(weights[a]!));
  const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;
  const rows = held.slice(0, SHOWN).map((i) => [tickers[i]!, percent(weights[i]!), percent(riskShares[i]!)]);
  return [
    `${held.length} of ${tickers.length} stocks are held; volatility ${decimals(volatility, 6)}, of the time that the covariance is of`,
    ...aligned([["ticker", "weight", "of the risk"], ...rows], (column) => column > 0),
    ...(held.length > SHOWN ? [`... and ${held.length - SHOWN} more: --json has all`] : []),
  ];
}
