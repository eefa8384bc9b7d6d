import { Command } from "commander";
import type { ExplainRunOptions } from "../evaluate/explain/explain-run.js";
import type { DayExplanation } from "../evaluate/explain/explain-day.js";
import type { Explanation } from "../evaluate/explain/explanation.js";
import { trainSchema } from "../train/options.js";
import { panelFlags } from "./data-flags.js";
import { addSourceFlags, namedSource, panelOptionsFrom } from "./data-source.js";
import { addFlags, type FlagGroup, inFlags, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { flagsOf } from "./schema-flags.js";
import { aligned, decimals, type Terminal } from "./terminal.js";

const explainFlags: FlagGroup = {
  title: "Explanation",
  flags: [
    { flags: "--date <date>", option: "date", kind: "text", help: "date of the score, YYYY-MM-DD (default without --ticker: the newest)" },
    { flags: "--ticker <ticker>", option: "ticker", kind: "text", help: "stock of the score (default: the five highest and the five lowest of the date, which also go into the report of the run)" },
    { flags: "--prediction <number>", option: "prediction", kind: "scalar", help: "which of the model's predictions, from 0 (default: 0)" },
    ...flagsOf("Explanation", { threads: trainSchema.shape.threads }).flags,
  ],
};

const GROUPS = [panelFlags, explainFlags] as const;
/** Peers and features that are printed. */
const TOP = 10;

/** `astgnn explain`: why a stock has its score. */
export function explainCommand(terminal: Terminal): Command {
  const command = new Command("explain")
    .description("say why a stock has its score on a date: its own part, each peer's, and which features and dates differ from the date's median stock; formulas: docs/explain.md")
    .requiredOption("--run <folder>", "run folder of astgnn train, also of an ensemble");
  addSourceFlags(command, " (default: what the run was trained on, read again)");
  addFlags(command, explainFlags);
  addFlags(command, panelFlags);
  return command
    .option("--json", "print one JSON object, with all peers and features")
    .option("--debug", "on failure also print the stack")
    .action(async (written: Record<string, unknown> & { run: string; json?: boolean }) => {
      try {
        const source = namedSource(written);
        const options = {
          ...panelOptionsFrom(written),
          ...optionsFrom(explainFlags, written),
          onWarning: ({ text }: { text: string }) => terminal.err(`astgnn explain: ${inFlags(text, [panelFlags])}`),
          onProgress: (done: number) => terminal.progress(`explaining: ${Math.round(100 * done)} %`),
        } as unknown as ExplainRunOptions;
        const { explainRun, explainRunDay } = await import("../evaluate/explain/explain-run.js");
        if (written["ticker"] === undefined) {
          const explanations = await interruptible((signal) => explainRunDay(written.run, source, { ...options, signal }));
          terminal.clearProgress();
          const { writeReport } = await import("../evaluate/write-report.js");
          await writeReport(written.run, { explanations }).catch((error: Error) => terminal.err(`astgnn explain: ${error.message}`));
          if (written.json === true) return terminal.out(JSON.stringify(explanations));
          for (const line of dayLines(explanations)) terminal.out(line);
          return;
        }
        const explanation = await interruptible((signal) => explainRun(written.run, source, { ...options, ticker: String(written["ticker"]), signal }));
        terminal.clearProgress();
        if (written.json === true) return terminal.out(JSON.stringify(explanation));
        for (const line of explanationLines(explanation)) terminal.out(line);
      } catch (error) {
        throw namingFlags(error, GROUPS);
      }
    });
}

function dayLines({ date, top, bottom }: DayExplanation): string[] {
  const rows = [...top, ...[...bottom].reverse()].map(({ ticker, score, own, peers, features }) => [
    ticker, signed(score), signed(own), signed(sum(peers.map((peer) => peer.throughSimilarity))), signed(sum(peers.map((peer) => peer.throughAttention))), `${features[0]!.name} ${signed(features[0]!.part)}`,
  ]);
  return [`highest and lowest scores of ${date}`, ...table(["stock", "score", "own", "through A", "attention", "largest feature"], rows)];
}

function explanationLines({ ticker, date, score, own, peers, baseline, dates, features }: Explanation): string[] {
  const lines = [
    `${ticker} on ${date}: score ${signed(score)}`,
    `own ${signed(own)}, ${peers.length} peers through A ${signed(sum(peers.map((peer) => peer.throughSimilarity)))}, through the attention ${signed(sum(peers.map((peer) => peer.throughAttention)))}`,
  ];
  const named = peers.slice(0, TOP);
  if (named.length > 0) lines.push(...table(["peer", "through A", "attention", "weight", "attends"], named.map((peer) => [peer.ticker, signed(peer.throughSimilarity), signed(peer.throughAttention), decimals(peer.weight), decimals(peer.attention)])));
  if (peers.length > TOP) lines.push(`  and ${peers.length - TOP} others: ${signed(sum(peers.slice(TOP).map((peer) => peer.part)))}`);
  lines.push(`the date's median stock has ${signed(baseline.score)} in its place (${signed(baseline.scoreWhereOthersReact)} where the others react to it); the difference ${signed(score - baseline.score)} is`);
  lines.push(...table(["feature", "part", "today", "median"], features.slice(0, TOP).map((feature) => [feature.name, signed(feature.part), signed(feature.values.at(-1)!), signed(feature.medians.at(-1)!)])));
  if (features.length > TOP) lines.push(`  and ${features.length - TOP} others: ${signed(sum(features.slice(TOP).map(({ part }) => part)))}`);
  const byDate = dates.map((day, i) => [day, signed(sum(features.map((feature) => feature.parts[i]!)))]);
  lines.push(...table(["date", "part"], byDate.slice(-5).reverse()));
  if (byDate.length > 5) lines.push(`  and ${byDate.length - 5} earlier: ${signed(sum(features.flatMap((feature) => feature.parts.slice(0, -5))))}`);
  return lines;
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const signed = (value: number): string => `${value < 0 ? "-" : "+"}${decimals(Math.abs(value))}`;

/** Rows under their heads, the first column to the left. */
function table(heads: readonly string[], rows: readonly (readonly string[])[]): string[] {
  return aligned([heads, ...rows], (column) => column > 0).map((line) => `  ${line}`);
}
