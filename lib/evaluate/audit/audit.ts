import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { DatasetOptions } from "../../data/dataset-options.js";
import { Panel } from "../../data/panel.js";
import type { PanelSource } from "../../data/source/panel-source.js";
import { isIsoDate } from "../../data/calendar.js";
import { AstgnnError, invalidOption } from "../../errors.js";
import { requireObject, resolveOptions } from "../../options.js";
import { readDescription } from "../../run/description.js";
import { loadRun } from "../../run/load.js";
import { readEpochs } from "../../run/epochs-file.js";
import { awaitReplacement } from "../../run/replacement.js";
import { differenceFrom, openRunData } from "../run-data.js";
import { LIVE_CHECKS, liveCheck } from "../live/live-check.js";
import { lastKnown } from "../live/live-subject.js";
import { chosenOnTest } from "./chosen-on-test.js";
import { bySeverity, type Finding } from "./finding.js";
import { filledInputs } from "./filled-inputs.js";
import { futureProbe } from "./future-probe.js";
import { fullSampleScaling } from "./full-sample-scaling.js";
import { hindsightUniverse } from "./hindsight-universe.js";
import { labelLeaks } from "./label-leaks.js";
import { labelWindows } from "./label-windows.js";
import { processorStatistics } from "./processor-statistics.js";
import { reversedTime } from "./reversed-time.js";
import { repeatedRows } from "./repeated-rows.js";
import { relationDates } from "./relation-dates.js";
import { shuffledLabels } from "./shuffled-labels.js";
import { auditSubject, type AuditedRun, type AuditSubject, type TrainingHistory } from "./subject.js";

/** What an audit found. */
export interface Audit {
  /** Whether there is no finding of severity `fail`. */
  readonly passed: boolean;
  /** The worst first. */
  readonly findings: readonly Finding[];
  /** What was looked at, also where nothing was found. */
  readonly checks: readonly string[];
  /** True where later data than those of a run were checked, and not the run itself. */
  readonly live?: boolean;
}

