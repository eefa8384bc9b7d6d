import { evaluate, type EvaluateOptions } from "../../lib/metrics/evaluate.js";
import { randomBits } from "../../lib/metrics/random.js";
import type { PanelValues } from "../../lib/data/types.js";
import type { ReportNumbers } from "../../lib/report/numbers.js";
import type { BacktestNumbers } from "../../lib/report/sections/backtest.js";

/** Predictions and labels of a market in which the first know something of the second, and what else an evaluation takes. */
export function market(dates: number, stocks: number, skill = 0.1, seed = 1, first = "2016-01-04") {
  const random = normals(seed);
  const days = weekdays(first, dates + 25);
  const tickers = Array.from({ length: stocks }, (_, n) => (n === 0 ? "<script>alert(1)</script>" : `S${String(n).padStart(3, "0")}`)).sort();
  const values = (from: readonly string[], data: Float64Array): PanelValues => ({ data, shape: [from.length, stocks], dates: from, tickers });
  const returns = Float64Array.from({ length: days.length * stocks }, () => 0.02 * random());
  const closes = new Float64Array(days.length * stocks);
  for (let i = 0; i < closes.length; i++) closes[i] = i < stocks ? 100 : closes[i - stocks]! * (1 + returns[i]!);
  const labels = Float64Array.from({ length: dates * stocks }, (_, i) => closes[i + stocks]! / closes[i]! - 1);
  const predictions = labels.map((label) => skill * (label / 0.02) + random());
  const own = days.slice(0, dates);
  const industries = ["Chemistry & oil", "<script>alert(2)</script>", "Very long names of industries that nobody wants to read to their end", "Retail"];
  const options: EvaluateOptions = {
    horizonDays: 1,
    lagDays: 0,
    bootstrapDraws: 200,
    closes: values(days, closes),
    groups: { codes: Int32Array.from({ length: dates * stocks }, (_, i) => (i % stocks) % industries.length), names: industries },
    sizes: values(own, Float64Array.from({ length: dates * stocks }, (_, i) => 1 + (i % stocks))),
    exposures: { beta: values(own, Float64Array.from({ length: dates * stocks }, random)), "<b>size</b>": values(own, Float64Array.from({ length: dates * stocks }, (_, i) => i % stocks)) },
  };
  return { predictions: values(own, predictions), labels: values(own, labels), options };
}

/** Report numbers as report.json gives them back: NaN is null. */
export function stored(numbers: object): ReportNumbers {
  return JSON.parse(JSON.stringify({ schemaVersion: 1, subject: { name: "scores.parquet", kind: "predictions", prices: "prices.parquet" }, ...numbers })) as ReportNumbers;
}

