import type { Panel } from "../data/panel.js";
import { AstgnnError } from "../errors.js";
import { requireObject, requireTexts } from "../options.js";
import type { RiskModel } from "./estimator.js";
import type { FactorForm } from "./factor-form.js";
import { PanelReturns } from "./panel-returns.js";
import { walkRisk, type RiskSource, type WalkOptions } from "./walk.js";

/** What a risk model is made of, beside its source. */
export interface RiskOptions extends Omit<WalkOptions, "split" | "to" | "lastFold"> {
  /** Its newest date, YYYY-MM-DD: later ones are not read. Default: the newest of the panel. */
  readonly date?: string | undefined;
  /** Column of capitalisations. Default: the mean of close times volume over 252 dates stands for size; without volume all stocks weigh the same. */
  readonly size?: string | undefined;
}

/**
 * A factor risk model of the stocks of a panel as of a date: `form()` is the covariance of the next date's returns as X F X' + diag(v), and `update()` takes further
 * dates in without going over the history again.
 *
 * @param source the folder of a run for its M (of a walk-forward: of the fold that is tested on the date), names of exposures (`style`, `loadings`, `groups`, columns), or
 *   both. The exposures of a date are known by its close and explain the returns of the next date.
 * @example
 * const model = await riskModel(["style"], panel);
 * const { exposures, factorCovariance, specificVariance } = model.form();
 * await riskModel(["style"], tomorrow, { continues: model }); // takes in the dates after its newest
 * @throws AstgnnError ERR_OPTION; ERR_CHECKPOINT where the folder holds no run; ERR_DATA naming date, ticker and factor where data do not do
 */
export async function riskModel(source: RiskSource, panel: Panel, written: RiskOptions = {}): Promise<RiskModel> {
  requireObject(written, "options", "{ date?, size?, model?, ... }");
  const { date, size, ...options } = written;
  let newest: RiskModel | undefined = options.continues;
  for await (const { model } of walkRisk(source, panel, await PanelReturns.of(panel, size, options.signal), { ...options, to: date, lastFold: true })) newest = model;
  if (newest === undefined || (date !== undefined && newest.date !== date)) throw missing(panel, date);
  return newest;
}

/**
 * Forms of several dates by one walk over the history: for portfolios that are made anew on a schedule.
 *
 * @param dates of the panel, ascending
 * @throws AstgnnError as {@link riskModel}
 */
export async function* riskForms(source: RiskSource, panel: Panel, dates: readonly string[], { size, ...options }: Omit<RiskOptions, "date"> = {}): AsyncGenerator<FactorForm> {
  requireTexts(dates, "dates", "dates of the panel");
  const wanted = new Set(dates);
  for await (const { model, date } of walkRisk(source, panel, await PanelReturns.of(panel, size, options.signal), { ...options, to: dates.at(-1) })) {
    if (!wanted.delete(date)) continue;
    yield model.form();
  }
  const [left] = wanted;
  if (left !== undefined) throw missing(panel, left);
}

function missing(panel: Panel, date: string | undefined): AstgnnError {
  return new AstgnnError("ERR_DATA", `There are no exposures ${date === undefined ? "on any date" : `on ${date}`} of ${panel.source}.`, { file: panel.source, ...(date === undefined ? {} : { date }), next: "Name a date that has rows and the history that exposures look back on." });
}
