import { checkState, refuseForm, unusable } from "./check-risk.js";
import { AstgnnError } from "../errors.js";
import { requireTexts, resolveOptions } from "../options.js";
import { crossSection, winsorise } from "./factor-returns.js";
import { FactorCovariance } from "./factor-covariance.js";
import type { FactorForm } from "./factor-form.js";
import { RiskModelOptionsSchema, type ResolvedRiskModel, type RiskModelOptions } from "./options.js";
import { meanSquare, Regime } from "./regime.js";
import { DecayedVariances } from "./decayed-variances.js";
import { checkRiskDate, type RiskDate } from "./risk-date.js";
import { readRisk, writeRisk } from "./risk-file.js";
import { Residuals, withResiduals } from "./residuals.js";
import { LEAST_DATES, SpecificRisk } from "./specific-risk.js";

/** Name of the factor that every stock has an exposure of 1 to. */
export const MARKET = "market";
/** Dates after which forecasts are good enough to be compared with what came. */
const REGIME_FROM = 42;

/** Returns of a stock from which on it has a volatility of its own, and the least one as a share of the median. */
const LEAST_RETURNS = 20;
const LEAST_SCALE = 0.001;

/** A date's regression, as a record of how well the factors explain. */
export interface FactorReturns {
  readonly date: string;
  /** In the order of {@link RiskModel.factors}. */
  readonly returns: Float64Array;
  /** Weighted R² of the date's returns on the exposures of the date before; NaN where it has none. */
  readonly r2: number;
  readonly stocks: number;
  readonly winsorised: number;
}

/**
 * A factor risk model that learns date by date: {@link RiskModel.update} extends sums, whatever the length of the history, and {@link RiskModel.form} is the
 * covariance of the next date's returns as of the newest date. After Menchero, Orr and Wang (2011), USE4.
 */
export class RiskModel {
  /** The market, the exposures, then the groups; a form may have factors of residuals behind them. */
  readonly factors: readonly string[];
  readonly options: ResolvedRiskModel;
  readonly #exposures: readonly string[];
  readonly #groups: readonly string[];
  readonly #covariance: FactorCovariance;
  readonly #specific: SpecificRisk;
  readonly #residuals: Residuals | undefined;
  readonly #regimes: { readonly factors: Regime; readonly specific: Regime } | undefined;
  /** Volatilities of stocks' own returns, by slot, where returns are standardised by them. */
  readonly #scale: DecayedVariances | undefined;
  readonly #scaleCounts: number[] = [];
  #scales: Float64Array | undefined;
  readonly #slots = new Map<string, number>();
  readonly #history: FactorReturns[] = [];
  #newest: RiskDate | undefined;
  #own: Float64Array | undefined;
  /** Whether its state was read from a file. */
  #isStored = false;
  #volatilities: Float64Array | undefined;

  /**
   * @param exposures names of the columns of every date's exposures
   * @param groups names of the groups, where dates have groups
   * @throws AstgnnError ERR_OPTION
   */
  constructor(exposures: readonly string[], groups: readonly string[] = [], options: RiskModelOptions = {}) {
    this.options = resolveOptions(RiskModelOptionsSchema, options, "riskModel");
    requireTexts(exposures, "exposures", "names of exposures");
    requireTexts(groups, "groups", "names of groups");
    this.#exposures = exposures;
    this.#groups = groups;
    this.factors = [MARKET, ...exposures, ...groups];
    this.#covariance = new FactorCovariance(this.factors.length, this.options);
    this.#specific = new SpecificRisk({ halfLife: this.options.specificHalfLife, lags: this.options.specificLags, structural: this.options.structural, shrinkage: this.options.shrinkage, buckets: this.options.sizeBuckets });
    const { regimeHalfLife, standardise, residuals } = this.options;
    this.#residuals = residuals === false ? undefined : new Residuals(this.factors.length, residuals);
    this.#scale = standardise === false ? undefined : new DecayedVariances(0, standardise, 0, false);
    this.#regimes = regimeHalfLife === false ? undefined : { factors: new Regime(regimeHalfLife), specific: new Regime(regimeHalfLife) };
  }

  /** The newest date; undefined before the first. */
  get date(): string | undefined {
    return this.#newest?.date;
  }

  /** Dates whose returns were explained. */
  get dates(): number {
    return this.#covariance.count;
  }

