import type { FlagGroup } from "./flags.js";

/** Flags of `openPanel`. */
export const panelFlags: FlagGroup = {
  title: "Data",
  flags: [
    { flags: "--date-column <name>", option: "dateColumn", kind: "text", help: "column of the date (default: date)" },
    { flags: "--ticker-column <name>", option: "tickerColumn", kind: "text", help: "column of the ticker (default: ticker)" },
    { flags: "--columns <names>", option: "columns", kind: "texts", help: "number columns to read, comma-separated (default: all)" },
    { flags: "--tradable-column <name>", option: "tradableColumn", kind: "text", help: "column that is true where a stock can be traded: false at entry removes the label" },
    { flags: "--universe-column <name>", option: "universeColumn", kind: "text", help: "column that is true where a stock is in the universe" },
    { flags: "--groups <file>", option: "groups.file", kind: "text", help: "file with ticker and group (an industry, say), optionally from and to" },
    { flags: "--group-column <name>", option: "groups.column", kind: "text", help: "column of the group, in the groups file or else in the data (default: group)" },
    { flags: "--edges <file>", option: "edges.file", kind: "text", help: "file with ticker and neighbor, optionally from and to" },
    { flags: "--directed-edges", option: "edges.symmetric", kind: "switch", value: false, help: "a ticker sees its neighbor but not the other way round" },
    { flags: "--max-dropped <share>", option: "maxDropped", kind: "scalar", help: "largest share of rows, prices, labels, groups or edges that may be lost, or of rows with a feature that a processor fills, 0 to 1 (default: 0.05; of predict: as in training)" },
    { flags: "--extreme-returns <action>", option: "extremeReturns", kind: "text", help: "returns that look like a split the prices were not adjusted for: warn, error or missing (default: warn)" },
  ],
};

/** Flags of `panel.dataset`. */
export const datasetFlags: FlagGroup = {
  title: "Samples",
  flags: [
    { flags: "--features <names>", option: "features", kind: "texts", help: "ohlcv, or columns of the data, comma-separated (default: ohlcv)" },
    { flags: "--window <dates>", option: "window", kind: "scalar", help: "window length in panel dates, from 1 (default: 16)" },
    { flags: "--max-missing-dates <dates>", option: "maxMissingDates", kind: "scalar", help: "dates that a window may lack; processors fill the features there (default: 0)" },
    { flags: "--label-horizon <days>", option: "label.horizonDays", kind: "scalarOrList", help: "panel dates from entry to end of the forward return, one or several, from 1 (default: 1)" },
    { flags: "--label-lag <days>", option: "label.lagDays", kind: "scalar", help: "panel dates from the sample to its entry, from 0 (default: 1)" },
    { flags: "--label-column <name>", option: "label.column", kind: "text", help: "column that holds the label, instead of a forward return; --label-horizon must say which dates it looks at, 0 for no later one" },
    { flags: "--label-transform <name>", option: "labelTransform.transform", kind: "text", help: "what the loss sees: rank, zscore or none (default: rank)" },
    { flags: "--label-winsorize <k>", option: "labelTransform.winsorize", kind: "scalar", help: "clip labels to median +- k robust deviations before the transform" },
    { flags: "--processors <list>", option: "processors", kind: "jsonOrTexts", help: 'feature processors in order: names, or JSON such as \'["zscore", {"name": "fill", "value": 0}]\' (default for ohlcv: rank,fill)' },
    { flags: "--train-end <date>", option: "split.trainEnd", kind: "text", help: "labels of the training dates end by this date, YYYY-MM-DD" },
    { flags: "--valid-end <date>", option: "split.validEnd", kind: "text", help: "labels of the validation dates end by this date; the test follows (default: no validation, the last epoch counts, and the test follows training)" },
    { flags: "--start <date>", option: "split.start", kind: "text", help: "first label end; windows may reach back before it (default: as early as the data allow)" },
    { flags: "--fractions <shares>", option: "split.fractions", kind: "scalars", help: "train, valid and test as shares of the labelled dates, instead of dates; 1,0,0 trains on all of them" },
    { flags: "--embargo <dates>", option: "embargo", kind: "scalar", help: "sample dates dropped at the beginning of valid and of test (default: 0)" },
    { flags: "--graph <kind>", option: "graph", kind: "text", help: "attention mask: complete, groups or edges (default: complete)" },
  ],
};
