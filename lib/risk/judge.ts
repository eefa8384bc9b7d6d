import { testMean } from "../metrics/hac.js";
import { mean } from "../metrics/statistics.js";
import type { FactorForm } from "./factor-form.js";
import { type EigenBias, leadingPortfolios, RankedForecasts } from "./eigen-portfolios.js";
import type { EigenfactorBias } from "./eigenfactors.js";
import { Forecasts, type ForecastSummary } from "./forecasts.js";
import { longOnlyMinimumVariance, minimumVariance } from "./minimum-variance.js";
import { portfolioVariance, RandomPortfolios, type Portfolio } from "./portfolios.js";

/** Dates after which portfolios of least variance are solved anew. */
const REBALANCE = 21;
/** Weight that may be missing before they are solved anew earlier. */
const LEAST_HELD = 0.01;
/** Random portfolios of each kind. */
const RANDOM = 100;

/** Kinds of portfolios that models forecast. */
export type PortfolioKind = "longOnly" | "neutral" | "groups" | "styles" | "gmv";

/** A model's forecasts, judged. Means are over portfolios. */
export interface RiskJudgement {
  /** Mean QLIKE of the 200 random portfolios, and of the long-only portfolios of least variance of all models: ln s² + r²/s², lower is better. */
  readonly qlike: { readonly random: number; readonly gmv: number };
  /** Mean bias of the random portfolios: 1 where forecasts are right. */
  readonly bias: number;
  /** Mean over the random portfolios; about .17 for normal returns. */
  readonly mrad: number;
  /** Mean Q of the random portfolios; 2.27 for normal returns. */
  readonly q: number;
  /** Share of the random portfolios whose bias lies from .9 to 1.1. */
  readonly biasWithin: number;
  /** Annual volatility that came of its own long-only portfolio of least variance. */
  readonly gmvVolatility: number;
  /** Bias of the forecast of that portfolio: optimisers choose what is underestimated. */
  readonly gmvBias: number;
  /** The same volatility with weights of either sign; null where the covariance is singular. */
  readonly gmvLongShortVolatility: number | null;
  /** The 20 leading eigenvectors of its own covariance, solved anew with its portfolios of least variance, by its own forecasts. */
  readonly eigen: EigenBias;
  /** By kind of portfolio. */
  readonly kinds: Readonly<Partial<Record<PortfolioKind, { readonly portfolios: number; readonly bias: number; readonly mrad: number; readonly q: number; readonly qlike: number }>>>;
}

/** Two models compared by Diebold and Mariano on daily QLIKE. */
export interface RiskPair {
  readonly a: string;
  readonly b: string;
  readonly portfolios: "random" | "gmv";
  /** Of the mean of QLIKE_a - QLIKE_b, Newey-West: negative, a is better. */
  readonly t: number;
  /** That mean, and its Newey-West standard error. */
  readonly difference: number;
  readonly standardError: number;
}

/** What models of risk are worth, on the same dates and stocks. */
export interface RiskComparison {
  readonly models: Readonly<Record<string, RiskJudgement>>;
  /** The first model against each other. */
  readonly pairs: readonly RiskPair[];
  readonly first: string;
  readonly last: string;
  readonly dates: number;
  /** Mean number of stocks of a date that every model covers. */
  readonly stocks: number;
  /** Of the first model: what the eigenfactor adjustment does to forecasts of the eigenvectors of its factor covariance, used by it or not. */
  readonly eigenfactors?: EigenfactorBias;
}

/** What a date is judged by. */
export interface JudgedDate {
  readonly date: string;
  /** Forms of the same date. */
  readonly forms: Readonly<Record<string, FactorForm>>;
  /** Return of a ticker from this date to the next, NaN where there is none. */
  readonly next: (ticker: string) => number;
  /** Stocks by group, and stocks' exposures to styles, for portfolios of them. */
  readonly groups?: ReadonlyMap<string, readonly string[]> | undefined;
  readonly styles?: ReadonlyMap<string, ReadonlyMap<string, number>> | undefined;
}

/** Collects forecasts date by date. */
export class Judge {
  readonly #models: readonly string[];
  readonly #random: readonly { readonly kind: "longOnly" | "neutral"; readonly portfolios: RandomPortfolios }[];
  /** By model, then kind and portfolio. */
  readonly #forecasts: Map<string, Map<string, Forecasts>>;
  readonly #losses: { readonly random: Map<string, number[]>; readonly gmv: Map<string, number[]> };
  /** Own portfolios, by model: weights by ticker. */
  #held = new Map<string, { readonly long: ReadonlyMap<string, number>; readonly longShort: ReadonlyMap<string, number> | undefined; readonly eigen: readonly ReadonlyMap<string, number>[] }>();
  readonly #longShort: Map<string, Forecasts>;
  readonly #eigen: Map<string, RankedForecasts>;
  #sinceRebalance = 0;
  #dates: string[] = [];
  #stocks = 0;

