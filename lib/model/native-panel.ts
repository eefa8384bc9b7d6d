import { loadCore } from "../binding/load.js";
import type { NativePanel, NativePanelData } from "../binding/types.js";
import type { Dataset } from "../data/types.js";

/** One native copy per dataset and device, shared by every training and prediction on it; they go when the dataset is collected. */
const panels = new WeakMap<Dataset, Map<string, NativePanel>>();

/** The dataset's native copy on a device, made on first use. */
export function nativePanel(dataset: Dataset, device: string): NativePanel {
  const copies = panels.get(dataset) ?? new Map<string, NativePanel>();
  const present = copies.get(device);
  if (present !== undefined && !present.disposed) return present;
  const panel = loadCore().createPanel(nativePanelData(dataset), device);
  panels.set(dataset, copies.set(device, panel));
  return panel;
}

/** The arrays of the native copy. */
export function nativePanelData(dataset: Dataset): NativePanelData {
  const { edges } = dataset;
  return {
    dates: dataset.dates.length,
    stocks: dataset.tickers.length,
    featureCount: dataset.featureNames.length,
    window: dataset.window,
    features: dataset.features,
    rowOffsets: dataset.rowOffsets,
    rowStocks: dataset.rowStocks,
    horizons: dataset.horizons.length,
    targets: dataset.targets,
    graph: dataset.graph,
    ...(dataset.groups === undefined ? {} : { groups: dataset.groups }),
    ...(edges === undefined ? {} : { edges: { source: edges.source, target: edges.target, from: edges.from, to: edges.to } }),
  };
}

/**
 * Frees the native copies of a dataset now instead of when the dataset is collected; jobs under way keep theirs until they end. The dataset
 * stays usable: the next training or prediction copies it again.
 *
 * @example
 * releaseDataset(dataset);
 */
export function releaseDataset(dataset: Dataset): void {
  const copies = panels.get(dataset);
  panels.delete(dataset);
  for (const panel of copies?.values() ?? []) panel.dispose();
}
