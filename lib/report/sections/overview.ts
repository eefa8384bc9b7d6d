import { intervalChart, type IntervalRow } from "../charts/intervals.js";
import { count, counted, decimals, fixed, isNumber, longDate, type Maybe, percent, probability, value } from "../format.js";
import { mainSplit, type ReportNumbers, type SplitNumbers } from "../numbers.js";
import { cautions, withoutIc, withoutPrices } from "../reasons.js";
import type { Figure, Value } from "../section.js";
import { auditCommand } from "./audit.js";

/** A number of the first screen. */
export interface Tile {
  readonly name: string;
  readonly value: Value;
  /** What it means, in a few words. */
  readonly note: string;
}

/** The first screen. */
export interface Overview {
  readonly headline: string;
  /** The interval and what stands behind it. */
  readonly deck: string;
  /** What was trained on what. */
  readonly about: readonly string[];
  readonly verdict: { readonly state: "passed" | "failed" | "none"; readonly text: string };
  readonly cautions: readonly string[];
  readonly tiles: readonly Tile[];
  readonly figure: Figure | undefined;
}

const four = decimals(4);
const two = decimals(2);

export function overviewOf(numbers: ReportNumbers): Overview {
  const split = mainSplit(numbers);
  const { ic, icT, icInterval, dates } = split?.numbers ?? {};
  const name = split?.name ?? "test";
  return {
    headline: isNumber(ic) ? `IC ${four(ic)} on ${counted(dates ?? 0, `${name} date`)}` : `No IC: ${withoutIc(split?.numbers)}`,
    deck: deckOf(split?.numbers, icT, icInterval),
    about: aboutOf(numbers),
    verdict: verdictOf(numbers),
    cautions: cautions(split?.numbers),
    tiles: split === undefined ? [] : tilesOf(numbers, split.numbers),
    figure: intervalsOf(numbers),
  };
}

function deckOf(split: SplitNumbers | undefined, t: Maybe, interval: readonly Maybe[] | undefined): string {
  if (split === undefined || !isNumber(interval?.[0]) || !isNumber(interval[1])) return "";
  const zero = interval[0] > 0 ? "above zero" : interval[1] < 0 ? "below zero" : "zero is inside";
  return `95 % interval ${four(interval[0])} to ${four(interval[1])}: ${zero}.${isNumber(t) ? ` t ${two(t)} by Newey and West, ${isNumber(split.icTNaive) ? two(split.icTNaive) : "–"} if dates were independent.` : ""}`;
}

function aboutOf({ subject, run, train, valid, test, folds }: ReportNumbers): string[] {
  const label = labelText(test ?? valid);
  if (run === undefined) {
    return [`Predictions of ${subject.name}${subject.prices === undefined ? "" : ` against the closing prices of ${fileName(subject.prices)}`}: ${rowsText(test)}. ${label}`];
  }
  if (folds !== undefined) {
    return [`A walk-forward of ${counted(folds.length, "fold")} on ${sourceText(run.source)}: a model for each, trained on the dates before its test. Tests from ${datesText(run.split.test)}: ${rowsText(test)}.`, label];
  }
  const members = run.members?.length;
  const { config, dataset, split } = run;
  const sets = [dataset.features].flat().map((entry) => (typeof entry === "string" ? entry : JSON.stringify(entry)));
  const model = `A factor model of ${config.numRiskFactors} risk factors (${count(run.parameters ?? 0)} parameters)${members === undefined ? "" : `, ${members} seeds averaged`}, on ${shortList(sets)}, the last ${dataset.window} dates of each stock.`;
  const trained = `Trained on ${sourceText(run.source)}, ${datesText(split.train)}${train === undefined ? "" : ` (${rowsText(train)})`}; chosen on ${datesText(split.valid)}; tested on ${datesText(split.test)}${test === undefined ? "" : ` (${rowsText(test)})`}.`;
  return [model, trained, label];
}

function rowsText({ dates, rows }: { readonly dates: Maybe; readonly rows: Maybe } | SplitNumbers = { dates: 0, rows: 0 }): string {
  if (!dates || !rows) return "no date that counts";
  return `${counted(dates, "date")}, about ${count(rows / dates)} stocks each`;
}

function datesText(summary: unknown): string {
  const part = summary as { readonly first: string | null; readonly last: string | null } | undefined;
  return part?.first == null || part.last == null ? "no dates" : `${longDate(part.first)} to ${longDate(part.last)}`;
}

function labelText(split: SplitNumbers | undefined): string {
  if (!isNumber(split?.horizonDays) || !isNumber(split.lagDays)) return "";
  return `The return that counts: over ${counted(split.horizonDays, "date")}, entered at the close ${split.lagDays === 0 ? "of the prediction’s own date" : `${counted(split.lagDays, "date")} after the prediction`}.`;
}

export function sourceText(source: unknown): string {
  if (source == null) return "data that run.json does not name";
  if (typeof source === "string") return fileName(source);
  if (Array.isArray(source)) return shortList(source.map((file) => fileName(String(file))));
  return "sql" in (source as object) ? "a query" : "qlib" in (source as object) ? fileName(String((source as { qlib: unknown }).qlib)) : "a table in memory";
}

