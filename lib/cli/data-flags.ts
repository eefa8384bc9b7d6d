import { DatasetOptionsSchema, LabelSchema, LabelTransformSchema, LoadingsSchema, SplitSchema } from "../data/dataset-options.js";
import { PanelOptionsSchema } from "../data/panel-options.js";
import type { FlagGroup } from "./flags.js";
import { flagOf } from "./schema-flags.js";

const panel = PanelOptionsSchema.shape;
const groups = panel.groups.unwrap().shape;

/** Flags of `openPanel`. */
export const panelFlags: FlagGroup = {
  title: "Data",
  flags: [
    flagOf("dateColumn", panel.dateColumn, { help: "column of the date", value: "name" }),
    flagOf("tickerColumn", panel.tickerColumn, { help: "column of the ticker", value: "name" }),
    { flags: "--rename <name=column...>", option: "rename", kind: "pairs", help: 'columns by other names than the data give them, e.g. close="Adj Close"; Close is read as close without it' },
    flagOf("columns", panel.columns, { help: "number columns to read", value: "names", byDefault: "all" }),
    flagOf("tradableColumn", panel.tradableColumn, { help: "column that is true where a stock can be traded: false at entry removes the label", value: "name" }),
    flagOf("universeColumn", panel.universeColumn, { help: "column that is true where a stock is in the universe", value: "name" }),
    flagOf("groups.file", groups.file, { name: "groups", help: "file with ticker and group (an industry, say), optionally from and to", value: "file" }),
    flagOf("groups.column", groups.column, { name: "group-column", help: "column of the group, in the groups file or else in the data", value: "name" }),
    flagOf("edges.file", panel.edges.unwrap().shape.file, { name: "edges", help: "file with ticker and neighbor, optionally from and to", value: "file" }),
    { flags: "--directed-edges", option: "edges.symmetric", kind: "switch", value: false, help: "a ticker attends to its neighbor but not the other way round" },
    flagOf("maxDropped", panel.maxDropped, {
      help: "largest share of rows, prices, labels, groups or edges that may be lost, or of rows with a feature that a processor fills", value: "share", byDefault: "0.05; of predict: as in training",
    }),
    flagOf("extremeReturns", panel.extremeReturns, { help: "returns that look like a split the prices were not adjusted for", value: "action" }),
  ],
};

const samples = DatasetOptionsSchema.shape;
const loadings = LoadingsSchema.shape;
const [forwardReturn, labelColumn] = LabelSchema.options;
const transform = LabelTransformSchema.options[1].shape;
const [dates, shares] = SplitSchema.options;

/** Flags of `panel.dataset`. */
export const datasetFlags: FlagGroup = {
  title: "Samples",
  flags: [
    flagOf("features", samples.features, { help: "sets of features (ohlcv, loadings, style) and columns of the data, comma-separated", value: "names", kind: "texts" }),
    flagOf("loadings.window", loadings.window, { name: "loadings-window", help: "daily returns that loadings are estimated from", value: "dates" }),
    flagOf("loadings.halfLife", loadings.halfLife, { name: "loadings-half-life", help: "dates after which a return counts half", value: "dates" }),
    flagOf("loadings.count", loadings.count, { name: "loadings-count", help: "loadings of a stock", value: "count" }),
    flagOf("loadings.refresh", loadings.refresh, { name: "loadings-refresh", help: "dates from one estimate of the loadings to the next", value: "dates" }),
    flagOf("window", samples.window, { help: "window length", value: "dates" }),
    flagOf("maxMissingDates", samples.maxMissingDates, { help: "dates that a window may lack, where processors fill the features", value: "dates" }),
    flagOf("label.horizonDays", forwardReturn.shape.horizonDays, { name: "label-horizon", help: "from entry to end of the forward return", value: "days", kind: "scalarOrList" }),
    flagOf("label.lagDays", forwardReturn.shape.lagDays, { name: "label-lag", help: "from the sample to its entry", value: "days" }),
    flagOf("label.column", labelColumn.shape.column, {
      name: "label-column", help: "column that holds the label, instead of a forward return; --label-horizon must say which dates it looks at, 0 for no later one", value: "name",
    }),
    flagOf("labelTransform.transform", transform.transform, { name: "label-transform", help: "what the loss sees: rank, zscore or none", value: "name" }),
    flagOf("labelTransform.winsorize", transform.winsorize, { name: "label-winsorize", help: "clip labels to median +- k robust deviations before the transform", value: "k" }),
    flagOf("labelTransform.neutralise", transform.neutralise, {
      name: "neutralise", help: "take out of labels what known properties explain before the transform: loadings, style, groups and columns of the data, comma-separated", value: "names", kind: "texts",
    }),
    flagOf("processors", samples.processors, {
      help: 'feature processors in order: names, or JSON such as \'["zscore", {"name": "fill", "value": 0}]\'', value: "list", kind: "jsonOrTexts", byDefault: "rank,fill for ohlcv, fill for loadings and style",
    }),
    flagOf("split.trainEnd", dates.shape.trainEnd, { name: "train-end", help: "labels of the training dates end by this date", value: "date" }),
    flagOf("split.validEnd", dates.shape.validEnd, {
      name: "valid-end", help: "labels of the validation dates end by this date; the test follows", value: "date", byDefault: "no validation, the last epoch counts, and the test follows training",
    }),
    flagOf("split.testEnd", dates.shape.testEnd, { name: "test-end", help: "labels of the test dates end by this date; later dates are in no split", value: "date", byDefault: "with the labels" }),
    flagOf("split.start", dates.shape.start, { name: "start", help: "first label end; windows may reach back before it", value: "date", byDefault: "as early as the data allow" }),
    flagOf("split.fractions", shares.shape.fractions, { name: "fractions", help: "train, valid and test as shares of the labelled dates, comma-separated, instead of dates; 1,0,0 trains on all of them", value: "shares", kind: "scalars" }),
    flagOf("embargo", samples.embargo, { help: "sample dates dropped at the beginning of valid and of test", value: "dates" }),
    flagOf("graph", samples.graph, { help: "attention mask", value: "kind" }),
  ],
};
