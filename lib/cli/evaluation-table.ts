import type { SplitEvaluation } from "../evaluate/evaluate-run.js";
import type { Evaluation } from "../metrics/study.js";
import type { FactorUnit } from "../metrics/units.js";
import { decimals } from "./terminal.js";

const [NAME, VALUE] = [23, 20];

/** Of more exposures than this, those that predictions have most of. */
const SHOWN_EXPOSURES = 8;

type Shown = Evaluation & Partial<Pick<SplitEvaluation, "effectiveNeighbours" | "selfWeight" | "peerCorrelation" | "largestHub" | "hubSkewness">>;

/** Evaluations side by side for people, with what each number is: at most 100 columns. */
export function evaluationTable(splits: Readonly<Record<string, Shown>>): string[] {
  const columns = Object.entries(splits);
  const line = (name: string, cells: readonly string[], meaning = ""): string => `${name.padEnd(NAME)}${cells.map((cell) => cell.padStart(VALUE)).join("")}${meaning === "" ? "" : `  ${meaning}`}`;
  const row = (name: string, show: (split: Shown) => string, meaning = ""): string[] => {
    const cells = columns.map(([, split]) => show(split));
    return cells.every((cell) => cell === "-") ? [] : [line(name, cells, meaning)];
  };
  const section = (title: string, rows: readonly string[]): string[] => (rows.length === 0 ? [] : ["", title, ...rows]);
  const percent = (value: number | null | undefined, digits = 1): string => (value === null || value === undefined || !Number.isFinite(value) ? "-" : `${(value * 100).toFixed(digits)} %`);
  const bps = (value: number | null | undefined): string => (value === null || value === undefined || !Number.isFinite(value) ? "-" : `${(value * 1e4).toFixed(1)} bps`);
  const withT = (value: string, t: number): string => (value === "-" ? "-" : `${value} (t ${decimals(t, 1)})`);
  const error = (mean: number, t: number): string => (Number.isFinite(mean) ? `${decimals(mean)} +- ${decimals(Math.abs(mean / t))}` : "-");
  const [first] = columns.map(([, split]) => split);
  const all = <V>(list: (split: Shown) => readonly V[] | null, key: (entry: V) => string, show: (entry: V) => string, title: (key: string) => string = (name) => name): string[] => {
    const keys = [...new Set(columns.flatMap(([, split]) => (list(split) ?? []).map(key)))].sort((a, b) => keyOrder(list, columns, key, a) - keyOrder(list, columns, key, b));
    return keys.flatMap((name) => row(title(name), (split) => { const entry = list(split)?.find((candidate) => key(candidate) === name); return entry === undefined ? "-" : show(entry); }));
  };
  const correlations = columns.map(([, { exposures }]) => new Map(exposures?.map(({ name, correlation }) => [name, Math.abs(correlation)]) ?? []));
  const size = (name: string): number => Math.max(...correlations.map((of) => of.get(name) || 0));
  const names = [...new Set(correlations.flatMap((of) => [...of.keys()]))];
  const largest = names.length <= SHOWN_EXPOSURES ? names : [...names].sort((a, b) => size(b) - size(a)).slice(0, SHOWN_EXPOSURES);
  const hidden = names.length > largest.length ? `, the largest of ${names.length}` : "";
  const costs = first?.books?.factorWeighted;
  return [
    line("", columns.map(([name]) => name)),
    ...row("IC +- standard error", ({ ic, icT }) => error(ic, icT), "mean daily Pearson, Newey-West"),
    ...row("  t, of independent days", ({ icT, icTNaive }) => (Number.isFinite(icT) ? `${decimals(icT, 2)}, ${decimals(icTNaive, 2)}` : "-"), `label of ${first?.horizonDays ?? 1} ${first?.horizonDays === 1 ? "day" : "days"}`),
    ...row("  95 % interval", ({ icInterval: [low, high] }) => (Number.isFinite(low) ? `${decimals(low)} to ${decimals(high)}` : "-"), "stationary block bootstrap"),
    ...row("  deflated", ({ deflatedIc }) => decimals(deflatedIc.probability, 3), "P(ICIR above the best of luck)"),
    ...row("  trials, effective", ({ deflatedIc }) => `${deflatedIc.trials}, ${decimals(deflatedIc.effectiveTrials, 1)}`, "configurations beside the run"),
    ...row("ICIR", ({ icir }) => decimals(icir, 3), "mean / sd of days, not annual"),
    ...row("RankIC +- standard error", ({ rankIc, rankIcT }) => error(rankIc, rankIcT), "mean daily Spearman"),
    ...row("RankICIR", ({ rankIcir }) => decimals(rankIcir, 3)),
    ...row("hit rate", ({ hitRate }) => decimals(hitRate), "same side of the date's medians"),
    ...row("MSE on targets", ({ mse }) => decimals(mse)),
    ...row("dates", ({ dates }) => String(dates)),
    ...row("rows", ({ rows }) => String(rows)),
    ...row("effective neighbours", ({ effectiveNeighbours }) => decimals(effectiveNeighbours, 1)),
    ...row("self weight", ({ selfWeight }) => decimals(selfWeight)),
    ...row("peer correlation", ({ peerCorrelation }) => decimals(peerCorrelation, 3)),
    ...row("largest hub", ({ largestHub }) => decimals(largestHub, 1)),
    ...row("skewness of hubs", ({ hubSkewness }) => decimals(hubSkewness, 2)),
    ...section(`Quantiles of the predictions, over the label's days, less the universe`, [
      ...(first?.quantiles.returns ?? []).flatMap((_, k) => row(`  ${k + 1}${k === 0 ? " (lowest)" : ""}`, ({ quantiles }) => bps(quantiles.returns[k]))),
      ...row("  spread", ({ quantiles }) => withT(bps(quantiles.spread), quantiles.spreadT), "top - bottom: gross exposure 2"),
      ...row("  monotonicity", ({ quantiles }) => decimals(quantiles.monotonicity, 3), "Spearman of bin and return"),
      ...row("  new in the top", ({ quantiles }) => percent(quantiles.turnover.at(-1)), "share of names, per date"),
    ]),
    ...section("Rank autocorrelation over", all((split) => Object.entries(split.autocorrelation), ([lag]) => lag, ([, value]) => decimals(value, 3), (lag) => `  ${lag} ${lag === "1" ? "date" : "dates"}`)),
    ...section("IC with the return of the days after entry", all(({ decay }) => decay, ({ from, to }) => (to - from === 1 ? `${to}` : `${from + 1} to ${to}`), ({ ic, icT }) => withT(decimals(ic), icT), (days) => `  ${days}`)),
    ...section(`Factor-weighted book: gross 1, net 0, ${first?.books?.portfolios ?? 1} held side by side`, columns.every(([, { books }]) => books === null) ? [] : [
      ...row("  return, volatility", ({ books }) => (books === null || !Number.isFinite(books.factorWeighted.grossReturn) ? "-" : `${percent(books.factorWeighted.grossReturn)}, ${percent(books.factorWeighted.volatility)}`), "a year, before costs"),
      ...row("  Sharpe, net", ({ books }) => (books === null || !Number.isFinite(books.factorWeighted.grossSharpe) ? "-" : `${decimals(books.factorWeighted.grossSharpe, 2)}, ${decimals(books.factorWeighted.netSharpe, 2)}`), `net of ${costs?.costBps} bps, ${costs?.borrowBps} a year short`),
      ...row("  break-even cost", ({ breakEvenBps }) => (breakEvenBps === null || !Number.isFinite(breakEvenBps) ? "-" : `${breakEvenBps.toFixed(1)} bps`), "one way"),
      ...row("  turnover", ({ turnover }) => percent(turnover), "sum |dw| / 2 over gross, per date"),
      ...row(`  top ${first?.books?.top.stocks ?? ""}, net Sharpe`, ({ books }) => decimals(books?.top.netSharpe, 2), "long only"),
      ...row("  all stocks", ({ books }) => decimals(books?.universe.netSharpe, 2), "long only"),
    ]),
    ...section("IC by size", all(({ sizes }) => sizes, ({ name }) => name, ({ ic, icT }) => withT(decimals(ic), icT), (name) => `  ${name}`)),
    ...section("IC by year", all(({ years }) => years, ({ year }) => String(year), ({ ic, icT }) => withT(decimals(ic), icT), (year) => `  ${year}`)),
    ...section("Exposures", [
      ...row("  neutral IC", ({ neutral, neutralIc }) => (neutral === null ? decimals(neutralIc) : withT(decimals(neutralIc), neutral.icT)), "of residuals on exposures, groups"),
      ...row("  neutral ICIR", ({ neutralIcir }) => decimals(neutralIcir, 3)),
      ...row("  neutral RankIC", ({ neutralRankIc }) => decimals(neutralRankIc)),
      ...largest.flatMap((name) => row(`  ${name}`, ({ exposures }) => { const found = exposures?.find((exposure) => exposure.name === name); return found === undefined ? "-" : withT(decimals(found.correlation, 3), found.t); }, name === largest[0] ? `Spearman${hidden}` : "")),
    ]),
  ];
}

