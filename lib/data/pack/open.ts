import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { z } from "zod";
import { loadCore, loadCoreAway } from "../../binding/load.js";
import type { NativeFeatures } from "../../binding/types.js";
import { AstgnnError } from "../../errors.js";
import { resolveOptions } from "../../options.js";
import type { PresetName } from "../../presets.js";
import { returnEnds } from "../daily-returns.js";
import { fingerprintOf } from "../digests.js";
import { addSplitLosses, splitOfRows, trainedOn, withLoadings } from "../dataset.js";
import type { SplitOptions } from "../dataset-options.js";
import { madeExposures } from "../exposures.js";
import { hasSet } from "../feature-sets.js";
import { labelShape } from "../labels.js";
import { LedgerBuilder } from "../ledger.js";
import { attachBasis, datesWithLoadings, planRefreshes } from "../loadings.js";
import { PanelDataset } from "../panel-dataset.js";
import type { PanelGrid } from "../panel-grid.js";
import { resolveDataset } from "../resolve-dataset.js";
import { planSplits, refuseEmptySplits, type SplitPlan } from "../splits.js";
import type { Dataset } from "../types.js";
import { CHUNK_DATES, readHeader, verifySections } from "./format.js";
import type { PackHeader, SectionName } from "./header.js";
import { keepReader } from "./reader.js";
import { refuseChanged } from "./source-stamp.js";

/** How a packed dataset is opened. */
export interface OpenPackOptions {
  /** Reads the file once and compares every checksum. Default true; false where it was just compared, by another process on the same machine, say. */
  readonly verify?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

const schema = z.strictObject({ verify: z.boolean().default(true).describe("true or false"), signal: z.instanceof(AbortSignal).optional().describe("an AbortSignal") });

/** How a packed dataset is split. */
export interface PackSplitOptions {
  readonly split: SplitOptions;
  /** As of `panel.dataset`. Default 0. */
  readonly embargo?: number | undefined;
}

/** A packed dataset: everything but the split is decided. */
export class Pack {
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  readonly featureNames: readonly string[];
  /** The preset that it was packed with. */
  readonly preset: PresetName | undefined;
  /** SHA-256 (hex) of the panel that was packed, as of its datasets. */
  readonly fingerprint: string;
  readonly #file: string;
  readonly #header: PackHeader;
  /** Of the file that was opened: another of its name is another. */
  readonly #identity: string;

  constructor(file: string, header: PackHeader, identity: string) {
    this.dates = Object.freeze(header.dates);
    this.tickers = Object.freeze(header.tickers);
    this.featureNames = header.description.featureNames;
    this.preset = header.preset;
    this.fingerprint = fingerprintOf(header.digests);
    this.#file = resolve(file);
    this.#header = header;
    this.#identity = identity;
  }

