import { Command } from "commander";
import type { SimilarOptions, SimilarStock, SimilarStocks } from "../risk/similar.js";
import { addSourceFlags, namedSource } from "./data-source.js";
import { addFlags, type FlagGroup, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { aligned, decimals, type Terminal } from "./terminal.js";

const similarFlags: FlagGroup = {
  title: "Similar stocks",
  flags: [
    { flags: "--top <count>", option: "top", kind: "scalar", help: "neighbours of each kind: a whole number from 1 (default: 10)" },
    { flags: "--look-back <dates>", option: "lookBack", kind: "scalar", help: "dates back on which to see since when they are neighbours: a whole number from 0 (default: 60)" },
    { flags: "--exposures <names>", option: "exposures", kind: "texts", help: "exposures of the risk model beside M: style, loadings, groups and number columns of the data, comma-separated (default: none)" },
    { flags: "--groups <file>", option: "groups.file", kind: "text", help: "file with ticker and group (default: the groups of the run's data)" },
    { flags: "--group-column <name>", option: "groups.column", kind: "text", help: "column of the group in that file (default: group)" },
    { flags: "--threads <count>", option: "threads", kind: "scalar", help: "compute threads: a whole number from 1 (default: ASTGNN_THREADS, else the physical cores)" },
  ],
};

type Written = Record<string, unknown> & { run: string; date: string; ticker: string; json?: boolean };

/** `astgnn similar`: a stock's neighbours by the graph, by the risk model and by realised correlation. */
export function similarCommand(terminal: Terminal): Command {
  const command = new Command("similar")
    .description("show the neighbours of a stock on a date by the graph of a run, by correlation under its risk model and by realised correlation, side by side: docs/risk.md")
    .requiredOption("--run <folder>", "run folder of astgnn train, of one seed")
    .requiredOption("--date <date>", "date, YYYY-MM-DD")
    .requiredOption("--ticker <ticker>", "stock whose neighbours to show");
  addFlags(command, similarFlags);
  addSourceFlags(command, " (default: what the run was trained on, read again)");
  return command
    .option("--json", "print one JSON object")
    .option("--debug", "on failure also print the stack")
    .action(async (written: Written) => {
      try {
        const options = optionsFrom(similarFlags, written) as Partial<SimilarOptions>;
        const { similar } = await import("../risk/similar.js");
        const found = await interruptible((signal) => similar(written.run, { ...options, date: written.date, ticker: written.ticker, source: namedSource(written), signal, onWarning: ({ text }) => terminal.err(`astgnn similar: ${text}`) }));
        if (written.json === true) return terminal.out(JSON.stringify(found));
        for (const line of similarText(found)) terminal.out(line);
      } catch (error) {
        throw namingFlags(error, [similarFlags]);
      }
    });
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const KINDS = [["byGraph", "by A", "weight"], ["byRisk", "by the risk model", "corr."], ["byRealised", "by the last 60 dates", "corr."]] as const;

function similarText({ date, ticker, group, peerCorrelationNext20: next, sameGroup, ...lists }: SimilarStocks): string[] {
  const known = !Number.isNaN(next.byRisk);
  const row = (one: SimilarStock): string[] => [one.ticker, decimals(one.weight, 3), decimals(one.correlation60, 2), ...(known ? [decimals(one.correlationNext20, 2)] : []), one.since, one.group ?? "-"];
  return [
    `${ticker}${group === undefined ? "" : ` (${group})`} on ${date}`,
    ...KINDS.flatMap(([kind, title, weight]) => [
      "", `${title}${known ? `: peer correlation of all stocks' lists on the next 20 dates* ${decimals(next[kind], 3)}` : ""}`,
      ...aligned([["ticker", weight, "corr. 60", ...(known ? ["next 20*"] : []), "since", "group"], ...lists[kind].map(row)], (column) => column > 0 && column < (known ? 4 : 3)),
    ]),
    ...(Number.isNaN(sameGroup.byRisk) ? [] : ["", `Of its own group are ${percent(sameGroup.byGraph)} of a stock's list by A, ${percent(sameGroup.byRisk)} by the risk model, ${percent(sameGroup.byRealised)} by the last 60 dates; by chance ${percent(sameGroup.chance)}`]),
    ...(known ? ["", `${Number.isNaN(next.group) ? "" : `of the groups ${decimals(next.group, 3)}; `}* over the 20 dates after ${date}: known only afterwards`] : []),
  ];
}
