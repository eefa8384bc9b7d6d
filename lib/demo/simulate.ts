import { open } from "node:fs/promises";
import { z } from "zod";
import { isoDate } from "../data/calendar.js";
import { normalQuantile } from "../data/ranks.js";
import { randomBits, type RandomBits } from "../metrics/random.js";
import { resolveOptions } from "../options.js";

const STYLES = 5;

/** Feature columns of a simulated market, in the order of {@link SimulatedMarket.columns}; `close` is beside them. */
export const SIMULATED_FEATURES: readonly string[] = ["signal", "news", "day_return", ...Array.from({ length: STYLES }, (_, k) => `style${k + 1}`)];

const whole = (fallback: number, least: number) => z.int().min(least).max(100_000).default(fallback).describe(`a whole number from ${least}`);
const share = (fallback: number) => z.number().min(0).max(10).default(fallback).describe("a number from 0 to 10");

const SimulationSchema = z.strictObject({
  seed: z.int().min(0).max(0xffffffff).default(0).describe("a whole number from 0 to 4294967295"),
  stocks: whole(120, 2),
  dates: whole(730, 2),
  industries: whole(8, 1),
  leadLag: z.boolean().default(true).describe("true or false"),
  spillover: share(0.3),
  signal: share(0.07),
});

/** The complete options of a simulated market. */
export type ResolvedSimulation = Readonly<z.output<typeof SimulationSchema>>;

/** The knobs of the simulated market. All strengths are in units of a stock's own daily noise. */
export interface SimulationOptions {
  /** Whole, 0 to 2^32 - 1; default 0. The same seed gives the same market, number by number. */
  seed?: number | undefined;
  /** Stocks over all dates, from 2; default 120. */
  stocks?: number | undefined;
  /** Weekdays, from 2; default 730. */
  dates?: number | undefined;
  /** Hidden industries, from 1; default 8. */
  industries?: number | undefined;
  /** False is the null market: the spillover comes from shocks that no column shows. Default true. */
  leadLag?: boolean | undefined;
  /** Standard deviation of the spillover of industry peers' news on the next day's return, 0 to 10; default 0.3. */
  spillover?: number | undefined;
  /** Effect of a stock's own signal on its next return, 0 to 10; default 0.07. */
  signal?: number | undefined;
}

/** A market that never existed. Cells are t * stocks + n. */
export interface SimulatedMarket {
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  /** Hidden industry of each stock; in no column. */
  readonly industries: Int32Array;
  /** 1 where the stock is listed and not suspended. */
  readonly listed: Uint8Array;
  /** `close` and the {@link SIMULATED_FEATURES}, [dates * stocks], also where a stock is not listed. */
  readonly columns: ReadonlyMap<string, Float64Array>;
  readonly options: ResolvedSimulation;
}

/**
 * Draws a market in which a graph has something to find that no stock's own history tells.
 *
 * - Each stock n has a hidden industry g. Its exposures b_n lie near the centre of its industry; five `style` columns show b_n with fresh noise
 *   every day, so that a window of them tells which stocks are alike.
 * - `news` u is a fresh N(0, 1) per stock and day; `signal` s is an AR(1) of variance 1 with coefficient 0.8.
 * - Return in noise units: r_{n,t} = m_t + f_{g,t} + u_{n,t} / 2 + signal * s_{n,t-1} + spillover * p_{n,t-1} + e_{n,t}, with m market (sd 0.5),
 *   f industry (sd 0.8), e Student t with 5 degrees of freedom at variance 1, and p the sum of the news of the stock's listed industry peers
 *   over the square root of their number. One unit is 1.2 % a day.
 *   So news moves its own stock at once and the peers one day later; a stock's own news says nothing about its own next return.
 * - The null market (`leadLag: false`) is drawn with the same numbers, but p sums hidden shocks of the same law instead of the news.
 * - 15 % of stocks list in the first half, 10 % delist in the second, 30 % are suspended once for 2 to 9 days: no rows then.
 *
 * @example
 * const market = simulateMarket({ seed: 0 });
 * await writeSimulatedMarket(market, "simulated.csv");
 */
export function simulateMarket(written: SimulationOptions = {}): SimulatedMarket {
  const options = resolveOptions(SimulationSchema, written, "the simulated market");
  const { stocks: N, dates: T, seed } = options;
  // One stream per ingredient: changing one option must not shift the numbers of the others.
  const stream = (ingredient: number): Generator => new Generator(seed, ingredient);
  const { industries, exposures } = drawIndustries(N, options.industries, stream(1));
  const listed = drawListings(T, N, stream(2));
  const news = drawNormals(T * N, stream(3));
  const hidden = drawNormals(T * N, stream(4));
  const signal = drawSignal(T, N, stream(5));
  const spill = peerSums(options.leadLag ? news : hidden, listed, industries, options.industries, T, N);
  const returns = drawReturns(options, industries, news, signal, spill, stream(6));

  const close = new Float64Array(T * N);
  for (let i = 0; i < T * N; i++) close[i] = (i < N ? 50 : close[i - N]!) * (1 + returns[i]!);
  const columns = new Map([["close", close], ["signal", signal], ["news", news], ["day_return", returns]]);
  const noise = stream(7);
  for (let k = 0; k < STYLES; k++) {
    const style = new Float64Array(T * N);
    for (let i = 0; i < T * N; i++) style[i] = exposures[(i % N) * STYLES + k]! + 0.5 * noise.normal();
    columns.set(`style${k + 1}`, style);
  }
  const digits = String(N).length;
  return {
    dates: weekdays(T),
    tickers: Array.from({ length: N }, (_, n) => `SIM${String(n + 1).padStart(digits, "0")}`),
    industries,
    listed,
    columns,
    options,
  };
}

