import { invalidOption } from "../errors.js";
import { requireObject } from "../options.js";
import type { PanelGrid } from "./panel-grid.js";
import type { Dataset } from "./types.js";

/** @throws AstgnnError ERR_OPTION for what is no panel */
export function requirePanel(panel: unknown): asserts panel is PanelGrid {
  requireObject(panel, "panel", "a panel of openPanel or Panel.from", "dates", "tickers", "columns", "values", "ledger");
}

/** @throws AstgnnError ERR_OPTION for what is no dataset */
export function requireDataset(dataset: unknown): asserts dataset is Dataset {
  const expected = "a dataset of panel.dataset";
  requireObject(dataset, "dataset", expected, "dates", "tickers", "featureNames", "rowOffsets", "rowStocks", "describe");
  const { dates, tickers, featureNames, rowOffsets, rowStocks } = dataset as Dataset;
  const isWhole = [dates, tickers, featureNames].every(Array.isArray) && rowOffsets instanceof Int32Array && rowStocks instanceof Int32Array && rowOffsets.length === dates.length + 1;
  if (!isWhole) throw invalidOption("dataset", expected, dataset);
}
