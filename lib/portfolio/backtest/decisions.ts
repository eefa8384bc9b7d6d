import { lastNotAfter } from "../../data/calendar.js";
import type { LedgerBuilder } from "../../data/ledger.js";
import { listed, refuseLoss } from "../../data/loss.js";
import { openPanel, type Panel } from "../../data/panel.js";
import type { PanelSource } from "../../data/source/panel-source.js";
import type { PanelValues } from "../../data/types.js";
import { AstgnnError, invalidOption } from "../../errors.js";
import { requireNumbers, requireText, requireTexts } from "../../options.js";
import { checkPanelValues, refuseInfinite, widthOf } from "../../metrics/aligned.js";
import { portfoliosFor, usualGap } from "../../metrics/market.js";
import { planeOf } from "../../metrics/plane.js";
import { DateRanker } from "../../metrics/ranked-dates.js";
import { factorWeights, quantileWeights, topWeights, type Weighting } from "../../metrics/weights.js";
import { BOOKS, type Known, type PredictionsSource, type ScheduleSource, type WeightsSource } from "./options.js";

/** Who decides target weights, and when. */
export interface Decisions {
  /** Portfolios side by side, each of an equal part of the book; every decision renews the oldest. */
  readonly portfolios: number;
  /** Panel dates after whose close something may be decided, from first to last. */
  readonly first: number;
  readonly last: number;
  /** Panel dates from the last fill to the end; undefined: to the end of the prices. */
  readonly datesAfter?: number | undefined;
  /** Writes the target weights decided after the close of panel date `t`, one per stock of the panel; false where nothing is decided. */
  decide(t: number, weights: Float64Array, known: () => Promise<Known>): boolean | Promise<boolean>;
}

/** Where decisions count what they leave out. */
export interface DecisionChecks {
  readonly ledger: LedgerBuilder;
  readonly maxDropped: number;
  readonly signal?: AbortSignal | undefined;
}

/** Portfolios made of predictions. @throws AstgnnError ERR_SHAPE, ERR_DATA, ERR_OPTION */
export function decisionsOfPredictions(source: PredictionsSource, panel: Panel, { ledger, maxDropped }: DecisionChecks): Decisions {
  const { predictions, prediction = 0, horizonDays = 1, book = "factorWeighted" } = source;
  checkValues(predictions, "predictions");
  const width = widthOf(predictions);
  if (!Number.isInteger(prediction) || prediction < 0 || prediction >= width) throw invalidOption("prediction", width === 1 ? "0, the only one," : `a whole number from 0 to ${width - 1}`, prediction);
  checkBook(source);
  if (horizonDays > panel.dates.length) throw invalidOption("horizonDays", `a whole number from 1 to ${panel.dates.length}, the dates of the prices,`, horizonDays);
  const values = planeOf(predictions, prediction);
  const placed = place({ data: values, shape: [predictions.dates.length, predictions.tickers.length], dates: predictions.dates, tickers: predictions.tickers }, panel, "predictions", { ledger, maxDropped });
  const weighting = weightingOf(source, book, values, predictions.dates.length);
  const row = new Float64Array(panel.tickers.length);
  const ranker = new DateRanker(row.length);
  const decide = (t: number, weights: Float64Array): boolean => {
    if (!placed.read(t, row)) return false;
    const ranked = ranker.rank(row);
    if (ranked.counts[0] === 0) return false;
    weighting(ranked, 0, weights);
    return true;
  };
  return { portfolios: portfoliosFor(placed.dates, horizonDays), first: placed.first, last: placed.last, datesAfter: usualGap(placed.dates), decide };
}

/** @throws AstgnnError ERR_OPTION naming the option */
export function checkBook({ book = "factorWeighted", horizonDays = 1, quantiles = 5, topK = 1 }: Omit<PredictionsSource, "predictions">): void {
  if (!BOOKS.includes(book)) throw invalidOption("book", `one of ${BOOKS.join(", ")}`, book);
  for (const [name, number, least] of [["horizonDays", horizonDays, 1], ["quantiles", quantiles, 2], ["topK", topK, 1]] as const) {
    if (!Number.isInteger(number) || number < least) throw invalidOption(name, `a whole number from ${least}`, number);
  }
}

function weightingOf({ quantiles = 5, topK }: PredictionsSource, book: NonNullable<PredictionsSource["book"]>, values: Float32Array | Float64Array, dates: number): Weighting {
  if (book === "factorWeighted") return factorWeights;
  if (book === "quantiles") return quantileWeights(quantiles);
  let count = 0;
  for (const value of values) if (!Number.isNaN(value)) count++;
  return topWeights(topK ?? Math.max(1, Math.round(count / Math.max(1, dates) / 10)));
}

