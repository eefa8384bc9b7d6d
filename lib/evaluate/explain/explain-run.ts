import { firstNotBefore, isIsoDate } from "../../data/calendar.js";
import type { Panel, PanelOptions } from "../../data/panel.js";
import type { PanelSource } from "../../data/source/panel-source.js";
import { AstgnnError, invalidOption } from "../../errors.js";
import { loadRun } from "../../run/load.js";
import { explain, type ExplainOptions } from "./explain.js";
import { explainDay, type DayExplanation, type ExplainDayOptions } from "./explain-day.js";
import type { Explanation } from "./explanation.js";

/** Which score to explain, and how the data are opened: by default as those of the run were. */
export interface ExplainRunOptions extends Omit<ExplainOptions, "signal">, PanelOptions {}

/**
 * Says why a stock has the score that a stored run gives it on a date, as `explain` does.
 *
 * @param source undefined: what the run was trained on, read again
 * @example
 * const { score, own, peers } = await explainRun("runs/first", "prices.parquet", { date: "2017-03-31", ticker: "S7" });
 * @throws AstgnnError as `explain`, `loadRun` and `openPanel`
 */
export async function explainRun(folder: string, source: PanelSource | undefined, options: ExplainRunOptions): Promise<Explanation> {
  const { date, ticker, prediction, threads, onProgress, ...panelOptions } = options;
  const { signal } = panelOptions;
  if (typeof date !== "string" || !isIsoDate(date)) throw invalidOption("date", "a date as YYYY-MM-DD", date);
  using run = await loadRun(folder, { device: "cpu" });
  const panel = await run.openPanel(source, panelOptions);
  refuseOtherDate(panel, date);
  const dataset = await panel.dataset({ description: run.dataset, from: date, threads, signal, maxDropped: panelOptions.maxDropped });
  return await explain(run, dataset, { date, ticker, prediction, threads, signal, onProgress });
}

/** Which day of a run's scores to explain, and how the data are opened. */
export interface ExplainRunDayOptions extends Omit<ExplainDayOptions, "signal">, PanelOptions {}

/**
 * Explains the highest and the lowest scores that a stored run gives on a date, the newest of the data by default. `writeReport` takes them into the
 * report of the run: `await writeReport(folder, { explanations })`.
 *
 * @param source undefined: what the run was trained on, read again
 * @throws AstgnnError as `explainDay`, `loadRun` and `openPanel`
 */
export async function explainRunDay(folder: string, source: PanelSource | undefined, options: ExplainRunDayOptions = {}): Promise<DayExplanation> {
  const { date, count, prediction, threads, onProgress, ...panelOptions } = options;
  const { signal } = panelOptions;
  using run = await loadRun(folder, { device: "cpu" });
  const panel = await run.openPanel(source, panelOptions);
  if (date !== undefined) refuseOtherDate(panel, date);
  const dataset = await panel.dataset({ description: run.dataset, from: date ?? panel.dates.at(-1), threads, signal, maxDropped: panelOptions.maxDropped });
  return await explainDay(run, dataset, { date, count, prediction, threads, signal, onProgress });
}

/** @throws AstgnnError ERR_DATA for a date that the panel does not have, naming those around it */
function refuseOtherDate({ dates, source }: Panel, date: string): void {
  if (dates.includes(date)) return;
  const after = firstNotBefore(dates, date);
  const near = [dates[after - 1], dates[after]].filter((each) => each !== undefined).join(" and ");
  throw new AstgnnError("ERR_DATA", `${date} is no date of ${source}, which has ${dates.length} from ${dates[0]!} to ${dates.at(-1)!}.`, { date, option: "date", next: `Next to it: ${near}.` });
}
