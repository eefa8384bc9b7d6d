import type { Panel } from "../data/panel.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { requireObject, requireText, requireTexts } from "../options.js";
import { knownExposures } from "../evaluate/known-exposures.js";
import { readAnyDescription } from "../run/description.js";
import { Axes } from "./axes.js";
import { RiskModel } from "./estimator.js";
import { KnownRows } from "./known-rows.js";
import type { RiskModelOptions } from "./options.js";
import { PanelReturns } from "./panel-returns.js";
import { readFactors, runSegments, type DateFactors } from "./run-factors.js";

/**
 * What the factors are: the folder of a run for its M; names of exposures as `style`, `loadings`, `groups` and columns; or both together.
 */
export type RiskSource = string | readonly string[] | { readonly run?: string | undefined; readonly exposures?: readonly string[] | undefined };

/** How dates of a panel are walked. */
export interface WalkOptions {
  /** Stages of the model. */
  readonly model?: RiskModelOptions | undefined;
  /** Principal axes of M that are factors, at most. Default 28. */
  readonly axes?: number | undefined;
  /** `valid`: walk the validation dates of a run (of a walk-forward the first fold's). Default `test`. */
  readonly split?: "valid" | "test" | undefined;
  /** Last date, default the newest. */
  readonly to?: string | undefined;
  /** Whether of a walk-forward only the fold of the last date is walked. Default false. */
  readonly lastFold?: boolean | undefined;
  /** A model of the same source to go on from: only dates after its newest are walked, with `lastFold`. */
  readonly continues?: RiskModel | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Axes of M that are factors: on NASDAQ 28, 40 and 64 forecast portfolios alike, and the fewer, the less noise is in each stock's regression on them. */
const AXES = 28;

/** A date of a walk: the model as of its close. */
export interface RiskStep {
  readonly t: number;
  readonly date: string;
  readonly model: RiskModel;
  /** Whether the run's models had not learned from the date: always for exposures without a run. */
  readonly isOutOfSample: boolean;
}

/**
 * A risk model date by date. Of a walk-forward each fold has a model with a history of its own, from the M of the fold's network on all dates before: factor returns
 * are never joined over networks, so that nothing depends on how their M are rotated against one another.
 */
export async function* walkRisk(source: RiskSource, panel: Panel, returns: PanelReturns, { model: options = {}, axes: count = AXES, split = "test", to, lastFold = false, continues, signal }: WalkOptions): AsyncGenerator<RiskStep> {
  if (typeof source !== "string") requireObject(source, "source", "a run folder, names of exposures or { run, exposures }");
  const { run, exposures: names = [] } = typeof source === "string" ? { run: source } : "length" in source ? { run: undefined, exposures: source } : source;
  requireTexts(names, "source.exposures", "names of exposures");
  if (run !== undefined) requireText(run, "source.run", "the folder of a run");
  if (to !== undefined) requireText(to, "date", "a date as YYYY-MM-DD");
  if (run === undefined && names.length === 0) throw invalidOption("source", "a run folder, names of exposures or { run, exposures }", source);
  const loadings = run === undefined ? undefined : ((await readAnyDescription(run)).dataset as { loadings?: never }).loadings;
  const known = names.length === 0 ? undefined : await knownExposures(panel, names, { loadings, signal });
  try {
    const rows = known === undefined ? undefined : new KnownRows(known, panel);
    if (run === undefined) yield* walkKnown(rows!, panel, returns, { options, to, continues });
    else yield* walkRun(run, { panel, returns, rows, options, count, split, to, lastFold, continues, signal });
  } finally {
    known?.release();
  }
}

function* walkKnown(rows: KnownRows, panel: Panel, returns: PanelReturns, { options, to, continues }: Pick<RunWalk, "options" | "to" | "continues">): Generator<RiskStep> {
  const model = continued(continues, rows.names, rows.groupNames, options);
  const after = model.date ?? "";
  for (const [t, date] of panel.dates.entries()) {
    if (to !== undefined && date > to) return;
    if (!rows.holds(t) || date <= after) continue;
    model.update(rows.date(t, returns));
    yield { t, date, model, isOutOfSample: true };
  }
}

interface RunWalk {
  readonly panel: Panel;
  readonly returns: PanelReturns;
  readonly rows: KnownRows | undefined;
  readonly options: RiskModelOptions;
  readonly count: number;
  readonly split: "valid" | "test";
  readonly to: string | undefined;
  readonly lastFold: boolean;
  readonly continues: RiskModel | undefined;
  readonly signal: AbortSignal | undefined;
}

async function* walkRun(folder: string, { panel, returns, rows, options, count, split, to, lastFold, continues, signal }: RunWalk): AsyncGenerator<RiskStep> {
  const dateOf = new Map(panel.dates.map((date, t) => [date, t]));
  const all = await runSegments(folder, split);
  const there = all.filter(({ first }, s) => s === 0 || to === undefined || first <= to);
  const segments = lastFold ? there.slice(-1) : there;
  for (const [s, segment] of segments.entries()) {
    const axes = await Axes.fit(readFactors(segment, panel, { to: segment.trainEnd, every: 10, signal }), segment.factors, count);
    const model = continued(continues, [...Array.from({ length: axes.count }, (_, k) => `m_${k + 1}`), ...(rows?.names ?? [])], rows?.groupNames, options);
    const last = segment.isNewest && split === "test" ? panel.dates.at(-1)! : segment.last;
    for await (const day of readFactors(segment, panel, { after: continues?.date, to: to !== undefined && to < last ? to : last, signal })) {
      const t = dateOf.get(day.date);
      if (t === undefined) throw new AstgnnError("ERR_DATA", `${segment.file} has M of ${day.date}, and ${panel.source} does not have that date.`, { file: segment.file, date: day.date, next: "Name the data of the run." });
      if (rows?.holds(t) === false) continue;
      model.update(riskDate(day, axes, returns, t, rows));
      // Every fold but the last stops where the next begins; what comes before its test is history.
      const isOutOfSample = day.date >= segment.first;
      if (isOutOfSample || s === 0) yield { t, date: day.date, model, isOutOfSample };
    }
  }
}

/** The model to go on from, or a new one. @throws AstgnnError ERR_OPTION where it has other factors */
function continued(continues: RiskModel | undefined, exposures: readonly string[], groups: readonly string[] | undefined, options: RiskModelOptions): RiskModel {
  const model = new RiskModel(exposures, groups, options);
  if (continues === undefined) return model;
  if (continues.factors.join() === model.factors.join()) return continues;
  throw new AstgnnError("ERR_OPTION", `The model to go on from has the factors ${shortList(continues.factors)}, and the source has ${shortList(model.factors)}.`, { option: "continues", next: "Name the source that the model was made from." });
}

function shortList(names: readonly string[]): string {
  return `${names.slice(0, 5).join(", ")}${names.length > 5 ? ` and ${names.length - 5} more` : ""}`;
}

/** M in its axes, then the other exposures. */
function riskDate({ date, tickers, values }: DateFactors, axes: Axes, returns: PanelReturns, t: number, beside: KnownRows | undefined): Parameters<RiskModel["update"]>[0] {
  const [N, K] = [returns.tickers.length, axes.count];
  const rows = Array.from(tickers, (ticker) => returns.stock(ticker));
  const m = axes.project(values);
  const others = beside?.values(t, rows);
  const width = K + (beside?.names.length ?? 0);
  const exposures = new Float64Array(rows.length * width);
  for (let i = 0; i < rows.length; i++) {
    for (let k = 0; k < K; k++) exposures[i * width + k] = m[i * K + k]!;
    for (let k = K; k < width; k++) exposures[i * width + k] = others![i * (width - K) + k - K]!;
  }
  const [sizes, groups] = [returns.sizes(t, rows), beside?.groups(t, rows)];
  return { date, tickers, exposures, returns: Float64Array.from(rows, (n) => returns.values[t * N + n] ?? NaN), ...(sizes === undefined ? {} : { sizes }), ...(groups === undefined ? {} : { groups }) };
}

