import { loadCore } from "../binding/load.js";
import type { NativeFeatures, NativePanel, NativePanelData, NativeTensor } from "../binding/types.js";
import { AstgnnError } from "../errors.js";
import type { Dataset } from "./types.js";

/** What of a dataset lies in the core's memory already: native panels on the CPU share it. */
interface Resident {
  readonly features: NativeFeatures;
  readonly targets: NativeTensor;
}

const residents = new WeakMap<Dataset, Resident>();

/** Says what of a dataset its native panels may share. */
export function keepResident(dataset: Dataset, resident: Resident): void {
  residents.set(dataset, resident);
}

/** One native copy per dataset and device, shared by every training and prediction on it; they go when the dataset is collected. */
const panels = new WeakMap<Dataset, Map<string, NativePanel>>();

/** The dataset's native copy on a device, made on first use. */
export function nativePanel(dataset: Dataset, device: string): NativePanel {
  if (dataset.disposed) throw new AstgnnError("ERR_DISPOSED", "This dataset was disposed and can no longer be used.", { next: "Cut it again with panel.dataset." });
  const copies = panels.get(dataset) ?? new Map<string, NativePanel>();
  const present = copies.get(device);
  if (present !== undefined && !present.disposed) return present;
  const panel = loadCore().createPanel(nativePanelData(dataset), device);
  panels.set(dataset, copies.set(device, panel));
  return panel;
}

/** The arrays of the native copy. */
export function nativePanelData(dataset: Dataset): NativePanelData {
  const { edges, returns } = dataset;
  const { features, targets } = residents.get(dataset) ?? dataset;
  return {
    dates: dataset.dates.length,
    stocks: dataset.tickers.length,
    featureCount: dataset.featureNames.length,
    window: dataset.window,
    features,
    rowOffsets: dataset.rowOffsets,
    rowStocks: dataset.rowStocks,
    horizons: dataset.horizons.length,
    targets,
    ...(returns === undefined ? {} : { returns: returns.values, returnEnds: returns.ends }),
    graph: dataset.graph,
    ...(dataset.groups === undefined ? {} : { groups: dataset.groups }),
    ...(edges === undefined ? {} : { edges: { source: edges.source, target: edges.target, from: edges.from, to: edges.to } }),
  };
}

/** Frees the native copies of a dataset; jobs under way keep theirs until they end. */
export function releaseNativePanels(dataset: Dataset): void {
  const copies = panels.get(dataset);
  panels.delete(dataset);
  for (const panel of copies?.values() ?? []) panel.dispose();
}
