import { resolveThreads } from "../../binding/threads.js";
import { LoadingsSchema } from "../../data/dataset-options.js";
import { listExposures } from "../../data/exposure-list.js";
import { makeExposures } from "../../data/exposures.js";
import { refuseEarlyDate } from "../../data/history.js";
import type { Panel, PanelOptions } from "../../data/panel.js";
import { resolveDataset } from "../../data/resolve-dataset.js";
import type { PanelSource } from "../../data/source/panel-source.js";
import type { Dataset } from "../../data/types.js";
import { AstgnnError } from "../../errors.js";
import type { Device } from "../../model/device.js";
import type { ASTGNNFactorModel } from "../../model/model.js";
import { MORE_PEER_ADVICE, PEER_ADVICE } from "../../model/peers.js";
import { dateIndex } from "../../model/predict.js";
import { readDescription } from "../../run/description.js";
import { loadRun } from "../../run/load.js";
import { warn, type Warning } from "../../warn.js";
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
  return withRun(folder, reading, Math.max(DAYS_BEFORE, lookBack ?? 120), (model, dataset, { panel: _, ...common }) => peers(model, dataset, { ...common, ticker, top, lookBack }));
}

/**
 * {@link clusters} by the model of a run.
 *
 * @param options `exposures`: known properties of stocks that clusters may share, by name: the sets `style` and `loadings` and number columns of the data. Default: the run's features.
 * @example
 * const { clusters: found } = await clustersOfRun("runs/first", { date: "2017-06-01" });
 * @throws AstgnnError as {@link clusters} and `loadRun`; ERR_OPTION also for an ensemble, whose members have a graph each
 */
export async function clustersOfRun(folder: string, options: RunPeersOptions & Omit<ClustersOptions, "date" | "exposures"> & { exposures?: readonly string[] | undefined } = {}): Promise<DateClusters> {
  const { resolution, exposures: names, ...reading } = options;
  return withRun(folder, reading, DAYS_BEFORE, async (model, dataset, { panel, ...common }) => {
    const exposures = names === undefined ? undefined : await exposuresOn(panel, common.date, names, common);
    return clusters(model, dataset, { ...common, resolution, exposures });
  });
}

/** The exposures of a date that names stand for: sets of features and columns, made by the code that makes features. */
async function exposuresOn(panel: Panel, date: string, names: readonly string[], { threads, signal }: Pick<Asked, "threads" | "signal">): Promise<Record<string, Float32Array>> {
  const list = listExposures(names, LoadingsSchema.parse({}), panel.has("size"), "exposures");
  if (list.byGroup) throw new AstgnnError("ERR_OPTION", "The groups of a cluster's members are shown in any case.", { option: "exposures", next: "Leave groups out of exposures." });
  const made = await makeExposures(panel, list, undefined, "exposures", { threads: resolveThreads(threads), signal, onDates: () => {} }, dateIndex(panel, date));
  try {
    const [values, stocks] = [made.of(0), panel.tickers.length];
    return Object.fromEntries(made.names.map((name, k) => [name, values.slice(k * stocks, (k + 1) * stocks)]));
  } finally {
    made.release();
  }
}

/** What to ask of the model of a run. */
interface Asked {
  readonly panel: Panel;
  readonly date: string;
  readonly threads: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onWarning: ((warning: Warning) => void) | undefined;
}

/** Loads a run, cuts its data from `before` dates before the date on, and asks. */
async function withRun<R extends { readonly warning?: Warning }>(
  folder: string, options: RunPeersOptions & { threads?: number | undefined }, before: number, ask: (model: ASTGNNFactorModel, dataset: Dataset, asked: Asked) => Promise<R>,
): Promise<R> {
  const { source, date: given, device, threads, ...panelOptions } = options;
  const { signal, maxDropped, onWarning } = panelOptions;
  using run = await loadRun(folder, { device });
  if (run.models.length > 1) {
    throw new AstgnnError("ERR_OPTION", `The run in ${folder} is an ensemble of ${run.models.length} models, and each has a graph of its own.`, { option: "run", next: `Name the folder of one: they are below ${folder}, called seed-<number>.` });
  }
  const panel = await run.openPanel(source, panelOptions);
  const date = given ?? panel.dates.at(-1)!;
  const t = dateIndex(panel, date);
  const description = run.dataset;
  const { cut } = resolveDataset({ description }, panel.columns);
  refuseEarlyDate({ option: "date", date, there: t + 1, earliest: panel.dates[cut.requiredHistory - 1] }, panel.dates, cut);
  const from = panel.dates[Math.max(cut.requiredHistory - 1, t - before)];
  using dataset = await panel.dataset({ description, from, threads, signal, maxDropped });
  // The run says what the model does not: whether its loss had the term that the advice is about.
  const { training } = await readDescription(folder);
  const advised = (warning: Warning): Warning => (JSON.stringify(training.loss).includes("coMovement") ? { ...warning, text: warning.text.replace(PEER_ADVICE, MORE_PEER_ADVICE) } : warning);
  const found = await ask(run.models[0], dataset, { panel, date, threads, signal, onWarning: (warning) => warn(advised(warning), onWarning) });
  return found.warning === undefined ? found : { ...found, warning: advised(found.warning) };
}
