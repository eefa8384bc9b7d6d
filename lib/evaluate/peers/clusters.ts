import type { Dataset } from "../../data/types.js";
import { invalidOption } from "../../errors.js";
import { requireNumbers, requireObject } from "../../options.js";
import { adjustedRandIndex } from "../../metrics/adjusted-rand.js";
import { communities } from "../../metrics/communities.js";
import { mean } from "../../metrics/statistics.js";
import { checkDataset } from "../../model/compatibility.js";
import type { ASTGNNFactorModel } from "../../model/model.js";
import { nativeModule } from "../../model/module.js";
import { peerLists, requirePeers } from "../../model/peer-lists.js";
import { clustersWarning, findRows, PEER_DAYS } from "../../model/peers.js";
import { averagePeers, averageStatistics, predictPacked } from "../../model/predict.js";
import { resolveThreads } from "../../binding/threads.js";
import { warn, type Warning } from "../../warn.js";
import { closestFirst, columnsOf, commonExposures, type CommonExposure, type ExposuresOfRows } from "./members.js";
import { groupOf } from "./peers.js";
import { peerGraph, PEERS_OF_A_STOCK } from "./peer-graph.js";
import { commonCorrelation, type RealisedCorrelation } from "./realised.js";

/** Dates before the one asked for over which clusters are compared. */
const STABILITY_DATES = 20;

/** Which date, and how fine. */
export interface ClustersOptions {
  /** A date of the dataset, YYYY-MM-DD. */
  date: string;
  /** Above 0; default 1. More finds more and smaller clusters. */
  resolution?: number | undefined;
  /** Known properties of stocks that clusters may share, one value per stock of `dataset.tickers` on the date, NaN where missing. Default: the dataset's features. */
  exposures?: Readonly<Record<string, ArrayLike<number>>> | undefined;
  /** Compute threads. Whole, from 1; default ASTGNN_THREADS, else the physical cores. */
  threads?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Told where the clusters mean nothing. Default: Node prints it once. */
  onWarning?: ((warning: Warning) => void) | undefined;
}

/** Stocks that are peers of one another. Its correlations are means over pairs of members. */
export interface Cluster extends RealisedCorrelation {
  /** The member whose risk factors are closest to those of all members. */
  readonly medoid: string;
  readonly size: number;
  /** The medoid first, then by how close they are to the centre of the members' risk factors. */
  readonly tickers: readonly string[];
  /** The groups of most members, where there are groups: at most three. */
  readonly groups?: readonly { readonly group: string; readonly members: number }[];
  /** Exposures in which the members differ together from all stocks of the date, the largest first: at most five. */
  readonly exposures: readonly CommonExposure[];
  /** Largest Jaccard index with a cluster of an earlier date, mean over the dates compared: 1 where the same stocks were together on all. NaN without earlier dates. */
  readonly stability: number;
}

/** The clusters of a date, largest first. */
export interface DateClusters {
  readonly date: string;
  readonly stocks: number;
  /** Of two stocks and more. */
  readonly clusters: readonly Cluster[];
  /** Stocks that are nobody's peer and have none. */
  readonly alone: readonly string[];
  /** Share of the graph's weight inside clusters less what it would be at random: below .3 the graph has hardly any. */
  readonly modularity: number;
  /** Mean adjusted Rand index of the clusters of successive dates, over `dates` pairs of them up to the date; NaN without. */
  readonly stability: { readonly adjustedRand: number; readonly dates: number };
  /** Over the dates compared: does A know who moves together afterwards, and how many stocks does a row of it spread over. NaN where unknown. */
  readonly peerCorrelation: number;
  readonly effectiveNeighbours: number;
  /** Mean over all pairs of stocks of the date: what those of the clusters are to be compared with. */
  readonly everybody: RealisedCorrelation;
  /** Why the clusters mean nothing, where they do. */
  readonly warning?: Warning;
}

/**
 * The clusters of the stocks of a date by A: communities of the graph of every stock's 20 heaviest peers, by modularity. The same on every
 * call; the cost grows as that of the forward. Everything but `correlationNext20` and the warning about it was known on the date.
 *
 * @example
 * const { clusters: found, stability } = await clusters(model, dataset, { date: "2017-06-01" });
 * console.log(stability.adjustedRand, found.map(({ medoid, size }) => `${medoid} and ${size - 1} more`));
 * @throws AstgnnError ERR_OPTION for a model without a graph; ERR_DATA where the date is not in, or the dataset was not prepared as that of the training; ERR_ABORTED
 */