/** How to audit a run. */
export interface AuditRunOptions {
  /**
   * The data of the run, at another place or already open; or data that go on after them, to be scored: then these are checked against the training.
   * Default: what the run was trained on, read again.
   */
  readonly source?: PanelSource | Panel | undefined;
  /** Up to when data that go on should reach, YYYY-MM-DD. Default: today. */
  readonly asOf?: string | undefined;
  /** Also train the model for one epoch on shuffled labels and in reversed time, with three seeds: as long as six epochs of the run. Default false. */
  readonly shuffled?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

const RunOptionsSchema = z.strictObject({
  source: z.custom<PanelSource | Panel>((value) => typeof value === "string" || (typeof value === "object" && value !== null)).optional().describe("a file, a list of files, { sql } or a panel"),
  asOf: z.string().refine(isIsoDate).default(() => new Date().toISOString().slice(0, 10)).describe("a date as YYYY-MM-DD"),
  shuffled: z.boolean().default(false).describe("true or false"),
  signal: z.instanceof(AbortSignal).optional().describe("an AbortSignal"),
});

const CHECKS: Readonly<Record<string, (subject: AuditSubject) => Finding[] | Promise<Finding[]>>> = {
  "values of later dates": futureProbe,
  "scaling by the whole sample": fullSampleScaling,
  "features that are or know the label": labelLeaks,
  "labels that reach across splits": labelWindows,
  "statistics of processors": processorStatistics,
  "repeated rows": repeatedRows,
  "groups and edges of one date": relationDates,
  "a universe chosen with hindsight": hindsightUniverse,
  "missing values that look like data": filledInputs,
  "epochs and settings chosen on the test": chosenOnTest,
};

/**
 * Looks for what makes numbers from data, or from a run, less believable than they look: a pipeline that reads later dates, columns that were scaled with dates to come, features that are the
 * label, rows filled forward, a universe of survivors, missing values that look like data. docs/audit.md says what each finding means.
 *
 * @param subject a panel, with the options of `panel.dataset`; or a run folder: then data and options are those of its run.json
 * @example
 * const { passed, findings } = await audit(panel, { features: ["signal"], split: { trainEnd: "2015-12-31", validEnd: "2016-12-30" } });
 * for (const { severity, code, text, next } of findings) console.log(severity, code, text, next);
 * @throws AstgnnError as `openPanel` and `panel.dataset`; ERR_CHECKPOINT where the folder holds no run; ERR_DATA where its data are others by now
 */
export async function audit(subject: Panel, options: DatasetOptions): Promise<Audit>;
export async function audit(subject: string, options?: AuditRunOptions): Promise<Audit>;
export async function audit(subject: Panel | string, options: DatasetOptions | AuditRunOptions = {}): Promise<Audit> {
  if (typeof subject === "string") return auditRun(subject, resolveOptions(RunOptionsSchema, options, "audit") as AuditRunOptions);
  if (!(subject instanceof Panel)) throw invalidOption("subject", "a panel or a run folder", subject);
  requireObject(options, "options", "those of panel.dataset");
  return audited(subject, options as DatasetOptions, undefined);
}

async function audited(panel: Panel, options: DatasetOptions, run: AuditedRun | undefined, shuffled = false): Promise<Audit> {
  if ("description" in options && options.split === undefined) {
    throw new AstgnnError("ERR_OPTION", "An audit needs a split.", { option: "split", next: "Give split: { trainEnd, validEnd }." });
  }
  using subject = await auditSubject(panel, options, run);
  const findings: Finding[] = [];
  for (const check of Object.values(CHECKS)) {
    findings.push(...(await check(subject)));
    // A check takes up to seconds: timers and an abort have their turn between two.
    await new Promise((resume) => setImmediate(resume));
    options.signal?.throwIfAborted();
  }
  const checks = [...Object.keys(CHECKS), ...(shuffled ? ["training on shuffled labels", "training in reversed time"] : [])];
  if (shuffled) findings.push(...(await shuffledLabels(subject, options.signal)), ...(await reversedTime(subject, options.signal)));
  return { passed: findings.every(({ severity }) => severity !== "fail"), findings: bySeverity(findings), checks };
}

async function auditRun(folder: string, { source, shuffled, asOf, signal }: AuditRunOptions): Promise<Audit> {
  await awaitReplacement(folder);
  const description = await readDescription(folder);
  using loaded = await loadRun(folder, { device: "cpu" });
  const given = source === undefined || source instanceof Panel ? source : await loaded.openPanel(source, { onWarning: () => {}, signal });
  const isSame = given !== undefined && (await differenceFrom(folder, description, given, signal)) === undefined;
  const known = given === undefined || isSame ? undefined : lastKnown(description);
  if (known !== undefined && given!.dates.at(-1)! > known) {
    const findings = await liveCheck(folder, description, loaded, given!, { known, asOf: asOf!, signal });
    return { passed: findings.every(({ severity }) => severity !== "fail"), findings: bySeverity(findings), checks: LIVE_CHECKS, live: true };
  }
  const panel = await openRunData(folder, description, isSame ? given : source, signal);
  const { extremeReturns: _, ...options } = description.dataset;
  const members = description.members?.map((name) => join(folder, name)) ?? [folder];
  const histories = await Promise.all(members.map(readHistory));
  const run: AuditedRun = { folder, description, models: loaded.models, histories, ...(await storedIcs(folder)) };
  return await audited(panel, { ...options, signal } as unknown as DatasetOptions, run, shuffled);
}

async function readHistory(folder: string): Promise<TrainingHistory> {
  const { bestEpoch } = await readDescription(folder);
  return { folder, bestEpoch, epochs: await readEpochs(join(folder, "metrics.jsonl")) };
}

/** What the run's report says of its splits; undefined where it has none. */
async function storedIcs(folder: string): Promise<Pick<AuditedRun, "testIc" | "validIc">> {
  const report = await readFile(join(folder, "report.json"), "utf8").then((text) => JSON.parse(text) as { valid?: { ic?: unknown } | null; test?: { ic?: unknown } | null } | null).catch(() => null);
  const known = (ic: unknown): number | undefined => (typeof ic === "number" && Number.isFinite(ic) ? ic : undefined);
  return { testIc: known(report?.test?.ic), validIc: known(report?.valid?.ic) };
}
