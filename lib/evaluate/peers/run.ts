import { refuseEarlyDate } from "../../data/history.js";
import type { PanelOptions } from "../../data/panel.js";
import { resolveDataset } from "../../data/resolve-dataset.js";
import type { PanelSource } from "../../data/source/panel-source.js";
import type { Dataset } from "../../data/types.js";
import { AstgnnError } from "../../errors.js";
import type { Device } from "../../model/device.js";
import type { ASTGNNFactorModel } from "../../model/model.js";
import { dateIndex } from "../../model/predict.js";
import { loadRun } from "../../run/load.js";
import { clusters, type ClustersOptions, type DateClusters } from "./clusters.js";
import { peers, type PeersOptions, type StockPeers } from "./peers.js";
import { DAYS_BEFORE } from "./realised.js";

/**
 * Which data, date and device. The other options are those of `openPanel`; by default they are the run's, and as with `predictRun` they may only
 * say where things now are.
 */
export interface RunPeersOptions extends PanelOptions {
  /** Where the data are. Default: what the run was trained on, read again. */
  source?: PanelSource | undefined;
  /** Default: the newest date of the data. */
  date?: string | undefined;
  /** Where to compute. Default ASTGNN_DEVICE, else `"auto"`: the first GPU that can be used, else the CPU. */
  device?: Device | undefined;
}

/**
 * {@link peers} by the model of a run.
 *
 * @example
 * const { peers: found } = await peersOfRun("runs/first", { date: "2017-06-01", ticker: "AAPL" });
 * @throws AstgnnError as {@link peers} and `loadRun`; ERR_OPTION also for an ensemble, whose members have a graph each
 */
export async function peersOfRun(folder: string, options: RunPeersOptions & Omit<PeersOptions, "date">): Promise<StockPeers> {
  const { ticker, top, lookBack, ...reading } = options;
  return withRun(folder, reading, Math.max(DAYS_BEFORE, lookBack ?? 120), (model, dataset, date) => peers(model, dataset, { date, ticker, top, lookBack, threads: options.threads, signal: options.signal, onWarning: options.onWarning }));
}

/**
 * {@link clusters} by the model of a run.
 *
 * @example
 * const { clusters: found } = await clustersOfRun("runs/first", { date: "2017-06-01" });
 * @throws AstgnnError as {@link clusters} and `loadRun`; ERR_OPTION also for an ensemble, whose members have a graph each
 */
export async function clustersOfRun(folder: string, options: RunPeersOptions & Omit<ClustersOptions, "date"> = {}): Promise<DateClusters> {
  const { resolution, ...reading } = options;
  return withRun(folder, reading, DAYS_BEFORE, (model, dataset, date) => clusters(model, dataset, { date, resolution, threads: options.threads, signal: options.signal, onWarning: options.onWarning }));
}

/** Loads a run and cuts its data from `before` dates before the date on. */
async function withRun<R>(folder: string, options: RunPeersOptions & { threads?: number | undefined }, before: number, find: (model: ASTGNNFactorModel, dataset: Dataset, date: string) => Promise<R>): Promise<R> {
  const { source, date: asked, device, threads, ...panelOptions } = options;
  using run = await loadRun(folder, { device });
  if (run.models.length > 1) {
    throw new AstgnnError("ERR_OPTION", `The run in ${folder} is an ensemble of ${run.models.length} models, and each has a graph of its own.`, { option: "run", next: `Name the folder of one: they are below ${folder}, called seed-<number>.` });
  }
  const panel = await run.openPanel(source, panelOptions);
  const date = asked ?? panel.dates.at(-1)!;
  const t = dateIndex(panel, date);
  const description = run.dataset;
  const { cut } = resolveDataset({ description }, panel.columns);
  refuseEarlyDate({ option: "date", date, there: t + 1, earliest: panel.dates[cut.requiredHistory - 1] }, panel.dates, cut);
  const from = panel.dates[Math.max(cut.requiredHistory - 1, t - before)];
  using dataset = await panel.dataset({ description, from, threads, signal: panelOptions.signal, maxDropped: panelOptions.maxDropped });
  return await find(run.models[0], dataset, date);
}
