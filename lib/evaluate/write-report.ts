import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { AstgnnError } from "../errors.js";
import { writeFileAtomically } from "../model/atomic-write.js";
import type { ReportNumbers } from "../report/numbers.js";
import { renderReport } from "../report/render.js";
import type { StockPeers } from "./peers/peers.js";
import type { Ledger } from "../data/types.js";
import type { RunDescription } from "../run/description.js";
import { readEpochs } from "../run/epochs-file.js";
import type { Audit } from "./audit/audit.js";
import type { BaselineComparison } from "./baselines/compare.js";
import type { BacktestNumbers } from "../report/sections/backtest.js";
import type { RiskNumbers } from "../report/sections/risk.js";
import type { DayNumbers, ExplanationNumbers, PartNumbers } from "../report/sections/explanations.js";
import type { DayExplanation } from "./explain/explain-day.js";
import type { Explanation } from "./explain/explanation.js";
import type { PredictionsEvaluation } from "./evaluate-predictions.js";
import { evaluateRun, readJson, type RunEvaluation } from "./evaluate-run.js";

/** Version of report.json: it grows where a field goes or changes its meaning. */
const SCHEMA_VERSION = 1;

/** What a report gets: an evaluation of the run, of predictions, an audit, why a day's highest and lowest scores are what they are (`explainDay`), a stock's peers (`peersOfRun`), its risk model beside others (`compareRisk`), or a book held through the prices (`backtest`). */
export type ReportPart = RunEvaluation | PredictionsEvaluation | { readonly audit: Audit } | { readonly explanations: DayExplanation } | { readonly stockPeers: StockPeers } | { readonly risk: RiskNumbers } | { readonly backtest: BacktestNumbers; readonly ledger?: Ledger | undefined };

/** Peers and features that a report names of each stock. */
const NAMED_PARTS = 4;

/** What else a report is told. */
export interface WriteReportOptions {
  /** The run beside baselines. Default: what the report says already. */
  readonly comparison?: BaselineComparison | undefined;
  /** The command that made the run. Default: what the report says already. */
  readonly command?: string | undefined;
  /** Names of the file of predictions or weights and of the prices, where there is no run; `kind` "backtest" for a report that is about a backtest alone. */
  readonly predictions?: { readonly name: string; readonly prices: string; readonly kind?: "predictions" | "backtest" | undefined } | undefined;
}

/**
 * Writes numbers into report.json of a folder and makes report.html of it, a page for people that needs nothing else. Of a run, what the two said before
 * stays: the training's own numbers, and the evaluation beside an audit; a run that was not evaluated yet is, on what it was trained on.
 *
 * @param folder a run folder, or with `options.predictions` any other
 * @example
 * await writeReport("runs/first", await evaluateRun("runs/first"));
 * @throws AstgnnError ERR_OPTION where the folder cannot be written, or holds a run and is to get the report of other predictions; ERR_DATA
 *   where its report.json holds what no report has
 */
export async function writeReport(folder: string, part: ReportPart, options: WriteReportOptions = {}): Promise<void> {
  const { predictions } = options;
  if (predictions !== undefined && existsSync(join(folder, "run.json"))) {
    throw new AstgnnError("ERR_OPTION", `${folder} holds a run, whose report would be lost.`, { option: "out", file: folder, next: "Name another folder." });
  }
  const file = join(folder, "report.json");
  const before = predictions === undefined ? await readReport(file) : {};
  const { json, page } = await reportOf(folder, part, before, options).catch(async (cause: unknown) => {
    if (cause instanceof AstgnnError) throw cause;
    // It is the file's fault where it goes without.
    await reportOf(folder, part, {}, options);
    throw noReport(file, (cause as Error).message, cause);
  });
  try {
    await mkdir(folder, { recursive: true });
    await writeFileAtomically(file, json);
    await writeFileAtomically(join(folder, "report.html"), page);
  } catch (cause) {
    throw new AstgnnError("ERR_OPTION", `Cannot write the report into ${folder}: ${(cause as Error).message}.`, { option: "out", file: folder, cause, next: "Name a folder that can be written." });
  }
}