/** Weights that are known beforehand. @throws AstgnnError ERR_SHAPE, ERR_DATA */
export async function decisionsOfWeights({ weights: source }: WeightsSource, panel: Panel, checks: DecisionChecks): Promise<Decisions> {
  const values = isValues(source) ? source : await readWeights(source, checks.signal);
  checkValues(values, "weights");
  if (widthOf(values) !== 1) throw new AstgnnError("ERR_SHAPE", `Expected one weight per date and stock but received ${widthOf(values)}.`);
  const placed = place(values, panel, "weights", checks, true);
  const decide = (t: number, weights: Float64Array): boolean => {
    if (!placed.read(t, weights)) return false;
    for (let n = 0; n < weights.length; n++) if (Number.isNaN(weights[n]!)) weights[n] = 0;
    return true;
  };
  return { portfolios: 1, first: placed.first, last: placed.last, decide };
}

function isValues(source: WeightsSource["weights"]): source is PanelValues {
  return typeof source === "object" && source !== null && !Array.isArray(source) && "shape" in source;
}

/** A table of date, ticker and weight as [dates, stocks]. */
async function readWeights(source: PanelSource, signal: AbortSignal | undefined): Promise<PanelValues> {
  const table = await openPanel(source, { columns: ["weight"], maxDropped: 1, onWarning: () => {}, ...(signal === undefined ? {} : { signal }) });
  const [data, stocks] = [table.values("weight"), table.tickers.length];
  for (let i = 0; i < data.length; i++) {
    if (table.present[i] === 0 || !Number.isNaN(data[i]!)) continue;
    const [date, ticker] = [table.dates[Math.floor(i / stocks)]!, table.tickers[i % stocks]!];
    throw new AstgnnError("ERR_DATA", `${table.source} has no weight for ${ticker} on ${date}.`, { file: table.source, column: "weight", date, next: "Write 0, or remove the row." });
  }
  return { data, shape: [table.dates.length, stocks], dates: table.dates, tickers: table.tickers };
}

/** Weights decided on the way. @throws AstgnnError ERR_OPTION, ERR_SHAPE, ERR_DATA */
export function decisionsOfSchedule({ rebalance, every = 21, from, predictions }: ScheduleSource, panel: Panel, { ledger, maxDropped }: DecisionChecks): Decisions {
  if (typeof rebalance !== "function") throw invalidOption("rebalance", "a function", rebalance);
  if (predictions !== undefined) checkValues(predictions, "predictions");
  const placed = predictions === undefined ? undefined : place(predictions, panel, "predictions", { ledger, maxDropped });
  if (from !== undefined) requireText(from, "from", "a date as YYYY-MM-DD");
  if (typeof every !== "number") requireTexts(every, "every", "a whole number from 1, or dates");
  const begin = from === undefined ? (placed?.first ?? 0) : panel.dates.findIndex((date) => date >= from);
  if (begin < 0) throw new AstgnnError("ERR_DATA", `${panel.source} has no date from ${from} on; its last is ${panel.dates.at(-1)}.`, { option: "from", date: from, next: "Name an earlier one." });
  const index = new Map(panel.tickers.map((ticker, n) => [ticker, n]));
  const chosen = typeof every === "number" ? undefined : new Set(every.map((date) => lastNotAfter(panel.dates, date)));
  if (typeof every === "number" && (!Number.isInteger(every) || every < 1)) throw invalidOption("every", "a whole number from 1, or dates", every);
  if (chosen !== undefined && (chosen.has(-1) || chosen.size === 0)) throw invalidOption("every", `dates from ${panel.dates[0]} on`, every);
  const row = new Float64Array(panel.tickers.length);
  const decide = async (t: number, weights: Float64Array, knownAt: () => Promise<Known>): Promise<boolean> => {
    if (chosen === undefined ? (t - begin) % (every as number) !== 0 : !chosen.has(t)) return false;
    const known = await knownAt();
    const today = placed === undefined ? undefined : new Float64Array(known.tickers.length).fill(NaN);
    if (today !== undefined && placed!.read(t, row)) for (const [i, ticker] of known.tickers.entries()) today[i] = row[index.get(ticker)!]!;
    const targets = await rebalance({ ...known, predictions: today });
    if (targets === undefined) return false;
    writeTargets(targets, known.date, index, weights);
    return true;
  };
  return { portfolios: 1, first: begin, last: panel.dates.length - 1, decide };
}

function writeTargets({ tickers, weights: targets }: Awaited<ReturnType<ScheduleSource["rebalance"]>> & object, date: string, index: ReadonlyMap<string, number>, weights: Float64Array): void {
  requireTexts(tickers, "tickers", "tickers of the prices");
  requireNumbers(targets, "weights");
  if (tickers.length !== targets.length) throw new AstgnnError("ERR_SHAPE", `The weights of ${date} are ${targets.length}, the tickers ${tickers.length}.`, { date, next: "Return one weight per ticker." });
  weights.fill(0);
  const seen = new Set<string>();
  for (const [i, ticker] of tickers.entries()) {
    const [n, weight] = [index.get(ticker), targets[i]!];
    if (n === undefined) throw new AstgnnError("ERR_DATA", `The weights of ${date} name ${ticker}, which is not in the prices.`, { date, next: "Return tickers of the prices." });
    if (seen.has(ticker)) throw new AstgnnError("ERR_DATA", `The weights of ${date} name ${ticker} twice.`, { date, next: "Return each ticker once." });
    if (!Number.isFinite(weight)) throw new AstgnnError("ERR_DATA", `The weight of ${ticker} on ${date} is ${weight}.`, { date, next: "Return finite weights, or undefined to leave the book as it is." });
    seen.add(ticker);
    weights[n] = weight;
  }
}

