import { Command } from "commander";
import type { MarketResult, SimulatedGraph } from "../demo/demonstrate.js";
import { demonstrationSchema, type DemonstrationOptions } from "../demo/options.js";
import { AstgnnError } from "../errors.js";
import { bar } from "../setup/progress.js";
import { addFlags, type FlagGroup, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { flagsOf } from "./schema-flags.js";
import { decimals, type Terminal } from "./terminal.js";

const demoFlags: FlagGroup = {
  title: "Demonstration",
  flags: [
    { flags: "--portfolio", option: "portfolio", kind: "switch", help: "go from simulated prices to portfolios instead: train, peers, risk model, books, backtest, one report; --keep names its folder" },
    { flags: "--seed <number>", option: "seed", kind: "scalar", help: "one seed, as --seeds with one number" },
    ...flagsOf("Demonstration", demonstrationSchema.shape).flags,
  ],
};

const INTRODUCTION = [
  "SIMULATED markets, no real prices. Stocks belong to hidden industries. Their news moves their own price at once and, on the",
  "planted market, that of their industry peers a day later; only a graph can use that. On the null market it does not.",
  "",
];

/** `astgnn demo`: what the graph is worth on markets that never existed. */
export function demoCommand(terminal: Terminal): Command {
  const command = new Command("demo").description("simulate markets, train with and without the graph, and compare; or go all the way to portfolios (no real prices)");
  addFlags(command, demoFlags);
  return command
    .option("--json", "print one JSON object")
    .option("--debug", "on failure also print the stack")
    .action(async (written: Record<string, unknown> & { json?: boolean }) => {
      try {
        await demoFrom(written, terminal);
      } catch (error) {
        throw namingFlags(error, [demoFlags]);
      }
    });
}

async function demoFrom(written: Record<string, unknown> & { json?: boolean }, terminal: Terminal): Promise<void> {
  const { seed, portfolio, ...options } = optionsFrom(demoFlags, written);
  if (portfolio === true) {
    if (options["seeds"] !== undefined) throw new AstgnnError("ERR_OPTION", "--portfolio has one market.", { option: "--seeds", next: "Give --seed." });
    const { demoPortfolio } = await import("./demo-portfolio.js");
    return demoPortfolio({ ...options, ...(seed === undefined ? {} : { seed: seed as number }) }, written.json === true, terminal);
  }
  if (seed !== undefined) {
    if (options["seeds"] !== undefined) throw new AstgnnError("ERR_OPTION", "Both --seed and --seeds are given.", { option: "--seeds", next: "Give one of them." });
    options["seeds"] = [seed];
  }
  const isText = written.json !== true;
  const { demonstrate } = await import("../demo/demonstrate.js");
  let said = "";
  const result = await interruptible((signal) =>
    demonstrate({
      ...(options as DemonstrationOptions),
      signal,
      onProgress: ({ market, graph, seed: current, done }) => {
        const name = `${market} market, seed ${current}, ${graph ? "with" : "without"} the graph`;
        terminal.progress(`${bar(done, 1)} ${Math.floor(done * 100)} % training on the simulated ${name}`);
        if (isText && said === "") for (const line of INTRODUCTION) terminal.out(line);
        if (isText && name !== said) terminal.err(`training on the simulated ${name}`);
        said = name;
      },
    }),
  );
  if (!isText) return terminal.out(JSON.stringify(result));
  terminal.clearProgress();
  terminal.out("");
  for (const market of [result.planted, result.null]) for (const line of text(market)) terminal.out(line);
  for (const line of graphText(result.graph)) terminal.out(line);
  terminal.out(`${result.seconds.toFixed(0)} s. Simulated data: these numbers say nothing about real markets.`);
}

function text({ market, withGraph, withoutGraph, difference, dates, seeds, claim, holds }: MarketResult): string[] {
  const value = ({ mean, standardError }: { mean: number; standardError: number }): string => `${decimals(mean).padStart(8)}  (standard error ${decimals(standardError)})`;
  return [
    `Simulated ${market} market: test IC over ${dates} dates of ${seeds.length} market${seeds.length === 1 ? "" : "s"}`,
    `  with the graph     ${value(withGraph)}`,
    `  without the graph  ${value(withoutGraph)}`,
    `  difference         ${value(difference)}  ${difference.t.toFixed(1)} standard errors`,
    `  expected: ${claim}: ${holds ? "holds" : "DOES NOT HOLD"}`,
    "",
  ];
}

function graphText({ date, stocks, adjustedRand }: SimulatedGraph): string[] {
  return [
    `Whom the graph of the planted market links on ${date}, hidden industries in brackets`,
    ...stocks.map(({ ticker, industry, peers }) => `  ${ticker} [${industry}]  ${peers.map((peer) => `${peer.ticker} [${peer.industry}]`).join("  ")}`),
    `  clusters of all stocks against the industries, which no column shows: adjusted Rand index ${decimals(adjustedRand, 2)} (1 the same, 0 chance)`,
    "",
  ];
}