/** Writes the listed rows as CSV: date, ticker, close and the features. The hidden industries are not in it. */
export async function writeSimulatedMarket(market: SimulatedMarket, path: string): Promise<void> {
  const N = market.tickers.length;
  await using file = await open(path, "w");
  await file.write(`date,ticker,${[...market.columns.keys()].join(",")}\n`);
  for (let t = 0; t < market.dates.length; t++) {
    let lines = "";
    for (let n = 0; n < N; n++) {
      if (market.listed[t * N + n] === 0) continue;
      const values = Array.from(market.columns.values(), (column) => column[t * N + n]!.toPrecision(8));
      lines += `${market.dates[t]},${market.tickers[n]},${values.join(",")}\n`;
    }
    await file.write(lines);
  }
}

function drawIndustries(N: number, count: number, random: Generator): { industries: Int32Array; exposures: Float64Array } {
  const centres = new Float64Array(count * STYLES);
  for (let g = 0; g < count; g++) {
    const direction = drawNormals(STYLES, random);
    const norm = Math.hypot(...direction);
    for (let k = 0; k < STYLES; k++) centres[g * STYLES + k] = (direction[k]! / norm) * Math.sqrt(STYLES);
  }
  const industries = Int32Array.from({ length: N }, () => Math.floor(random.uniform() * count));
  const exposures = new Float64Array(N * STYLES);
  for (let i = 0; i < exposures.length; i++) {
    exposures[i] = centres[industries[Math.floor(i / STYLES)]! * STYLES + (i % STYLES)]! + 0.3 * random.normal();
  }
  return { industries, exposures };
}

function drawListings(T: number, N: number, random: Generator): Uint8Array {
  const listed = new Uint8Array(T * N);
  const between = (from: number, to: number): number => from + Math.floor(random.uniform() * (to - from));
  for (let n = 0; n < N; n++) {
    const first = random.uniform() < 0.15 ? between(0, T >> 1) : 0;
    const end = random.uniform() < 0.1 ? between(T >> 1, T) : T;
    const isSuspended = random.uniform() < 0.3;
    const from = isSuspended ? between(0, T) : T;
    const to = from + between(2, 10);
    for (let t = first; t < end; t++) listed[t * N + n] = t >= from && t < to ? 0 : 1;
  }
  return listed;
}

function drawSignal(T: number, N: number, random: Generator): Float64Array {
  const signal = drawNormals(T * N, random);
  for (let i = N; i < T * N; i++) signal[i] = 0.8 * signal[i - N]! + 0.6 * signal[i]!;
  return signal;
}

/** Per stock and date: sum of `shocks` over the listed peers of its industry, itself not among them, over the square root of their number. */
function peerSums(shocks: Float64Array, listed: Uint8Array, industries: Int32Array, count: number, T: number, N: number): Float64Array {
  const sums = new Float64Array(T * N);
  for (let t = 0; t < T; t++) {
    const total = new Float64Array(count);
    const members = new Float64Array(count);
    for (let n = 0; n < N; n++) {
      if (listed[t * N + n] === 0) continue;
      total[industries[n]!]! += shocks[t * N + n]!;
      members[industries[n]!]! += 1;
    }
    for (let n = 0; n < N; n++) {
      const isIn = listed[t * N + n] === 1;
      const peers = members[industries[n]!]! - (isIn ? 1 : 0);
      sums[t * N + n] = (total[industries[n]!]! - (isIn ? shocks[t * N + n]! : 0)) / Math.sqrt(Math.max(1, peers));
    }
  }
  return sums;
}

function drawReturns(
  { stocks: N, dates: T, industries: count, signal: own, spillover }: ResolvedSimulation,
  industries: Int32Array, news: Float64Array, signal: Float64Array, spill: Float64Array, random: Generator,
): Float64Array {
  const returns = new Float64Array(T * N);
  for (let t = 0; t < T; t++) {
    const market = 0.5 * random.normal();
    const industry = drawNormals(count, random);
    for (let n = 0; n < N; n++) {
      const i = t * N + n;
      const lagged = t === 0 ? 0 : own * signal[i - N]! + spillover * spill[i - N]!;
      const units = market + 0.8 * industry[industries[n]!]! + 0.5 * news[i]! + lagged + random.student5();
      returns[i] = Math.max(-0.5, 0.012 * units);
    }
  }
  return returns;
}

function drawNormals(count: number, random: Generator): Float64Array {
  return Float64Array.from({ length: count }, () => random.normal());
}

function weekdays(count: number): string[] {
  const dates: string[] = [];
  // 2001-01-01 was a Monday; 11323 days after 1970-01-01.
  for (let day = 11323; dates.length < count; day++) if ((day - 11323) % 7 < 5) dates.push(isoDate(day));
  return dates;
}

/** Numbers of a stream of its own per (seed, ingredient). */
class Generator {
  readonly #next: RandomBits;

  constructor(seed: number, stream: number) {
    this.#next = randomBits(seed, stream, 20);
  }

  /** Between 0 and 1, both exclusive. */
  uniform(): number {
    const high = this.#next() >>> 5;
    const low = this.#next() >>> 6;
    return (high * 67108864 + low + 0.5) / 9007199254740992;
  }

  normal(): number {
    return normalQuantile(this.uniform());
  }

  /** Student t with 5 degrees of freedom, scaled to variance 1. */
  student5(): number {
    let squares = 0;
    for (let k = 0; k < 5; k++) squares += this.normal() ** 2;
    return this.normal() / Math.sqrt((squares / 5) * (5 / 3));
  }
}