async function reportOf(folder: string, part: ReportPart, before: Partial<ReportNumbers>, { command, comparison, predictions }: WriteReportOptions): Promise<{ json: string; page: string }> {
  const isRun = existsSync(join(folder, "run.json"));
  // A training of the library says less of its splits than the page shows.
  const isUnevaluated = isRun && !("test" in part) && before.test !== undefined && before.test.daily === undefined;
  const whole = isUnevaluated ? { ...(await evaluateRun(folder, { onWarning: () => {} })), ...part } : part;
  const { audit, explanations, stockPeers, backtest, valid, test, ledger, ...rest } = whole as Partial<RunEvaluation> & { audit?: Audit; explanations?: DayExplanation; stockPeers?: StockPeers; backtest?: BacktestNumbers };
  const splits = Object.fromEntries(Object.entries({ valid, test }).flatMap(([name, split]) => (split === undefined ? [] : [[name, { ...before[name as "test"], ...split }]])));
  // A comparison is of the rows that the test had then: a walk-forward may have more folds by now.
  const { rows, rowsLeftOut } = before.comparison ?? {};
  const kept = test === undefined || (rows ?? NaN) + (rowsLeftOut ?? NaN) === test.rows ? before.comparison : undefined;
  const report = {
    ...before,
    schemaVersion: SCHEMA_VERSION,
    ...(predictions === undefined ? await aboutRun(folder, isRun) : { subject: { ...predictions, kind: predictions.kind ?? "predictions" } }),
    ...(command === undefined ? {} : { command }),
    comparison: comparison ?? kept,
    ...splits,
    ...rest,
    ...(ledger === undefined ? {} : { ledger }),
    ...(audit === undefined ? {} : { audit }),
    ...(explanations === undefined ? {} : { explanations: dayNumbers(explanations) }),
    ...(stockPeers === undefined ? {} : { peers: [...(before.peers ?? []).filter(({ ticker }) => ticker !== stockPeers.ticker), stockPeers] }),
    ...(backtest === undefined ? {} : { backtests: [...(before.backtests ?? []).filter(({ name }) => name !== backtest.name), backtest] }),
  };
  const json = `${JSON.stringify(report, null, 2)}\n`;
  // The page is made of what the file has, so that the two cannot differ.
  return { json, page: await renderReport(JSON.parse(json) as ReportNumbers) };
}

function dayNumbers({ date, top, bottom }: DayExplanation): DayNumbers {
  const of = ({ ticker, score, own, baseline, peers, features }: Explanation): ExplanationNumbers => {
    const [namedPeers, otherPeers] = largest(peers.map(({ ticker: name, part }) => ({ name, part })));
    const [namedFeatures, otherFeatures] = largest(features);
    return { ticker, score, own, baseline: baseline.score, peers: namedPeers, otherPeers, features: namedFeatures, otherFeatures };
  };
  return { date, top: top.map(of), bottom: bottom.map(of) };
}

/** The first parts, which are the largest, and the sum of the others. */
function largest(parts: readonly { readonly name: string; readonly part: number }[]): [named: PartNumbers[], others: number] {
  return [parts.slice(0, NAMED_PARTS).map(({ name, part }) => ({ name, part })), parts.slice(NAMED_PARTS).reduce((sum, { part }) => sum + part, 0)];
}

/** What the file says already: nothing where there is none. What the training said of itself stands nowhere else, so that a damaged one is not written over. */
async function readReport(file: string): Promise<Partial<ReportNumbers>> {
  if (!existsSync(file)) return {};
  const report = await readJson<unknown>(file);
  if (typeof report !== "object" || report === null || Array.isArray(report)) throw noReport(file, "it is no object");
  return report;
}

function noReport(file: string, why: string, cause?: unknown): AstgnnError {
  return new AstgnnError("ERR_DATA", `${file} holds what no report has: ${why}.`, { file, cause, next: "Move it away; astgnn train --resume writes it again." });
}

/** What run.json and metrics.jsonl say, without the clock. */
async function aboutRun(folder: string, isRun: boolean): Promise<Pick<ReportNumbers, "subject"> | object> {
  const name = basename(resolve(folder));
  if (!isRun) return { subject: { name, kind: "run" } };
  const { kind, formatVersion: _, status: __, ledger, timing: ___, memoryEstimateBytes: ____, bestEpoch: _____, ...run } = JSON.parse(await readFile(join(folder, "run.json"), "utf8")) as RunDescription;
  const members = run.members ?? ["."];
  const history = (await Promise.all(members.map((member) => readEpochs(join(folder, member, "metrics.jsonl"))))).flat().map(({ seconds: _, ...epoch }) => epoch);
  return { subject: { name, kind: (kind as string) === "walkForward" ? "walk-forward" : kind }, run, history, ledger };
}
