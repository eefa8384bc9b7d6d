import type { PortfolioDemonstrationOptions } from "../demo/options.js";
import type { PortfolioDemonstration } from "../demo/portfolio.js";
import { bar } from "../setup/progress.js";
import { interruptible } from "./interrupt.js";
import { aligned, decimals, type Terminal } from "./terminal.js";

const INTRODUCTION = [
  "A SIMULATED market, no real prices. Stocks of hidden industries have a signal of their own, which lasts for days. The model learns to predict the",
  "week after the next close; its factors make a risk model; books are held through 240 dates that it did not see, at 5 bps one way.",
  "",
];

/** `astgnn demo --portfolio`: once through the whole chain. */
export async function demoPortfolio(options: PortfolioDemonstrationOptions, isJson: boolean, terminal: Terminal): Promise<void> {
  const { demonstratePortfolio } = await import("../demo/portfolio.js");
  if (!isJson) for (const line of INTRODUCTION) terminal.out(line);
  let said = "";
  const result = await interruptible((signal) =>
    demonstratePortfolio({
      ...options,
      signal,
      onProgress: ({ phase, done }) => {
        terminal.progress(phase === "training" ? `${bar(done, 1)} ${Math.floor(100 * done)} % ${phase}` : phase);
        if (!isJson && phase !== said) terminal.err(phase);
        said = phase;
      },
    }),
  );
  if (isJson) return terminal.out(JSON.stringify(result));
  terminal.clearProgress();
  for (const line of text(result)) terminal.out(line);
}

function text({ ic, adjustedRand, risk, books, skipped, report, seconds }: PortfolioDemonstration): string[] {
  const percent = (value: number): string => `${decimals(100 * value, 1)} %`;
  const rows = books.map((book) => [book.name, percent(book.return), decimals(book.t, 1), percent(book.volatility), decimals(book.sharpe, 2), percent(book.drawdown), percent(book.turnover), percent(book.costs.total)]);
  return [
    "",
    `Predictions: test IC ${decimals(ic.mean)} (t ${decimals(ic.t, 1)}). Clusters by the graph against the hidden industries: adjusted Rand index ${decimals(adjustedRand, 2)}.`,
    `Risk model of M: the risk parity book was forecast to have a volatility of ${percent(risk.forecast)} a year and had ${percent(risk.realised)}.`,
    "",
    ...aligned([["book", "return", "t", "volatility", "Sharpe", "largest fall", "turnover", "costs"], ...rows], (column) => column > 0),
    "a year, after costs; turnover per decision",
    ...skipped.map(({ name, reason }) => `${name}: left out. ${reason}`),
    "",
    `The report: ${report}`,
    `${seconds.toFixed(0)} s. Simulated data: these numbers say nothing about real markets.`,
  ];
}
