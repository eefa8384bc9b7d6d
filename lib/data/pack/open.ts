import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { z } from "zod";
import { loadCore, loadCoreAway } from "../../binding/load.js";
import { AstgnnError } from "../../errors.js";
import { resolveOptions } from "../../options.js";
import { returnEnds } from "../daily-returns.js";
import { fingerprintOf } from "../digests.js";
import { addSplitLosses, splitOfRows } from "../dataset.js";
import type { SplitOptions } from "../dataset-options.js";
import { labelShape } from "../labels.js";
import { LedgerBuilder } from "../ledger.js";
import { PanelDataset } from "../panel-dataset.js";
import type { PanelGrid } from "../panel-grid.js";
import { resolveDataset } from "../resolve-dataset.js";
import { planSplits, refuseEmptySplits } from "../splits.js";
import type { Dataset } from "../types.js";
import { CHUNK_DATES, readHeader, verifySections, type PackHeader, type SectionName } from "./format.js";
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
    const { cut } = resolveDataset({ description, split, embargo }, header.columns);
    const shape = labelShape(header.label);
    const place = (name: SectionName): { file: string; offset: number; length: number } => ({ file: this.#file, offset: sections[name]!.offset, length: sections[name]!.shape.reduce((a, b) => a * b, 1) });
    const whole = (name: SectionName): Int32Array => core.mapArray({ ...place(name), type: "int32" });
    const ifAny = <K extends SectionName>(names: readonly K[]): Partial<Record<K, Int32Array>> => Object.fromEntries(names.filter((name) => sections[name] !== undefined).map((name) => [name, whole(name)])) as Partial<Record<K, Int32Array>>;
    const { groups, edgeSource, edgeTarget, edgeFrom, edgeTo } = ifAny(["groups", "edgeSource", "edgeTarget", "edgeFrom", "edgeTo"] as const);
    const panel = this.#grid(edgeSource === undefined ? undefined : { source: edgeSource, target: edgeTarget!, from: edgeFrom!, to: edgeTo! });

    const ledger = new LedgerBuilder(header.ledger.entries);
    const calendar = planSplits(dates, cut, shape, header.lastLabelled, cut.split, cut.embargo);
    refuseEmptySplits(calendar, dates);
    // Dates before the start of a split have no rows.
    const all = whole("rowOffsets");
    const before = all[calendar.first]!;
    const rowOffsets = all.map((offset) => Math.max(0, offset - before));
    const plan = splitOfRows(calendar, rowOffsets, cut, dates, ledger);
    addSplitLosses(ledger, plan);
    const native = core.mapFeatures({ file: this.#file, offset: sections.features!.offset, dates: D, stocks: N, featureCount: F, slots, ...ifAny(["slot", "from", "last", "until"] as const) });
    const returns = sections.returns === undefined ? undefined : { values: core.mapArray({ ...place("returns"), type: "float32" }), ends: returnEnds(dates, plan) };
    const [rowStocks, labels] = [whole("rowStocks"), core.mapArray({ ...place("labels"), type: "float32" })];
    const targets = core.mapTensor({ file: this.#file, offset: sections.targets!.offset, shape: sections.targets!.shape });
    if ((await identityOf(this.#file)) !== this.#identity) {
      throw new AstgnnError("ERR_DATA", `${this.#file} was replaced or written to since it was opened.`, { file: this.#file, next: "Open it again." });
    }
    const dataset = new PanelDataset({
      panel, cut, shape, rowOffsets, plan, targets,
      rowStocks: rowStocks.subarray(before),
      features: { native, processors: cut.processors, basis: undefined, release: () => native.dispose() },
      exposures: undefined,
      digests: header.digests,
      labels,
      returns,
      groups: groups?.subarray(before),
      ledger: ledger.build(header.ledger.rowsRead, header.ledger.rowsKept),
    });
    keepReader(dataset, { chunkDates: CHUNK_DATES, expect: (from, to) => native.disposed || native.expect(from, to), release: (from, to) => native.disposed || native.release(from, to) });
    return dataset;
  }

  /** What of the panel is left: its names and edges. Values are in the file only as features. */
  #grid(edges: PanelGrid["edges"]): PanelGrid {
    const { dates, tickers, columns, groupNames, extremeReturns, ledger, digests } = this.#header;
    const file = this.#file;
    const none = new Uint8Array(0);
    const noColumn = (column: string): AstgnnError => new AstgnnError("ERR_DATA", `${file} holds features, and no column ${column}.`, { file, column, next: "Open the table that it was packed from." });
    return {
      dates, tickers, columns, edges, extremeReturns, ledger,
      universe: none, present: none, tradable: undefined, segments: undefined,
      groups: groupNames === undefined ? undefined : { codes: new Int32Array(0), names: groupNames as string[] },
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