/** A report with everything that a run can have. */
export function fullReport(): ReportNumbers {
  const [test, valid] = [market(420, 40), market(120, 40, 0.12, 2, "2015-07-01")];
  const told = { loss: 0.9, terms: { ic: -0.05 }, mse: 1.1, effectiveNeighbours: 31.5, selfWeight: 0.02, emptyShare: 0, peerCorrelation: 0.12, largestHub: 12, hubSkewness: 1.1 };
  const of = ({ predictions, labels, options }: ReturnType<typeof market>) => ({ ...evaluate(predictions, labels, options), ...told });
  const epochs = [1, 2, 3, 4, 5];
  const part = (first: string, last: string, dates: number) => ({ first, last, dates, rows: dates * 40 });
  return stored({
    subject: { name: "first", kind: "run" },
    bestEpoch: 3,
    train: { ...of(market(60, 40, 0.2, 3)), daily: undefined },
    valid: of(valid),
    test: of(test),
    byDate: { valid: byDate(valid.predictions.dates), test: byDate(test.predictions.dates) },
    trials: ["/runs/second"],
    command: "astgnn train --data prices.parquet --out runs/first",
    history: epochs.map((epoch) => ({
      epoch, seed: 0, learningRate: 0.001, isBest: epoch === 3,
      train: { loss: 1 / (1 + epoch), terms: { ic: -0.02 * epoch, coMovement: -0.01 * epoch }, undefinedDates: {}, steps: 10, emptySteps: 0, rows: 400, gradientNorm: 1 / epoch },
      valid: { ic: 0.04 - 0.003 * (epoch - 3) ** 2, icir: 0.4, rankIc: 0.035, rankIcir: 0.3, hitRate: 0.51, mse: 1.2, loss: 0.95, terms: { ic: -0.04 }, dates: 120, rows: 4800, effectiveNeighbours: 39 - epoch, selfWeight: 0, emptyShare: 0, peerCorrelation: 0.03 * epoch, largestHub: 14, hubSkewness: 1 },
    })),
    run: {
      config: { numRiskFactors: 32, sequentialInputSize: 20, gruHiddenSize: 64 }, dtype: "float32", parameters: 137633, training: { loss: "ic", epochs: 5, seed: 0 }, seeds: { model: 0, train: 0 },
      source: "/data/prices <script>.parquet", panel: {}, dataset: { features: "ohlcv", window: 16, label: { horizonDays: 1, lagDays: 0 } }, fingerprint: "6bb0686e", threads: 2, device: "cpu", kernels: { isa: "avx2", precision: "high" },
      split: { train: part("2013-01-02", "2015-06-30", 600), valid: part("2015-07-01", "2015-12-30", 120), test: part("2016-01-04", "2017-08-11", 420) },
      versions: { astgnn: "0.1.0", libtorch: "2.15.0", node: "20.20.2" }, hardware: { cpu: "Xeon", cores: 2, memoryBytes: 8e9, platform: "linux-x64" },
      warnings: [{ reason: "graph_is_average", text: "A has 39 effective neighbours of 40 allowed.", seed: 0 }],
    },
    ledger: { entries: [{ stage: "source", reason: "zero_open", count: 3450, unit: "values", text: "values of <script>open</script> are zero, which means missing" }], rowsRead: 100000, rowsKept: 96550 },
    comparison: {
      dates: 420, rows: 16800, rowsLeftOut: 0, model: { name: "model", ic: 0.11, rankIc: 0.1, icir: 0.7, icT: 13, rankIcT: 12 },
      baselines: ["reversal of one day", "momentum <b>252 less 21</b>", "ridge"].map((name, i) => ({
        name, ic: 0.02 * i - 0.01, rankIc: 0.01 * i, icir: 0.1, icT: 2 * i - 1.5, rankIcT: 1.5, difference: { mean: 0.08, standardError: 0.01, t: 8, p: 1e-9, lag: 5 }, missing: 10 * i,
      })),
      leftOut: [{ name: "GRU without a graph", reason: "the run has no folder of it" }],
    },
    explanations: {
      date: "2017-08-11",
      top: ["S001", "<script>", "S003"].map((ticker, i) => explained(ticker, 0.9 - 0.1 * i)),
      bottom: ["S007", "S008"].map((ticker, i) => explained(ticker, -0.8 + 0.1 * i)),
    },
    backtests: [backtestOf("mean-variance", test.predictions.dates, 1), backtestOf("top <script>", test.predictions.dates.slice(30), 7)],
    risk: riskOf(),
    audit: {
      passed: false,
      findings: [
        { code: "full_sample_scaling", severity: "fail", columns: ["close", "ma5", "<script>"], value: 0.98, threshold: 0.9, text: "The greatest close of 98.0 % of the stocks is 1.", next: "Scale by values up to the date alone." },
        { code: "hindsight_universe", severity: "warn", value: 0.93, threshold: 0.5, text: "93.0 % of the stocks are there from the first to the last date.", next: "Take the stocks of each date." },
      ],
      checks: ["values of later dates", "scaling by the whole sample"],
    },
  });
}

function riskOf(): NonNullable<ReportNumbers["risk"]> {
  const model = (shift: number, isSingular = false) => ({ qlike: { random: -8.9 + shift, gmv: -11.2 + shift }, bias: 1 + shift, mrad: 0.2, q: 2.4, biasWithin: 0.9 - shift, gmvVolatility: 0.012 + shift / 50, gmvBias: 1.1, gmvLongShortVolatility: isSingular ? null : 0.02 });
  const names = ["sample", "lw", "oas", "pca", "style"];
  return {
    models: Object.fromEntries(["m", ...names].map((name, i) => [name, model(0.01 * i, name === "sample")])),
    pairs: names.flatMap((b, i) => (["random", "gmv"] as const).map((portfolios) => ({ a: "m", b, portfolios, t: i - 3, difference: 0.01 * (i - 3), standardError: 0.01 }))),
    first: "2016-01-07", last: "2017-12-07", dates: 484, stocks: 1024.3,
  };
}