  /**
   * The samples with a split. Features, labels and targets stay in the file; processes of one machine share what of it is in memory. Where the file
   * is cut meanwhile, what is under way ends with ERR_DATA, and this process takes no more of it.
   *
   * @throws AstgnnError ERR_OPTION, ERR_DATA as `panel.dataset`, or where the file is no longer the one that was opened
   */
  async dataset({ split, embargo = 0 }: PackSplitOptions): Promise<Dataset> {
    await loadCoreAway();
    const core = loadCore();
    const header = this.#header;
    const { dates, tickers, description, sections, slots } = header;
    const [D, N, F] = [dates.length, tickers.length, description.featureNames.length];
    const shape = labelShape(header.label);
    const place = (name: SectionName): { file: string; offset: number; length: number } => ({ file: this.#file, offset: sections[name]!.offset, length: sections[name]!.shape.reduce((a, b) => a * b, 1) });
    const whole = (name: SectionName): Int32Array => core.mapArray({ ...place(name), type: "int32" });
    const ifAny = <K extends SectionName>(names: readonly K[]): Partial<Record<K, Int32Array>> => Object.fromEntries(names.filter((name) => sections[name] !== undefined).map((name) => [name, whole(name)])) as Partial<Record<K, Int32Array>>;
    const mapped = (name: "features" | "exposures", count: number, width: number, of: Partial<Record<"slot" | "from" | "last" | "until", Int32Array>>): NativeFeatures =>
      core.mapFeatures({ ...(name === "features" ? ifAny(["ranked"] as const) : {}), file: this.#file, offset: sections[name]!.offset, dates: D, stocks: N, featureCount: width, slots: count, ...of });
    const { exposureSlot, exposureFrom, exposureLast, exposureUntil } = ifAny(["exposureSlot", "exposureFrom", "exposureLast", "exposureUntil"] as const);
    const basis = header.loadings === undefined ? undefined : Object.freeze({ ...header.loadings, tickers, values: core.mapArray({ ...place("loadings"), type: "float32" }) });
    if (basis !== undefined) attachBasis(description, basis);
    const { cut: described } = resolveDataset({ description, split, embargo }, header.columns);
    const cut = { ...described, requiredHistory: header.requiredHistory ?? described.requiredHistory, processors: header.processors ?? described.processors };
    const { groups, edgeSource, edgeTarget, edgeFrom, edgeTo } = ifAny(["groups", "edgeSource", "edgeTarget", "edgeFrom", "edgeTo"] as const);
    const panel = this.#grid(edgeSource === undefined ? undefined : { source: edgeSource, target: edgeTarget!, from: edgeFrom!, to: edgeTo! }, sections.groupCodes === undefined ? undefined : whole("groupCodes"));

    const ledger = new LedgerBuilder(header.ledger.entries);
    const scored = basis === undefined ? undefined : datesWithLoadings(planRefreshes(dates, cut.loadings!, basis), hasSet(cut.features, "loadings") ? cut.window : 1);
    const calendar = withLoadings(planSplits(dates, cut, shape, header.lastLabelled, cut.split, cut.embargo), scored, panel, cut, ledger);
    refuseEmptySplits(calendar, dates);
    this.#refuseOtherFit(calendar);
    // Dates before the start of a split have no rows.
    const all = whole("rowOffsets");
    const rowStocks = whole("rowStocks");
    this.#refuseOtherRows(all, rowStocks);
    const before = all[calendar.first]!;
    const rowOffsets = all.map((offset) => Math.max(0, offset - before));
    const plan = splitOfRows(calendar, rowOffsets, cut, dates, ledger);
    addSplitLosses(ledger, plan);
    const native = mapped("features", slots, F, ifAny(["slot", "from", "last", "until"] as const));
    const { exposures: list } = cut;
    const exposed = header.exposureSlots === undefined ? undefined : mapped("exposures", header.exposureSlots, list!.sources.length, exposureSlot === undefined ? {} : { slot: exposureSlot, from: exposureFrom!, last: exposureLast!, until: exposureUntil! });
    const exposures = list === undefined ? undefined : madeExposures(panel, list, list.loadings === undefined ? undefined : basis, exposed);
    const returns = sections.returns === undefined ? undefined : { values: core.mapArray({ ...place("returns"), type: "float32" }), ends: returnEnds(dates, plan) };
    const labels = core.mapArray({ ...place("labels"), type: "float32" });
    const targets = core.mapTensor({ file: this.#file, offset: sections.targets!.offset, shape: sections.targets!.shape });
    if ((await identityOf(this.#file)) !== this.#identity) {
      throw new AstgnnError("ERR_DATA", `${this.#file} was replaced or written to since it was opened.`, { file: this.#file, next: "Open it again." });
    }
    const dataset = new PanelDataset({
      panel, cut, shape, rowOffsets, plan, targets,
      rowStocks: rowStocks.subarray(before),
      features: { native, processors: described.processors, basis: hasSet(cut.features, "loadings") ? basis : undefined, release: () => native.dispose() },
      exposures,
      digests: header.digests,
      labels,
      returns,
      groups: groups?.subarray(before),
      ledger: ledger.build(header.ledger.rowsRead, header.ledger.rowsKept),
    });
    keepReader(dataset, { chunkDates: CHUNK_DATES, expect: (from, to) => native.disposed || native.expect(from, to), release: (from, to) => native.disposed || native.release(from, to) });
    return dataset;
  }

  /** Where rows are is a matter of two arrays, and loops go by them. */
  #refuseOtherRows(offsets: Int32Array, stocks: Int32Array): void {
    const isAscending = offsets[0] === 0 && offsets.every((offset, t) => t === 0 || offset >= offsets[t - 1]!) && offsets.at(-1) === stocks.length;
    const of = this.tickers.length;
    if (isAscending && stocks.every((stock) => stock >= 0 && stock < of)) return;
    throw new AstgnnError("ERR_DATA", `${this.#file} cannot be used: its rows are not those of ${of} stocks and ${this.dates.length} dates.`, { file: this.#file, next: "Pack the data again." });
  }

  /** What was fitted on training dates is not for others: it would know later ones. */
  #refuseOtherFit(plan: SplitPlan): void {
    const { fit, dates } = this.#header;
    const { from, to } = trainedOn(plan) ?? { from: 0, to: 0 };
    if (fit === undefined || (fit[0] === dates[from] && fit[1] === dates[to])) return;
    throw new AstgnnError("ERR_OPTION", `Processors of ${this.#file} were fitted on the training dates ${fit[0]} to ${fit[1]}, and those of this split are ${dates[from]!} to ${dates[to]!}.`, {
      file: this.#file, option: "split", next: "Give the split that it was packed with, or pack again with this one.",
    });
  }

  /** What of the panel is left: its names and edges. Values are in the file only as features. */
  #grid(edges: PanelGrid["edges"], codes: Int32Array = new Int32Array(0)): PanelGrid {
    const { dates, tickers, columns, groupNames, extremeReturns, ledger, digests } = this.#header;
    const file = this.#file;
    const none = new Uint8Array(0);
    const noColumn = (column: string): AstgnnError => new AstgnnError("ERR_DATA", `${file} holds features, and no column ${column}.`, { file, column, next: "Open the table that it was packed from." });
    return {
      dates, tickers, columns, edges, extremeReturns, ledger,
      universe: none, present: none, tradable: undefined, segments: undefined,
      groups: groupNames === undefined ? undefined : { codes, names: groupNames as string[] },
      source: file,
      origin: { source: file, options: {} },
      has: () => false,
      isRead: () => false,
      read: ([column = ""]) => Promise.reject(noColumn(column)),
      values: (column) => { throw noColumn(column); },
      digests: () => digests,
    };
  }
}

/** By which a file is known again: where it lies on its disk, its size and when it was written to. */
async function identityOf(file: string): Promise<string> {
  const found = await stat(file, { bigint: true }).catch(() => undefined);
  return found === undefined ? "none" : [found.dev, found.ino, found.size, found.mtimeNs].join(" ");
}

/**
 * Opens what {@link pack} wrote.
 *
 * @example
 * const packed = await openPack("us.pack");
 * @throws AstgnnError ERR_DATA where the file is no packed dataset, of another format, cut or damaged, or its source has changed; ERR_OPTION
 */
export async function openPack(file: string, options: OpenPackOptions = {}): Promise<Pack> {
  const { verify, signal } = resolveOptions(schema, options, "openPack");
  const identity = await identityOf(file);
  const header = await readHeader(file);
  await refuseChanged(file, header.sourceFiles);
  if (verify) await verifySections(file, header, signal);
  return new Pack(file, header, identity);
}