  constructor(models: readonly string[], tickers: readonly string[], seed = 0) {
    this.#models = models;
    this.#random = [{ kind: "longOnly", portfolios: new RandomPortfolios(tickers, RANDOM, false, seed) }, { kind: "neutral", portfolios: new RandomPortfolios(tickers, RANDOM, true, seed) }];
    const perModel = <V>(make: () => V): Map<string, V> => new Map(models.map((name) => [name, make()]));
    this.#forecasts = perModel(() => new Map());
    this.#longShort = perModel(() => new Forecasts());
    this.#eigen = perModel(() => new RankedForecasts());
    this.#losses = { random: perModel(() => []), gmv: perModel(() => []) };
  }

  /** Takes a date in: stocks that every model covers and that have a next return. */
  add({ date, forms, next, groups, styles }: JudgedDate): void {
    const [first, ...others] = this.#models.map((name) => forms[name]!);
    const everywhere = others.map(({ tickers }) => new Set(tickers));
    const rows = Int32Array.from(first!.tickers.keys()).filter((row) => {
      const ticker = first!.tickers[row]!;
      return everywhere.every((set) => set.has(ticker)) && !Number.isNaN(next(ticker));
    });
    if (rows.length < 2) return;
    const tickers = first!.tickers;
    if (this.#held.size === 0 || ++this.#sinceRebalance >= REBALANCE || this.#lacksHoldings(tickers, rows)) this.#rebalance(forms, tickers, rows);
    this.#dates.push(date);
    this.#stocks += rows.length;
    const returns = Float64Array.from(tickers, next);
    const variances = new Map(this.#models.map((name) => {
      const form = forms[name]!;
      const index = new Map(form.tickers.map((ticker, i) => [ticker, i]));
      const own = Int32Array.from(tickers, (ticker) => index.get(ticker) ?? -1);
      const variance = portfolioVariance(form);
      return [name, (portfolio: Portfolio) => variance(portfolio.rows.map((row) => own[row]!), portfolio.weights)];
    }));
    const losses = new Map(this.#models.map((name) => [name, { random: [] as number[], gmv: [] as number[] }]));
    const forecast = (kind: PortfolioKind, label: string, portfolio: Portfolio): void => {
      let value = 0;
      for (const [i, row] of portfolio.rows.entries()) value += portfolio.weights[i]! * returns[row]!;
      for (const name of this.#models) {
        const forecasts = this.#of(name, `${kind}:${label}`);
        forecasts.add(value, variances.get(name)!(portfolio));
        if (kind === "longOnly" || kind === "neutral") losses.get(name)!.random.push(forecasts.newestLoss);
        if (kind === "gmv") losses.get(name)!.gmv.push(forecasts.newestLoss);
      }
    };
    for (const { kind, portfolios } of this.#random) for (const [p, portfolio] of portfolios.of(tickers, rows).entries()) if (portfolio !== undefined) forecast(kind, String(p), portfolio);
    for (const [group, members] of groups ?? []) {
      const inside = new Set(members);
      const held = rows.filter((row) => inside.has(tickers[row]!));
      if (held.length >= 5) forecast("groups", group, { rows: held, weights: new Float64Array(held.length).fill(1 / held.length) });
    }
    for (const [style, exposures] of styles ?? []) {
      const portfolio = styled(tickers, rows, exposures);
      if (portfolio !== undefined) forecast("styles", style, portfolio);
    }
    for (const [name, { long, longShort, eigen }] of this.#held) {
      for (const [rank, vector] of eigen.entries()) {
        const held = rows.filter((row) => vector.has(tickers[row]!));
        const own = { rows: held, weights: Float64Array.from(held, (row) => vector.get(tickers[row]!)!) };
        this.#eigen.get(name)!.add(rank, own.rows.reduce((sum, row, i) => sum + own.weights[i]! * returns[row]!, 0), variances.get(name)!(own));
      }
      const portfolio = weighted(tickers, rows, long);
      if (portfolio !== undefined) forecast("gmv", name, portfolio);
      const other = longShort === undefined ? undefined : weighted(tickers, rows, longShort);
      if (other === undefined) continue;
      this.#longShort.get(name)!.add(other.rows.reduce((sum, row, i) => sum + other.weights[i]! * returns[row]!, 0), variances.get(name)!(other));
    }
    for (const [name, { random, gmv }] of losses) {
      this.#losses.random.get(name)!.push(mean(random));
      this.#losses.gmv.get(name)!.push(mean(gmv));
    }
  }

  result(): RiskComparison {
    return {
      models: Object.fromEntries(this.#models.map((name) => [name, this.#judgement(name)])),
      pairs: this.#models.slice(1).flatMap((b) => (["random", "gmv"] as const).map((portfolios) => this.#pair(this.#models[0]!, b, portfolios))),
      first: this.#dates[0] ?? "", last: this.#dates.at(-1) ?? "", dates: this.#dates.length, stocks: this.#stocks / Math.max(1, this.#dates.length),
    };
  }

  #judgement(name: string): RiskJudgement {
    const all = Array.from(this.#forecasts.get(name)!, ([key, forecasts]) => ({ kind: key.slice(0, key.indexOf(":")) as PortfolioKind, label: key.slice(key.indexOf(":") + 1), ...forecasts.summary() }));
    const random = all.filter(({ kind }) => kind === "longOnly" || kind === "neutral");
    const own = all.find(({ kind, label }) => kind === "gmv" && label === name);
    const longShort = this.#longShort.get(name)!;
    const average = (of: readonly ForecastSummary[], field: keyof ForecastSummary): number => mean(of.map((summary) => summary[field]));
    const kinds = [...new Set(all.map(({ kind }) => kind))];
    return {
      qlike: { random: mean(this.#losses.random.get(name)!), gmv: mean(this.#losses.gmv.get(name)!) },
      bias: average(random, "bias"), mrad: average(random, "mrad"), q: average(random, "q"),
      biasWithin: random.filter(({ bias }) => bias >= 0.9 && bias <= 1.1).length / random.length,
      gmvVolatility: own?.realised ?? NaN, gmvBias: own?.bias ?? NaN,
      eigen: this.#eigen.get(name)!.bias(),
      gmvLongShortVolatility: longShort.dates > 0 ? longShort.summary().realised : null,
      kinds: Object.fromEntries(kinds.map((kind) => {
        const of = all.filter((one) => one.kind === kind);
        return [kind, { portfolios: of.length, bias: average(of, "bias"), mrad: average(of, "mrad"), q: average(of, "q"), qlike: average(of, "qlike") }];
      })),
    };
  }

  #pair(a: string, b: string, portfolios: "random" | "gmv"): RiskPair {
    const [one, two] = [this.#losses[portfolios].get(a)!, this.#losses[portfolios].get(b)!];
    const { mean: difference, standardError, t } = testMean(one.map((loss, i) => loss - two[i]!));
    return { a, b, portfolios, t, difference, standardError };
  }

  #rebalance(forms: Readonly<Record<string, FactorForm>>, tickers: readonly string[], rows: Int32Array): void {
    const wanted = Array.from(rows, (row) => tickers[row]!);
    this.#sinceRebalance = 0;
    this.#held = new Map(this.#models.map((name) => {
      const form = forms[name]!;
      const index = new Map(form.tickers.map((ticker, i) => [ticker, i]));
      const own = Int32Array.from(wanted, (ticker) => index.get(ticker)!);
      const byTicker = (weights: Float64Array): Map<string, number> => new Map(wanted.map((ticker, i) => [ticker, weights[i]!]));
      const longShort = minimumVariance(form, own);
      return [name, { long: byTicker(longOnlyMinimumVariance(form, own)), longShort: longShort === undefined ? undefined : byTicker(longShort), eigen: leadingPortfolios(form, own).map(byTicker) }];
    }));
  }