function fileName(path: string): string {
  return path.split("/").at(-1) || path;
}

function shortList(names: readonly string[]): string {
  return names.length <= 4 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
}

function verdictOf({ audit, subject }: ReportNumbers): Overview["verdict"] {
  if (audit === undefined) return { state: "none", text: `Not audited for leaks. ${auditCommand(subject)} does it.` };
  const of = (severity: string): number => audit.findings.filter((finding) => finding.severity === severity).length;
  const [fails, warns, notes] = [of("fail"), of("warn"), of("note")];
  if (!audit.passed) return { state: "failed", text: `The audit failed: ${counted(fails, "finding")} because of which these numbers cannot be believed.` };
  return { state: "passed", text: `The audit found no leak in ${audit.checks.length} checks${warns + notes === 0 ? "" : `, with ${counted(warns, "warning")} and ${counted(notes, "note")}`}.` };
}

function tilesOf(numbers: ReportNumbers, split: SplitNumbers): Tile[] {
  const { deflatedIc, quantiles, horizonDays } = split;
  const noIc = withoutIc(split);
  const noPrices = split.books === null ? withoutPrices(numbers) : noIc;
  const trials = deflatedIc.trials ?? 1;
  return [
    { name: "ICIR", value: value(split.icir, two, noIc), note: "mean over standard deviation of the daily IC, per day" },
    { name: "RankIC", value: value(split.rankIc, four, noIc), note: isNumber(split.rankIcT) ? `t ${two(split.rankIcT)}` : "of ranks" },
    { name: "Deflated", value: value(deflatedIc.probability, probability, noIc), note: trials === 1 ? "that the ICIR is above zero; no other run lies beside this one" : `that the ICIR beats the luckiest of ${fixed(deflatedIc.effectiveTrials ?? trials, 1)} independent trials (${trials} configurations)` },
    { name: "Spread", value: value(quantiles.spread, (spread) => `${fixed(1e4 * spread, 1)} bp`, "no date has stocks in the top and in the bottom quantile"), note: `top less bottom of ${quantiles.returns.length}, per ${horizonDays === 1 ? "day" : `${horizonDays} days`}` },
    { name: "Sharpe after costs", value: value(split.netSharpe, two, noPrices), note: isNumber(split.books?.factorWeighted.costBps) ? `a year, at ${split.books.factorWeighted.costBps} bp one way` : "a year" },
    { name: "Break-even cost", value: value(split.breakEvenBps, (bps) => `${fixed(bps, 1)} bp`, noPrices), note: isNumber(split.turnover) ? `one way; ${percent(split.turnover)} of the book is traded at each renewal` : "one way" },
  ];
}

function intervalsOf(numbers: ReportNumbers): Figure | undefined {
  const { valid, test, comparison: { baselines = [] } = {} } = numbers;
  const rows: (IntervalRow & { t: Maybe })[] = [];
  const add = (name: string, ic: Maybe, interval: readonly Maybe[], t: Maybe, isStrong: boolean): void => {
    if (!isNumber(ic)) return;
    const [low, high] = interval;
    rows.push({ name, value: ic, low: isNumber(low) ? low : undefined, high: isNumber(high) ? high : undefined, label: four(ic), t, isStrong });
  };
  if (test !== undefined) {
    add("IC, test", test.ic, test.icInterval, test.icT, true);
    add("RankIC, test", test.rankIc, test.rankIcInterval, test.rankIcT, true);
    if (test.neutral !== null) add("IC, neutral, test", test.neutral.ic, aroundT(test.neutral.ic, test.neutral.icT), test.neutral.icT, true);
  }
  for (const { name, ic, icT } of baselines) add(name, ic, aroundT(ic, icT), icT, false);
  if (valid !== undefined) add("IC, validation", valid.ic, valid.icInterval, valid.icT, false);
  if (rows.length === 0) return undefined;
  return {
    kind: "figure",
    width: "full",
    title: "How sure is it",
    subtitle: `Means of the daily values with 95 % intervals${baselines.length === 0 ? "" : "; baselines on the same rows"}.`,
    description: rows.map(({ name, label, low, high }) => `${name} ${label}${low === undefined || high === undefined ? "" : `, interval ${four(low)} to ${four(high)}`}`).join("; "),
    chart: (width) => intervalChart(rows, width),
    table: {
      columns: [{ name: "Number" }, { name: "Mean", align: "number" }, { name: "Low", align: "number" }, { name: "High", align: "number" }, { name: "t", align: "number" }],
      rows: rows.map(({ name, value: mean, low, high, t }) => [name, value(mean, four, ""), value(low, four, "no interval"), value(high, four, "no interval"), value(t, two, "no spread")]),
    },
  };
}

/** The interval of a mean whose t is known. */
export function aroundT(mean: Maybe, t: Maybe): readonly [low: number | undefined, high: number | undefined] {
  if (!isNumber(mean) || !isNumber(t) || t === 0) return [undefined, undefined];
  const half = 1.96 * Math.abs(mean / t);
  return [mean - half, mean + half];
}