  /** Factor returns and R² of every date since the model was made or loaded. */
  get history(): readonly FactorReturns[] {
    return this.#history;
  }

  /**
   * Takes a date in: its returns are explained by the exposures of the date before, its exposures are kept for the next.
   *
   * @throws AstgnnError ERR_DATA naming ticker, date and factor: a date that is not after the newest, a ticker that stands twice, an exposure that is NaN in part, a
   *   price of zero; ERR_SHAPE
   */
  update(day: RiskDate): void {
    checkRiskDate(day, this.#exposures, this.#groups.length, this.date);
    const before = this.#newest;
    this.#newest = known(day, this.#exposures.length);
    if (before === undefined) return this.#learnScale(day);
    const returns = new Float64Array(before.tickers.length).fill(NaN);
    const at = new Map(day.tickers.map((ticker, i) => [ticker, i]));
    for (const [i, ticker] of before.tickers.entries()) returns[i] = day.returns[at.get(ticker) ?? -1] ?? NaN;
    const scales = this.#scalesOf(before.tickers);
    if (scales !== undefined) for (const [i, scale] of scales.entries()) returns[i]! /= scale;
    this.#learnScale(day);
    const count = returns.reduce((sum, value) => sum + (Number.isNaN(value) ? 0 : 1), 0);
    if (count === 0) return;
    const winsorised = this.options.winsorise === false ? 0 : winsorise(returns, this.options.winsorise);
    const exposures = this.#matrix(before);
    const { factorReturns, residuals, r2 } = crossSection({
      exposures, returns, weights: this.#weightsOf(before), factors: this.factors.length,
      constraint: this.#groups.length === 0 ? undefined : { first: 1 + this.#exposures.length, weights: groupWeights(before, this.#groups.length) },
      ridge: this.options.ridge, ridgeFrom: 1,
    });
    const bySlot = this.#bySlot(before.tickers, residuals);
    if (this.#regimes !== undefined && this.dates >= REGIME_FROM) {
      this.#regimes.factors.update(meanSquare(factorReturns, this.#factorVolatilities()));
      this.#regimes.specific.update(meanSquare(bySlot, this.#ownVolatilities()));
    }
    this.#covariance.update(factorReturns);
    this.#specific.update(bySlot);
    this.#residuals?.update(factorReturns, bySlot);
    this.#own = this.#volatilities = undefined;
    this.#history.push({ date: day.date, returns: factorReturns, r2, stocks: count, winsorised });
  }

  /**
   * Covariance of the next date's returns, of the stocks of the newest date.
   *
   * @throws AstgnnError ERR_DATA where there are not more dates than factors, whose covariance would be singular, or no stock has the 60 returns that a specific volatility
   *   is taken from; ERR_CHECKPOINT where a model that was read from a file gives numbers that are none
   */
  form(): FactorForm {
    const formed = this.#formed();
    if (formed instanceof AstgnnError) throw formed;
    return formed;
  }

  #formed(): FactorForm | AstgnnError {
    const day = this.#newest;
    const K = this.factors.length;
    if (day === undefined || this.dates <= K) {
      return new AstgnnError("ERR_DATA", `A risk model of ${K} factors (${this.factors.slice(0, 4).join(", ")}${K > 4 ? ", ..." : ""}) has the returns of ${this.dates} dates: its factor covariance is singular.`, {
        ...(day === undefined ? {} : { date: day.date }), next: "Give it more dates than factors, or fewer factors.",
      });
    }
    const exposures = this.#matrix(day);
    const factorCovariance = this.#covariance.covariance();
    const slots = Int32Array.from(day.tickers, (ticker) => this.#slots.get(ticker) ?? -1);
    const volatilities = this.#specific.volatilities(this.#ownVolatilities(), slots, exposures, K, day.sizes === undefined ? undefined : Float64Array.from(day.sizes));
    const unknown = volatilities.findIndex(Number.isNaN);
    if (unknown >= 0) {
      return new AstgnnError("ERR_DATA", `A risk model knows a specific volatility from a stock with ${LEAST_DATES} returns on that its factors leave something of, and ${day.tickers[unknown]} with all others of ${day.date} has none: the model has the returns of ${this.dates} dates.`, {
        date: day.date, next: "Give it more dates, or fewer factors.",
      });
    }
    const scales = this.#scalesOf(day.tickers);
    if (scales !== undefined) for (const [i, scale] of scales.entries()) for (let k = 0; k < K; k++) exposures[i * K + k]! *= scale;
    const [common, specific] = [this.#regimes?.factors.variance ?? 1, this.#regimes?.specific.variance ?? 1];
    const form: FactorForm = {
      date: day.date,
      tickers: day.tickers,
      factors: this.factors,
      exposures,
      factorCovariance: factorCovariance.map((value) => value * common),
      specificVariance: volatilities.map((value, i) => (value * (scales?.[i] ?? 1)) ** 2 * specific),
    };
    const found = this.#residuals?.common();
    const whole = found === undefined ? form : withResiduals(form, slots, found);
    if (this.#isStored) refuseForm(whole);
    return whole;
  }

  /**
   * The model as a safetensors file: tensors `exposures`, `factor_covariance` and `specific_variance` of the newest date for other readers, and the state that
   * {@link RiskModel.read} goes on from.
   */
  write(): Uint8Array {
    const formed = this.#formed();
    return writeRisk({
      form: formed instanceof AstgnnError ? undefined : formed,
      day: this.#newest, exposures: this.#exposures, groups: this.#groups, slots: [...this.#slots.keys()], options: this.options,
      state: {
        ...named("covariance", this.#covariance.state()), ...named("specific", this.#specific.state()), ...(this.#residuals === undefined ? {} : named("residuals", this.#residuals.state())),
        ...(this.#scale === undefined ? {} : { "scale.variances": this.#scale.state(), "scale.counts": Float64Array.from(this.#slots.values(), (slot) => this.#scaleCounts[slot] ?? 0) }),
        ...(this.#regimes === undefined ? {} : { "regime.factors": this.#regimes.factors.state(), "regime.specific": this.#regimes.specific.state() }),
      },
    });
  }

  /**
   * A model from the bytes of {@link RiskModel.write}: told the next date, it is to the last bit the one that was written. Its history of factor returns begins anew.
   *
   * @throws AstgnnError ERR_CHECKPOINT
   */
  static read(bytes: Uint8Array): RiskModel {
    const { day, exposures, groups, slots, options, state } = readRisk(bytes);
    const model = storedModel(exposures, groups, options);
    checkState({ slots, state }, model.factors.length, model.options);
    if (new Set(slots).size < slots.length) throw unusable("a ticker has two slots");
    if (day !== undefined) checkDay(day, exposures, groups);
    model.#isStored = true;
    for (const ticker of slots) model.#slots.set(ticker, model.#slots.size);
    model.#newest = day;
    const part = (name: string): Record<string, Float64Array> => Object.fromEntries(Object.entries(state).flatMap(([key, value]) => (key.startsWith(`${name}.`) ? [[key.slice(name.length + 1), value as Float64Array]] : [])));
    model.#covariance.restore(part("covariance"));
    model.#specific.restore(part("specific"));
    model.#residuals?.restore(part("residuals"));
    const scale = part("scale");
    model.#scale?.restore(scale["variances"]!);
    model.#scaleCounts.push(...(scale["counts"] ?? []));
    const regimes = part("regime");
    model.#regimes?.factors.restore(regimes["factors"]!);
    model.#regimes?.specific.restore(regimes["specific"]!);
    return model;
  }

  /** Specific volatility of every slot, by its own history. */
  #ownVolatilities(): Float64Array {
    return (this.#own ??= this.#specific.own());
  }

  #factorVolatilities(): Float64Array {
    return (this.#volatilities ??= this.#covariance.volatilities());
  }

  /** Takes a date's own returns into the volatilities that later ones are divided by. */
  #learnScale({ tickers, returns }: RiskDate): void {
    if (this.#scale === undefined) return;
    const own = this.#bySlot(tickers, Float64Array.from(returns));
    if (own.length > this.#scale.size) this.#scale.grow(own.length);
    for (const [slot, value] of own.entries()) if (!Number.isNaN(value)) this.#scaleCounts[slot] = (this.#scaleCounts[slot] ?? 0) + 1;
    this.#scale.update(own);
    this.#scales = undefined;
  }

  /** Volatilities of stocks' own returns; of one with fewer than 20, the median. Undefined where returns are not standardised. */
  #scalesOf(tickers: readonly string[]): Float64Array | undefined {
    if (this.#scale === undefined) return undefined;
    const all = (this.#scales ??= this.#scale.variances().map(Math.sqrt));
    const own = Float64Array.from(tickers, (ticker) => {
      const slot = this.#slots.get(ticker) ?? -1;
      return (this.#scaleCounts[slot] ?? 0) >= LEAST_RETURNS ? all[slot]! : NaN;
    });
    const known = own.filter((value) => value > 0).sort();
    const median = known[known.length >> 1] ?? 1;
    // A price that never moves would be held to be without risk.
    return own.map((value) => (Number.isNaN(value) ? median : Math.max(value, LEAST_SCALE * median)));
  }

  /** Returns that are standardised are alike uncertain. */
  #weightsOf(day: RiskDate): Float64Array {
    return day.sizes === undefined || this.#scale !== undefined ? new Float64Array(day.tickers.length).fill(1) : Float64Array.from(day.sizes, Math.sqrt);
  }

  #bySlot(tickers: readonly string[], residuals: Float64Array): Float64Array {
    for (const ticker of tickers) if (!this.#slots.has(ticker)) this.#slots.set(ticker, this.#slots.size);
    const out = new Float64Array(this.#slots.size).fill(NaN);
    for (const [i, ticker] of tickers.entries()) out[this.#slots.get(ticker)!] = residuals[i]!;
    return out;
  }

  /**
   * Exposures with the market before and dummies of groups behind: [stocks, factors]. Exposures are taken from their mean by the weights of the regression: the market's
   * return then is the mean return, and its volatility not what other factors cancel.
   */
  #matrix(day: RiskDate): Float64Array {
    const { tickers, exposures, groups } = day;
    const [K, own] = [this.factors.length, this.#exposures.length];
    const out = new Float64Array(tickers.length * K);
    const weights = this.#weightsOf(day);
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const mean = new Float64Array(own);
    for (let i = 0; i < tickers.length; i++) for (let k = 0; k < own; k++) mean[k]! += (weights[i]! * exposures[i * own + k]!) / total;
    for (let i = 0; i < tickers.length; i++) {
      out[i * K] = 1;
      for (let k = 0; k < own; k++) out[i * K + 1 + k] = exposures[i * own + k]! - mean[k]!;
      const group = groups?.[i] ?? -1;
      if (group >= 0) out[i * K + 1 + own + group] = 1;
    }
    return out;
  }
}

function named(name: string, state: Readonly<Record<string, Float64Array | Float32Array>>): Record<string, Float64Array | Float32Array> {
  return Object.fromEntries(Object.entries(state).map(([key, value]) => [`${name}.${key}`, value]));
}

/** A copy without the stocks that are not in. */
function known({ date, tickers, returns, exposures, groups, sizes }: RiskDate, K: number): RiskDate {
  const rows = tickers.map((_, i) => i).filter((i) => K === 0 || Number.isFinite(exposures[i * K]));
  const values = new Float64Array(rows.length * K);
  for (const [to, i] of rows.entries()) for (let k = 0; k < K; k++) values[to * K + k] = exposures[i * K + k]!;
  return {
    date, tickers: rows.map((i) => tickers[i]!), returns: Float64Array.from(rows, (i) => returns[i]!), exposures: values,
    ...(groups === undefined ? {} : { groups: Int32Array.from(rows, (i) => groups[i]!) }),
    ...(sizes === undefined ? {} : { sizes: Float64Array.from(rows, (i) => sizes[i]!) }),
  };
}

/** What the returns of groups are weighted by where they are to sum to 0: capitalisation, or the number of stocks. */
function groupWeights({ groups, sizes }: RiskDate, count: number): Float64Array {
  const out = new Float64Array(count);
  for (let i = 0; i < (groups?.length ?? 0); i++) if (groups![i]! >= 0) out[groups![i]!]! += sizes?.[i] ?? 1;
  const total = out.reduce((sum, value) => sum + value, 0);
  return total > 0 ? out.map((value) => value / total) : out;
}

/** The model of a file, whose options may be anything. */
function storedModel(exposures: readonly string[], groups: readonly string[], options: object): RiskModel {
  try {
    return new RiskModel(exposures, groups, options);
  } catch (error) {
    throw unusable((error as Error).message);
  }
}

/** The newest date of a file. */
function checkDay(day: RiskDate, exposures: readonly string[], groups: readonly string[]): void {
  try {
    checkRiskDate(day, exposures, groups.length, undefined);
  } catch (error) {
    throw unusable((error as Error).message);
  }
}