function explained(ticker: string, score: number) {
  const parts = ["volatility_20", "<b>return_1</b>", "close_over_mean_20", "overnight_return"].map((name, i) => ({ name, part: score / (i + 2) }));
  return { ticker, score, own: 0.4 * score, baseline: 0.01, peers: parts.slice(1), otherPeers: -0.03, features: parts, otherFeatures: 0.002 };
}

function backtestOf(name: string, dates: readonly string[], seed: number): BacktestNumbers {
  const random = normals(seed);
  let [value, peak] = [1, 1];
  const equity = dates.map(() => (value *= 1 + 0.0004 + 0.01 * random()));
  return {
    name, source: "Weights of <b>somebody</b>", return: 0.08, volatility: 0.16, sharpe: 0.5, t: 0.64, returnInterval: [-0.15, 0.31], drawdown: 0.21, drawdownFrom: dates[3]!, drawdownTo: dates[30]!, turnover: 0.41, tradedPerYear: 9.8,
    costs: { trading: 0.005, impact: 0.012, borrow: 0.002, total: 0.019, interest: 0.001 }, grossReturn: 0.099, grossSharpe: 0.62, breakEvenBps: 91.2, totalReturn: value - 1, compoundedReturn: 0.07, gross: 1.2, net: 0.1,
    positions: 24.2, dates: dates.length, first: dates[0]!, last: dates.at(-1)!, decisions: 20, portfolios: 1, ruined: seed === 1 ? null : dates.at(-1)!,
    terms: { capital: 1e7, fill: seed === 1 ? "close" : "open", lagDays: 1, costBps: 5, borrowBps: 50, cashBps: 0, impact: 1, lotSize: 0, unfilled: "carry", delistingReturn: 0 },
    daily: {
      dates, equity, gross: dates.map((_, i) => 1.2 + 0.1 * Math.sin(i / 9)), net: dates.map((_, i) => 0.1 * Math.cos(i / 5)), traded: dates.map((_, i) => (i % 21 === 0 ? 0.8 : 0)),
      drawdown: equity.map((each) => each / (peak = Math.max(peak, each)) - 1),
    },
    capacity: [1e5, 1e6, 1e7, 1e8, 1e9, 2e9].map((capital, i) => ({ capital, return: 0.1 - 0.04 * i, sharpe: i === 5 ? NaN : 0.7 - 0.2 * i, costs: { impact: 0.01 * i, total: 0.01 + 0.01 * i }, ruined: i === 5 ? dates[40]! : null })),
    delistings: [{ ticker: "<script>", lastDate: dates[50]!, price: 12.3, weight: 0.02 }],
    orders: [{ count: 12, text: "orders to sell waited: the stock had no price on the fill date or was not tradable" }],
  };
}

function byDate(dates: readonly string[]) {
  const wave = (centre: number, height: number): number[] => dates.map((_, i) => centre + height * Math.sin(i / 9) * Math.cos(i));
  return { dates, effectiveNeighbours: wave(31.5, 2), peerCorrelation: wave(0.12, 0.1), rSquared: wave(0.83, 0.05), vif: wave(7, 2), factorTurnover: [NaN, ...wave(0.01, 0.004).slice(1)] };
}

function weekdays(first: string, count: number): string[] {
  const dates: string[] = [];
  for (let day = Date.parse(`${first}T00:00:00Z`); dates.length < count; day += 86_400_000) {
    if (![0, 6].includes(new Date(day).getUTCDay())) dates.push(new Date(day).toISOString().slice(0, 10));
  }
  return dates;
}

function normals(seed: number): () => number {
  const bits = randomBits(seed, 0);
  const uniform = (): number => bits() / 2 ** 32;
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}
