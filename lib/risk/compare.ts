import { RISK_FILE } from "./risk-file.js";
import { join } from "node:path";
import type { Panel, PanelOptions } from "../data/panel.js";
import type { PanelSource } from "../data/source/panel-source.js";
import { invalidOption } from "../errors.js";
import { knownExposures } from "../evaluate/known-exposures.js";
import { writeFileAtomically } from "../model/atomic-write.js";
import type { RiskModel } from "./estimator.js";
import type { FactorForm } from "./factor-form.js";
import { EigenfactorJudge } from "./eigenfactors.js";
import { Judge, type RiskComparison } from "./judge.js";
import { KnownRows } from "./known-rows.js";
import type { RiskModelOptions } from "./options.js";
import { openWithGroups } from "./open-with-groups.js";
import { PanelReturns } from "./panel-returns.js";
import { sampleCovariances, type SampleCovarianceName } from "./sample-covariance.js";
import { walkRisk, type RiskStep, type WalkOptions } from "./walk.js";

/** Models that a run's is compared with. `style`: group dummies and the columns of the set `style` by ridge, all dates of the window with the same weight. */
export const COMPARED = ["sample", "lw", "oas", "pca", "style"] as const;
export type ComparedName = (typeof COMPARED)[number];

/** What is compared, on which dates. */
export interface CompareRiskOptions extends Pick<WalkOptions, "model" | "axes" | "split" | "signal"> {
  /** Default all: sample, lw, oas, pca, style. */
  readonly compare?: readonly ComparedName[] | undefined;
  /** Exposures beside M: `style`, `loadings`, `groups` and columns. Default none. */
  readonly exposures?: readonly string[] | undefined;
  /** Dates that the other covariances are estimated over. Default 252. */
  readonly window?: number | undefined;
  /** Dates after which `sample`, `lw`, `oas` and `pca` are estimated anew; the others are every date. Default 1. */
  readonly refresh?: number | undefined;
  /** K of `pca`. Default 20. */
  readonly components?: number | undefined;
  /** Column of capitalisations. Default: dollar volume stands for size. */
  readonly size?: string | undefined;
  /** The data at another place. Default: what the run was trained on. */
  readonly source?: PanelSource | Panel | undefined;
  /** Groups, for the model `style` and for portfolios of groups. Default: those of the run's data. */
  readonly groups?: PanelOptions["groups"] | undefined;
  /** Told after every date. */
  readonly onDate?: ((date: string) => void) | undefined;
}

/**
 * The risk model of a run against others, by forecasts of portfolios on the same dates and stocks: of a walk-forward the tests of all folds, and exposures of a date are
 * always known before the returns that they explain. Writes the run's model of the newest date beside it, as risk.safetensors.
 *
 * @example
 * const { models, pairs } = await compareRisk("runs/walk-forward", { compare: ["lw", "pca"] });
 * console.log(models["m"]!.qlike, pairs.map(({ b, portfolios, t }) => `${b} ${portfolios} ${t.toFixed(1)}`));
 * @throws AstgnnError ERR_OPTION; ERR_CHECKPOINT where the folder holds no run; ERR_DATA
 */
export async function compareRisk(folder: string, options: CompareRiskOptions = {}): Promise<RiskComparison> {
  const { compare = COMPARED, model, axes, exposures, window = 252, refresh = 1, components = 20, size, split, signal, onDate } = options;
  const unknown = compare.find((name) => !COMPARED.includes(name));
  if (unknown !== undefined) throw invalidOption("compare", `some of ${COMPARED.join(", ")}`, compare);
  if (!Number.isInteger(window) || window < 20) throw invalidOption("window", "a whole number from 20", window);
  if (!Number.isInteger(refresh) || refresh < 1) throw invalidOption("refresh", "a whole number from 1", refresh);
  const panel = await openWithGroups(folder, options);
  const [returns, N] = [await PanelReturns.of(panel, size, signal), panel.tickers.length];
  const samples = compare.filter((name): name is SampleCovarianceName => name !== "style");
  const judge = new Judge(["m", ...compare], panel.tickers);
  const eigenfactors = new EigenfactorJudge();
  const styleNames = panel.groups === undefined ? ["style"] : ["style", "groups"];
  const styles = compare.includes("style") ? await knownExposures(panel, styleNames, { signal }) : undefined;
  const styleWalk = styles === undefined ? undefined : walkRisk(styleNames, panel, returns, { model: fixed(window), signal });
  try {
    const portfolios = styles === undefined ? undefined : new KnownRows(styles, panel);
    let [style, newest]: [RiskStep?, RiskModel?] = [];
    let [sampled, estimated]: [Partial<Record<SampleCovarianceName, FactorForm>>, number] = [{}, -Infinity];
    for await (const { t, date, model: own, isOutOfSample } of walkRisk({ run: folder, exposures }, panel, returns, { model, axes, split, signal })) {
      while (styleWalk !== undefined && (style?.t ?? -1) < t) style = (await styleWalk.next()).value as RiskStep;
      newest = own;
      eigenfactors.add(own, isOutOfSample);
      if (!isOutOfSample || t + 1 >= panel.dates.length) continue;
      const m = own.form();
      if (samples.length > 0 && t >= estimated + refresh) [sampled, estimated] = [sampleCovariances(windowOf(returns, t, window, m.tickers), samples, components), t];
      const forms = { m, ...sampled, ...(style === undefined ? {} : { style: style.model.form() }) };
      judge.add({ date, forms, next: (ticker) => returns.values[(t + 1) * N + returns.stock(ticker)] ?? NaN, ...portfolios?.portfolios(t) });
      onDate?.(date);
    }
    if (split !== "valid" && newest !== undefined) await writeFileAtomically(join(folder, RISK_FILE), newest.write());
    return { ...judge.result(), eigenfactors: eigenfactors.result() };
  } finally {
    await styleWalk?.return(undefined);
    styles?.release();
  }
}

/** The static model: half-lives of half the window stand for its equal weights; no lags, no adjustment. */
const fixed = (window: number): RiskModelOptions => ({
  standardise: false, ridge: 0.01, volatilityHalfLife: window / 2, volatilityLags: 0, correlationHalfLife: window / 2, correlationLags: 0, regimeHalfLife: false,
  specificHalfLife: window / 2, specificLags: 0, structural: false, shrinkage: 0, residuals: false,
});

/** Returns of the window's dates up to t, of stocks that have four fifths of them. */
function windowOf(returns: PanelReturns, t: number, window: number, tickers: readonly string[]): { date: string; tickers: string[]; returns: Float64Array } {
  const [N, first] = [returns.tickers.length, Math.max(1, t + 1 - window)];
  const T = t + 1 - first;
  const rows = tickers.map((ticker) => returns.stock(ticker)).filter((n) => {
    let count = 0;
    for (let day = first; day <= t; day++) if (!Number.isNaN(returns.values[day * N + n]!)) count++;
    return count >= 0.8 * T;
  });
  const values = new Float64Array(T * rows.length);
  for (let d = 0; d < T; d++) for (const [i, n] of rows.entries()) values[d * rows.length + i] = returns.values[(first + d) * N + n]!;
  return { date: returns.dates[t]!, tickers: rows.map((n) => returns.tickers[n]!), returns: values };
}
