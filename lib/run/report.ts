import type { SplitMetrics } from "./records.js";

/** What `report.json` holds: the final weights on every split. Predictions themselves are in predictions.parquet. */
export interface Report {
  readonly kind: "run" | "ensemble";
  /** Epoch whose weights these are; null for an ensemble. */
  readonly bestEpoch: number | null;
  readonly epochs: number;
  /** Training seed, or one per member. */
  readonly seed: number | readonly number[];
  readonly train: SplitMetrics;
  readonly valid: SplitMetrics;
  readonly test: SplitMetrics;
  /** Daily values of the dates that count: what a later evaluation deflates other runs by. */
  readonly daily: { readonly valid: DailyIc; readonly test: DailyIc };
}

/** IC and RankIC of each date that counts. */
export interface DailyIc {
  readonly dates: readonly string[];
  readonly ic: readonly number[];
  readonly rankIc: readonly number[];
}

/** JSON has no NaN: null. */
export function reportJson(report: Report): string {
  return `${JSON.stringify(report, null, 2)}\n`;
}
<<<<<<< HEAD

/** A summary for people. */
export function reportMarkdown(report: Report): string {
  const { kind, bestEpoch, epochs, seed } = report;
  const what = kind === "ensemble"
    ? `Mean of per-date z-scores of ${(seed as readonly number[]).length} members, seeds ${(seed as readonly number[]).join(", ")}; graph statistics are means over members.`
    : `Weights of epoch ${bestEpoch} of ${epochs}, ${report.valid.dates === 0 ? "the last: there are no validation dates" : "the best on the validation dates"}; seed ${String(seed)}.`;
  const rows = (["train", "valid", "test"] as const).map((name) => row(name, report[name]));
  return `# Run report

${what}

| split | dates | rows | IC | standard error | ICIR | RankIC | RankICIR | hit rate | neutral IC | neutral ICIR | neutral RankIC | MSE | effective neighbours | self weight | empty rows | peer correlation | largest hub | skewness of hubs |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
${rows.join("\n")}

IC is the mean over dates of the daily Pearson correlation of prediction and raw return, ICIR that mean over the standard deviation of the daily
values (per day, not annualised), RankIC the same with Spearman. The standard error takes dates as independent; it is too small where labels of
neighbouring dates overlap. The neutral ones are those of the predictions without what the exposures of the labels explain. MSE is against the transformed targets that the loss sees. Peer correlation is that of a stock's returns on the coming
days with those of its peers in A (0: A knows nothing); a hub is a stock that many have among their 20 most similar. Training dates were fitted, so their numbers say nothing about skill.
`;
}

function row(name: string, metrics: SplitMetrics): string {
  const { dates, rows, ic, icir, rankIc, rankIcir, hitRate, neutralIc, neutralIcir, neutralRankIc, mse, effectiveNeighbours, selfWeight, emptyShare, peerCorrelation, largestHub, hubSkewness } = metrics;
  const standardError = Math.abs(ic / icir) / Math.sqrt(dates);
  const cells = [decimals(ic, 4), decimals(standardError, 4), decimals(icir, 3), decimals(rankIc, 4), decimals(rankIcir, 3), decimals(hitRate, 4), decimals(neutralIc, 4), decimals(neutralIcir, 3), decimals(neutralRankIc, 4), decimals(mse, 4), decimals(effectiveNeighbours, 1), decimals(selfWeight, 4), decimals(emptyShare, 4), decimals(peerCorrelation, 3), decimals(largestHub, 1), decimals(hubSkewness, 2)];
  return `| ${name} | ${dates} | ${rows} | ${cells.join(" | ")} |`;
}

function decimals(value: number | null, digits: number): string {
  return value === null || Number.isNaN(value) ? "-" : value.toFixed(digits);
}
=======
>>>>>>> 843664d (wip)
