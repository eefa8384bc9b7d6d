/** astgnn: stock factors, an adaptive graph over them, and predictions through it. This file is the whole public surface. */
export { AstgnnError, type ErrorCode, type ErrorDetails } from "./errors.js";
export type { Warning } from "./warn.js";

export { openPanel, Panel, type PanelOptions } from "./data/panel.js";
export type { PanelDataOptions } from "./data/panel-options.js";
export type { PanelData, PanelDates } from "./data/source/memory.js";
export type { Groups } from "./data/groups.js";
export type { EdgesSource, GroupsSource } from "./data/relation-sources.js";
export type { AppendOptions } from "./data/append.js";
export type { NewRows } from "./data/new-rows.js";
export type { PriceBreak } from "./data/price-breaks.js";
export type { PanelOrigin, ReadingOptions } from "./data/origin.js";
export type { ArrowSource, ArrowTable, PanelSource, QlibSource, QuerySource } from "./data/source/panel-source.js";
export type { DatasetCall, DatasetOptions, DatasetProgress, Label, LabelTransform, LoadingsOptions, Processor, SplitOptions } from "./data/dataset-options.js";
export type { FeatureSetName } from "./data/features.js";
export type { DailyReturns, Dataset, DatasetDescription, Edges, GraphKind, LabelValues, Ledger, LedgerEntry, PanelValues, Split, StoredLabel, StoredLabelTransform, StoredLoadings, StoredProcessor } from "./data/types.js";

export { ASTGNNFactorModel, type ForwardOutput, type Neighbour } from "./model/model.js";
export type { InitialisationOptions, ModelConfig, ModelOptions } from "./model/config.js";
export type { Device } from "./model/device.js";
export type { DatePrediction, PredictDatesOptions } from "./model/predict-dates.js";
export type { PredictInput, Prediction, PredictOptions, PeerStatistics, SimilarityStatistics } from "./model/predict.js";
export { FactorExtractor, GraphAttention, RelationalEmbedding, TimeGraphConvolution, type GraphAttentionOptions, type TimeGraphConvolutionOptions } from "./model/layers.js";
export type { Offsets, PackedRowMask, RowMask } from "./model/row-mask.js";
export { Tensor, type StateDict, type TypedArray } from "./model/tensor.js";
export type { Precision } from "./binding/types.js";
export { setPrecision } from "./model/precision.js";
export { readSafetensors, writeSafetensors, type SafetensorsDtype, type SafetensorsFile, type SafetensorsTensor } from "./model/safetensors.js";

export { presets, type Preset, type PresetName } from "./presets.js";
export { train, type TrainingRun } from "./train/train.js";
export type { MonitorName, TrainOptions } from "./train/options.js";
export type { Loss, LossName, LossTerm } from "./train/objective.js";
export type { ScheduleName } from "./train/schedule.js";
export type { PhaseEvent, StartEvent, StepEvent, TrainEvents } from "./train/events.js";
export type { EpochEvent, SplitMetrics, TrainMetrics, WarningEvent } from "./run/records.js";
export { Ensemble, type EnsembleDatePrediction, type EnsemblePrediction } from "./run/ensemble.js";
export { LoadedRun, loadRun } from "./run/load.js";
export type { Report } from "./run/report.js";

export { evaluate, type EvaluateOptions } from "./metrics/evaluate.js";
export type { Metrics } from "./metrics/pairs.js";
export type { BookNumbers, Evaluation, GroupValues, NamedIc, StudyOptions } from "./metrics/study.js";
export type { PartIc } from "./metrics/breakdown.js";
export type { CostOptions } from "./metrics/costs.js";
export type { HorizonIc } from "./metrics/decay.js";
export type { DeflatedIc, Trial } from "./metrics/deflation.js";
export type { NeutralIc, StyleExposure } from "./metrics/exposures.js";
export { pairedDifference, type PairedDifference, type PairedDifferenceOptions } from "./metrics/paired-difference.js";
export { adjustedRandIndex } from "./metrics/adjusted-rand.js";
export { averagePredictions } from "./metrics/average-predictions.js";
export { marketOf, type MarketOptions } from "./evaluate/market-of.js";
export { evaluateRun, type EvaluateRunOptions, type RunEvaluation, type SplitEvaluation } from "./evaluate/evaluate-run.js";
export { evaluatePredictions, type EvaluatePredictionsOptions, type PredictionsEvaluation } from "./evaluate/evaluate-predictions.js";
export { writeReport, type ReportPart, type WriteReportOptions } from "./evaluate/write-report.js";
export { audit, type Audit, type AuditRunOptions } from "./evaluate/audit/audit.js";
export type { Finding, FindingCode, Severity } from "./evaluate/audit/finding.js";
export { peers, type Peer, type PeersOptions, type StockPeers } from "./evaluate/peers/peers.js";
export { clusters, type Cluster, type ClustersOptions, type DateClusters } from "./evaluate/peers/clusters.js";
export { clustersOfRun, peersOfRun, type RunPeersOptions } from "./evaluate/peers/run.js";
export type { CommonExposure } from "./evaluate/peers/members.js";
export type { RealisedCorrelation } from "./evaluate/peers/realised.js";
export { predictRun, type PredictRunOptions, type RunPrediction } from "./run/predict-run.js";

export { demonstrate, type Demonstration } from "./demo/demonstrate.js";
export type { DemonstrationOptions } from "./demo/options.js";
export { simulateMarket, writeSimulatedMarket, type ResolvedSimulation, type SimulatedMarket, type SimulationOptions } from "./demo/simulate.js";