export async function clusters(model: ASTGNNFactorModel, dataset: Dataset, options: ClustersOptions): Promise<DateClusters> {
  requireObject(options, "options", "{ date }");
  const { date, resolution = 1, exposures: known, threads, signal, onWarning } = options;
  if (typeof resolution !== "number" || !(resolution > 0) || !Number.isFinite(resolution)) throw invalidOption("resolution", "a number above 0", resolution);
  checkDataset(model, dataset);
  requirePeers(model, dataset);
  for (const [name, values] of Object.entries(known ?? {})) requireNumbers(values, `exposures.${name}`, dataset.tickers.length);
  const { t, rows } = findRows(dataset, date);
  const dates = datesBefore(dataset, t);
  const packed = await predictPacked(nativeModule(model), { dataset, dates }, { riskFactors: true, threads: resolveThreads(threads), peerDays: PEER_DAYS, signal });
  const partitions: Partition[] = [];
  let features: Float32Array | undefined;
  // One date at a time, so that the event loop turns in between.
  for (const day of dates) {
    const lists = await peerLists(model, dataset, { dates: Int32Array.of(day), top: PEERS_OF_A_STOCK, features: day === t && known === undefined, threads, signal });
    const stocks = dataset.rowStocks.subarray(dataset.rowOffsets[day]!, dataset.rowOffsets[day + 1]!);
    partitions.push({ stocks, ...communities(peerGraph(model.config, dataset, day, lists), resolution) });
    features = lists.features;
  }
  const exposures: ExposuresOfRows = known === undefined ? columnsOf(features!, dataset.featureNames) : new Map(Object.entries(known).map(([name, values]) => [name, Array.from(rows, (stock) => values[stock]!)]));
  const now = partitions.at(-1)!;
  const m = packed.riskFactors!.subarray(packed.riskFactors!.length - rows.length * model.config.numRiskFactors);
  const members = membersOf(now);
  const before = partitions.slice(0, -1);
  const { effectiveNeighbours } = averageStatistics(packed.statistics);
  const graph = averagePeers(packed.peers!, packed.statistics);
  const warning = clustersWarning(model.config, dataset, { t, effectiveNeighbours, ...graph });
  if (warning !== undefined) warn(warning, onWarning);
  return {
    date,
    stocks: rows.length,
    clusters: members.filter((own) => own.length > 1).map((own): Cluster => {
      const order = closestFirst(m, model.config.numRiskFactors, own);
      const stocks = order.map((row) => rows[row]!);
      const groups = groupsOf(dataset, t, own);
      return {
        medoid: dataset.tickers[stocks[0]!]!,
        size: own.length,
        tickers: stocks.map((stock) => dataset.tickers[stock]!),
        ...(groups === undefined ? {} : { groups }),
        exposures: commonExposures(exposures, own),
        stability: mean(before.map((partition) => largestJaccard(stocks, partition))),
        ...commonCorrelation(dataset, t, stocks),
      };
    }),
    alone: members.filter((own) => own.length === 1).map(([row]) => dataset.tickers[rows[row!]!]!),
    modularity: now.modularity,
    stability: { adjustedRand: mean(before.map((partition, i) => agreement(partition, partitions[i + 1]!))), dates: before.length },
    peerCorrelation: graph.peerCorrelation,
    effectiveNeighbours,
    everybody: commonCorrelation(dataset, t, rows),
    ...(warning === undefined ? {} : { warning }),
  };
}

/** Cluster of each row of a date. */
interface Partition {
  readonly stocks: Int32Array;
  readonly labels: Int32Array;
  readonly count: number;
  readonly modularity: number;
}

/** The dates with rows before t that are compared, and t. */
function datesBefore({ rowOffsets }: Dataset, t: number): Int32Array {
  const found = [t];
  for (let day = t - 1; day >= 0 && found.length <= STABILITY_DATES; day--) if (rowOffsets[day + 1]! > rowOffsets[day]!) found.push(day);
  return Int32Array.from(found.reverse());
}

function membersOf({ labels, count }: Partition): number[][] {
  const members = Array.from({ length: count }, (): number[] => []);
  for (const [row, label] of labels.entries()) members[label]!.push(row);
  return members;
}

/** Adjusted Rand index over the stocks of both dates. */
function agreement(a: Partition, b: Partition): number {
  const labels = new Map(Array.from(b.stocks, (stock, row) => [stock, b.labels[row]!]));
  const shared = Array.from(a.stocks.keys()).filter((row) => labels.has(a.stocks[row]!));
  return adjustedRandIndex(shared.map((row) => a.labels[row]!), shared.map((row) => labels.get(a.stocks[row]!)!));
}

/** Over the stocks that are in on the other date too. */
function largestJaccard(stocks: readonly number[], other: Partition): number {
  const own = new Set(stocks);
  const [shared, sizes] = [new Float64Array(other.count), new Float64Array(other.count)];
  let present = 0;
  for (const [row, stock] of other.stocks.entries()) {
    sizes[other.labels[row]!]!++;
    if (!own.has(stock)) continue;
    present++;
    shared[other.labels[row]!]!++;
  }
  return shared.reduce((most, both, label) => Math.max(most, both / (present + sizes[label]! - both)), 0);
}

function groupsOf(dataset: Dataset, t: number, rows: readonly number[]): { group: string; members: number }[] | undefined {
  if (dataset.groups === undefined || dataset.groupNames === undefined) return undefined;
  const counts = new Map<string, number>();
  for (const row of rows) {
    const group = groupOf(dataset, t, row);
    if (group !== undefined) counts.set(group, (counts.get(group) ?? 0) + 1);
  }
  return [...counts].map(([group, members]) => ({ group, members })).sort((a, b) => b.members - a.members || (a.group < b.group ? -1 : 1)).slice(0, 3);
}