/** Values of other dates and tickers by the dates and stocks of a panel. */
interface Placed {
  /** Panel dates that have any, ascending. */
  readonly dates: Int32Array;
  readonly first: number;
  readonly last: number;
  /** Writes the values that panel date `t` knows as its own; false where it has none. */
  read(t: number, out: Float64Array): boolean;
}

function checkValues(values: PanelValues, name: string): void {
  checkPanelValues(values, name);
  refuseInfinite(values, name.replace(/s$/, ""));
  for (const [axis, list] of [["date", values.dates], ["ticker", values.tickers]] as const) {
    const twice = new Set(list).size === list.length ? undefined : list.find((label, i) => list.indexOf(label) < i);
    if (twice !== undefined) throw new AstgnnError("ERR_DATA", `${name} has the ${axis} ${twice} twice.`, { ...(axis === "date" ? { date: twice } : {}), next: "Keep one of them." });
  }
}

/**
 * @param betweenDates whether values of a date without prices count for the panel date before it: known then, they can be traded on the next
 */
function place(values: PanelValues, panel: Panel, name: string, { ledger, maxDropped }: Pick<DecisionChecks, "ledger" | "maxDropped">, betweenDates = false): Placed {
  const { dates, tickers } = values;
  const stocks = tickers.length;
  const rows = new Int32Array(panel.dates.length).fill(-1);
  const known = new Map(tickers.map((ticker, k) => [ticker, k]));
  const columns = Int32Array.from(panel.tickers, (ticker) => known.get(ticker) ?? -1);
  const isUsed = new Uint8Array(stocks);
  for (const column of columns) if (column >= 0) isUsed[column] = 1;
  const unknown = tickers.filter((_, k) => isUsed[k] === 0);
  const lost: string[] = [];
  let [moved, superseded] = [0, 0];
  for (const r of [...dates.keys()].sort((a, b) => (dates[a]! < dates[b]! ? -1 : 1))) {
    const t = lastNotAfter(panel.dates, dates[r]!);
    const isOwn = t >= 0 && panel.dates[t] === dates[r];
    if (t < 0 || (!isOwn && !betweenDates)) {
      lost.push(dates[r]!);
      continue;
    }
    if (!isOwn) moved++;
    if (rows[t]! >= 0) superseded++;
    rows[t] = r;
  }
  let [all, kept] = [0, 0];
  const isKept = new Uint8Array(dates.length).fill(1);
  const gone = new Set(lost);
  for (const [r, date] of dates.entries()) if (gone.has(date)) isKept[r] = 0;
  for (let i = 0; i < dates.length * stocks; i++) {
    if (Number.isNaN(values.data[i]!) || (betweenDates && values.data[i] === 0)) continue;
    all++;
    if (isKept[Math.floor(i / stocks)] === 1 && isUsed[i % stocks] === 1) kept++;
  }
  ledger.add("source", "unknown_tickers", unknown.length, "stocks", `stocks of the ${name} are not in ${panel.source}: ${listed(unknown)}`);
  ledger.add("source", "unknown_dates", lost.length, "dates", `dates of the ${name} are not in ${panel.source}: ${listed(lost)}`);
  ledger.add("source", "between_dates", moved, "dates", `dates of the ${name} have no prices: they count as decided after the last close before`);
  ledger.add("source", "superseded_dates", superseded, "dates", `dates of the ${name} were superseded by later ones before anything could be traded`);
  refuseLoss({ lost: all - kept, of: all, what: name, why: `are of stocks or dates that ${panel.source} does not have, e.g. ${[...unknown, ...lost][0] ?? ""}` }, maxDropped, { next: "Name the prices of the same market, with tickers written alike, or raise maxDropped." });
  const first = rows.findIndex((row) => row >= 0);
  if (first < 0 || kept === 0) throw new AstgnnError("ERR_DATA", `No date and stock of the ${name} is in ${panel.source}.`, { next: "Name the prices of the same market, with dates as YYYY-MM-DD." });
  return {
    dates: Int32Array.from(rows.keys()).filter((t) => rows[t]! >= 0),
    first,
    last: rows.findLastIndex((row) => row >= 0),
    read: (t, out) => {
      const row = rows[t]!;
      if (row < 0) return false;
      for (let n = 0; n < out.length; n++) out[n] = columns[n]! >= 0 ? values.data[row * stocks + columns[n]!]! : NaN;
      return true;
    },
  };
}