const UNIT = 13;

/** The predictions of a run with several, one per line; nothing for a run with one. */
export function unitsTable(splits: Readonly<Record<string, SplitEvaluation>>): string[] {
  return Object.entries(splits).flatMap(([split, { factorUnits }]) => {
    if (factorUnits === null) return [];
    const { units, together, correlation } = factorUnits;
    const line = (name: string, cells: readonly string[]): string => `${name.padEnd(NAME)}${cells.map((cell) => cell.padStart(UNIT)).join("")}`;
    const numbers = (unit: Omit<FactorUnit, "prediction" | "horizon">): string[] => [
      decimals(unit.ic), decimals(unit.icT, 1), decimals(unit.icir, 3), decimals(unit.rankIc), unit.turnover === null || !Number.isFinite(unit.turnover) ? "-" : `${(unit.turnover * 100).toFixed(1)} %`, decimals(unit.neutral?.ic), decimals(unit.neutral?.icir, 3),
    ];
    const alike = (k: number): string => decimals(Math.max(...correlation[k]!.filter((_, other) => other !== k).map(Math.abs)), 2);
    const exposure = (unit: Omit<FactorUnit, "prediction" | "horizon">): string => {
      const [first] = [...(unit.exposures ?? [])].filter(({ correlation: c }) => Number.isFinite(c)).sort((a, b) => Math.abs(b.correlation) - Math.abs(a.correlation));
      return first === undefined ? "" : `  ${first.name} ${decimals(first.correlation, 2)}`;
    };
    return [
      "",
      line(`Factor units, ${split}`, ["IC", "t", "ICIR", "RankIC", "turnover", "neutral IC", "neutral ICIR", "most alike"]) + (units.some(({ exposures }) => exposures !== null) ? "  most exposed to" : ""),
      ...units.map((unit, k) => line(`  ${unit.prediction}, label of ${unit.horizonDays} d`, [...numbers(unit), alike(k)]) + exposure(unit)),
      ...(together === null ? [] : [line("  mean of z-scores", [...numbers(together), ""]) + exposure(together)]),
    ];
  });
}

/** Where an entry stands in the first list that has it. */
function keyOrder<V>(list: (split: Shown) => readonly V[] | null, columns: readonly (readonly [string, Shown])[], key: (entry: V) => string, name: string): number {
  for (const [, split] of columns) {
    const at = (list(split) ?? []).findIndex((entry) => key(entry) === name);
    if (at >= 0) return at;
  }
  return -1;
}
