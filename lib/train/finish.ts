import type { NativeTerm } from "../binding/types.js";
import type { Dataset, Split } from "../data/types.js";
import { writeFileAtomically } from "../model/atomic-write.js";
import { removeRunFiles, RUN_PAGES } from "../run/files.js";
import type { RunFolder } from "../run/folder.js";
import { PredictionFiles } from "../run/prediction-files.js";
import { reportJson, type DateStatistics, type Report } from "../run/report.js";
import type { DateSelection } from "../model/predict.js";
import { blocksOf, type PackedScores, type Scorer, type ScoreRequest } from "../run/scoring.js";
import type { PhaseEvent } from "./events.js";
import { DateCollector, FACTOR_TERMS } from "./by-date.js";
import { splitMetrics } from "./split-metrics.js";

/** Inputs of the last part of a run, which scores every split and writes the results. */
export interface FinishOptions {
  folder: RunFolder;
  dataset: Dataset;
  scorer: Scorer;
  numPredictions: number;
  /** K; absent for an ensemble, whose factors stay with its members. */
  numRiskFactors?: number;
  dtype: "float32" | "float64";
  pairs: readonly (readonly [number, number])[];
  /** Empty for an ensemble. */
  objective: NativeTerm[];
  labels: readonly string[];
  peerDays: number;
  threads: number;
  signal: AbortSignal | undefined;
  onPhase(event: Omit<PhaseEvent, "seed">): void;
}

/** Takes part in the scoring of a rank that writes the results. */
export async function helpScoring({ dataset, scorer, ...options }: Omit<FinishOptions, "folder" | "dtype" | "numPredictions" | "pairs" | "labels" | "onPhase">): Promise<void> {
  for (const split of [dataset.train, dataset.valid, dataset.test, dataset.unlabelled]) {
    const { blocks, request } = scoringOf(split, { dataset, ...options });
    for (const selection of blocks) await scorer(selection, request);
  }
}

/** The blocks of dates in which a split is scored, and what of. */
function scoringOf(split: Split, { dataset, objective, peerDays, threads, signal, numRiskFactors }: Pick<FinishOptions, "dataset" | "objective" | "peerDays" | "threads" | "signal" | "numRiskFactors">): { blocks: Iterable<DateSelection>; request: ScoreRequest; asked: NativeTerm[] } {
  const whole = { dataset, dates: split.dateIndices };
  // Turnover compares neighbouring dates, so a cut would lose a pair.
  const blocks = objective.some(({ name }) => name === "turnover") ? blocksOf(whole, Math.max(1, whole.dates.length)) : blocksOf(whole);
  // Of the dates that were fitted M and A say little, and of the newest there is no label.
  const factorTerms = numRiskFactors === undefined || split.name === "train" ? [] : FACTOR_TERMS;
  const asked = [...objective, ...factorTerms];
  const request = { riskFactors: numRiskFactors !== undefined, threads, signal, ...(split.name === "unlabelled" ? {} : { peerDays, ...(asked.length === 0 ? {} : { objective: asked }) }) };
  return { blocks, request, asked };
}

/** Scores every split and the newest dates with the final weights and writes predictions, factors and report.json. */
export async function writeResults(options: FinishOptions, about: Omit<Report, "train" | "valid" | "test" | "daily" | "byDate">): Promise<Report> {
  const { folder, dataset, numPredictions, numRiskFactors, dtype } = options;
  const files = await PredictionFiles.create({
    dataset,
    predictions: folder.file("predictions.parquet"),
    numPredictions,
    dtype,
    ...(numRiskFactors === undefined ? {} : { factors: folder.file("factors.parquet"), numRiskFactors }),
  });
  const scored: Partial<Record<Split["name"], ScoredSplit>> = {};
  const splits = [dataset.train, dataset.valid, dataset.test, dataset.unlabelled];
  const total = splits.reduce((sum, { dates }) => sum + dates.length, 0);
  let done = 0;
  const advance = (dates: number): void => options.onPhase({ phase: "scoring", done: (done += dates), total });
  try {
    advance(0);
    for (const split of splits) scored[split.name] = await scoreSplit(split, files, advance, options);
    options.onPhase({ phase: "writing", done, total });
  } catch (error) {
    await files.close();
    throw error;
  }
  await files.finish();
  const { train, valid, test } = scored as Record<Split["name"], ScoredSplit>;
  const report: Report = { ...about, train: train.metrics, valid: valid.metrics, test: test.metrics, daily: { valid: valid.daily, test: test.daily }, byDate: { valid: valid.byDate, test: test.byDate } };
  // Of a run that was shorter until now.
  await removeRunFiles(folder.path, RUN_PAGES);
  await writeFileAtomically(folder.file("report.json"), reportJson(report));
  return report;
}

type ScoredSplit = Awaited<ReturnType<typeof splitMetrics>> & { byDate: DateStatistics };

async function scoreSplit(split: Split, files: PredictionFiles, advance: (dates: number) => void, options: FinishOptions): Promise<ScoredSplit> {
  const { dataset, scorer, objective, pairs, labels, numRiskFactors } = options;
  const whole = { dataset, dates: split.dateIndices };
  const { blocks, request, asked } = scoringOf(split, options);
  const parts: PackedScores[] = [];
  const byDate = new DateCollector();
  for (const selection of blocks) {
    const scores = await scorer(selection, request);
    await files.append(selection, scores, split.name);
    const { predictions, statistics, peers } = scores;
    parts.push({ predictions, statistics, peers, terms: columns(scores.terms, asked.length, 0, objective.length) });
    if (split.name === "valid" || split.name === "test") await byDate.add(selection, scores, columns(scores.terms, asked.length, objective.length, asked.length), numRiskFactors ?? 0);
    advance(selection.dates.length);
  }
  const [terms, names] = split.name === "unlabelled" ? [[], []] : [objective, labels];
  return { ...(await splitMetrics(whole, joined(parts), pairs, terms, names)), byDate: byDate.build() };
}

/** Columns `from` to `to` of a matrix of rows of `width`. */
function columns(values: Float64Array, width: number, from: number, to: number): Float64Array {
  return from === 0 && to === width ? values : values.filter((_, i) => i % width >= from && i % width < to);
}

function joined(parts: readonly PackedScores[]): PackedScores {
  const join = <A extends Float32Array | Float64Array>(arrays: readonly A[]): A => {
    const whole = new (arrays[0]!.constructor as new (length: number) => A)(arrays.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const array of arrays) {
      whole.set(array, at);
      at += array.length;
    }
    return whole;
  };
  if (parts.length === 0) return { predictions: new Float32Array(0), statistics: new Float64Array(0), terms: new Float64Array(0) };
  return {
    predictions: join(parts.map(({ predictions }) => predictions)),
    statistics: join(parts.map(({ statistics }) => statistics)),
    peers: join(parts.map(({ peers }) => peers ?? new Float64Array(0))),
    terms: join(parts.map(({ terms }) => terms)),
  };
}