  /** Whether a portfolio would be another one without the stocks that are not there: scaled up, its remainder is not what was solved for. */
  #lacksHoldings(tickers: readonly string[], rows: Int32Array): boolean {
    const there = new Set(Array.from(rows, (row) => tickers[row]!));
    return [...this.#held.values()].some(({ long }) => Array.from(long).reduce((sum, [ticker, weight]) => (there.has(ticker) ? sum : sum + weight), 0) > LEAST_HELD);
  }

  #of(name: string, key: string): Forecasts {
    const own = this.#forecasts.get(name)!;
    const found = own.get(key) ?? new Forecasts();
    own.set(key, found);
    return found;
  }
}

/** Weights of the stocks that are there, scaled to the sum that they had. */
function weighted(tickers: readonly string[], rows: Int32Array, weights: ReadonlyMap<string, number>): Portfolio | undefined {
  const own = Float64Array.from(rows, (row) => weights.get(tickers[row]!) ?? 0);
  const total = own.reduce((sum, weight) => sum + weight, 0);
  return total > 0 ? { rows, weights: own.map((weight) => weight / total) } : undefined;
}

/** Long what has more of a style than the mean, short what has less: weights whose absolute values sum to 1. */
function styled(tickers: readonly string[], all: Int32Array, exposures: ReadonlyMap<string, number>): Portfolio | undefined {
  const rows = all.filter((row) => Number.isFinite(exposures.get(tickers[row]!)));
  const values = Float64Array.from(rows, (row) => exposures.get(tickers[row]!)!);
  const centre = mean(Array.from(values));
  const gross = values.reduce((sum, value) => sum + Math.abs(value - centre), 0);
  return gross > 0 ? { rows, weights: values.map((value) => (value - centre) / gross) } : undefined;
}
