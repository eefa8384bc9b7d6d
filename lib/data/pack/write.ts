import { open, type FileHandle } from "node:fs/promises";
import { finished } from "../../binding/job.js";
import { loadCore } from "../../binding/load.js";
import { packageVersion } from "../../binding/package-root.js";
import type { NativeFeatures } from "../../binding/types.js";
import { AstgnnError } from "../../errors.js";
import type { PresetName } from "../../presets.js";
import { sampleCalendar, type MadeInFile } from "../dataset.js";
import type { Panel } from "../panel.js";
import type { ResolvedDatasetOptions } from "../resolve-dataset.js";
import type { Dataset } from "../types.js";
import { CHUNK_DATES, checkedSection, nextPage, writeAll, writeHeader, writeSection } from "./format.js";
import { PAGE, type PackHeader, type PackSection, type SectionName } from "./header.js";
import { stampsOf } from "./source-stamp.js";
import type { PackStore } from "./store.js";

/** What was packed. */
export interface Packed {
  readonly file: string;
  readonly bytes: number;
  readonly dates: number;
  readonly stocks: number;
  /** Stocks that lie side by side: about as many as are there at once. */
  readonly slots: number;
  readonly rows: number;
  readonly features: number;
}

/** What a dataset was made of that no dataset shows. */
export type Made = Parameters<MadeInFile["onMade"]>[0];

/** Writes what comes behind features and exposures, which are in the file already. */
export async function writePack(
  path: string, panel: Panel, { cut, dataset, made, preset, store, signal }: {
    readonly cut: ResolvedDatasetOptions; readonly dataset: Dataset; readonly made: Made; readonly preset: PresetName | undefined; readonly store: PackStore; readonly signal: AbortSignal | undefined;
  },
): Promise<Omit<Packed, "file">> {
  await using file = await open(path, "r+");
  const { dates, tickers, featureNames, horizons, rowOffsets, rowStocks, labels, targets, returns, groups, edges } = dataset;
  const { exposures, basis, fit } = made;
  const [D, N, F, L] = [dates.length, tickers.length, featureNames.length, horizons.length];
  const sections: Partial<Record<SectionName, PackSection>> = {};
  let end = PAGE;
  const inFile = async (name: SectionName, native: NativeFeatures, width: number, offset: number): Promise<Omit<ReturnType<NativeFeatures["slots"]>, "count"> & { count: number }> => {
    const { count, ...slots } = native.slots();
    sections[name] = await checkedSection(file, { type: "float32", shape: [D, count, width], offset, chunkBytes: 4 * CHUNK_DATES * count * width });
    end = nextPage(offset + 4 * D * count * width);
    return { count, ...slots };
  };
  const add = async (name: SectionName, values: Float32Array | Int32Array | undefined, shape: readonly number[] = [values?.length ?? 0]): Promise<void> => {
    if (values === undefined) return;
    const byDate = shape.length > 1 && shape[0] === D ? (CHUNK_DATES * values.byteLength) / D : values.byteLength;
    ({ section: sections[name], end } = await writeSection(file, end, values, shape, Math.max(4, byDate)));
  };
  const inRanks = async (native: NativeFeatures): Promise<ReturnType<NativeFeatures["slots"]>> => {
    const { count, ...slots } = native.slots();
    const written = await finished(() => loadCore().encodeRanks(native, { file: path, offset: PAGE }), signal, "The packing");
    if ("feature" in written) throw notRanked(featureNames[written.feature]!, dates[written.date]!);
    sections.features = await checkedSection(file, { type: "uint16", shape: [D, count, F], offset: PAGE, chunkBytes: 2 * CHUNK_DATES * count * F });
    end = nextPage(PAGE + 2 * D * count * F);
    ranked = written.ranked;
    return { count, ...slots };
  };
  let ranked: Int32Array | undefined;
  const slots = await (store === "rank16" ? inRanks(made.features) : inFile("features", made.features, F, PAGE));
  const names = cut.exposures?.sources ?? [];
  let exposed: Awaited<ReturnType<typeof inFile>> | undefined;
  if (exposures?.native !== undefined) {
    const offset = store === "rank16" ? end : exposures.offset;
    await moveDown(file, exposures.offset, offset, 4 * D * exposures.native.slots().count * names.length);
    exposed = await inFile("exposures", exposures.native, names.length, offset);
  }
  await add("ranked", ranked, [D, F]);
  for (const name of ["slot", "from", "last", "until"] as const) await add(name, slots[name]);
  for (const [name, part] of [["exposureSlot", "slot"], ["exposureFrom", "from"], ["exposureLast", "last"], ["exposureUntil", "until"]] as const) await add(name, exposed?.[part]);
  if (cut.exposures?.byGroup === true) await add("groupCodes", panel.groups!.codes, [D, N]);
  if (basis !== undefined) await add("loadings", basis.values, [basis.dates.length, basis.count, N]);
  await add("rowOffsets", rowOffsets);
  await add("rowStocks", rowStocks);
  await add("labels", labels, [D, N, L]);
  await add("targets", targets, [D, N, L]);
  await add("returns", returns?.values, [D, N]);
  await add("groups", groups);
  for (const [name, part] of [["edgeSource", "source"], ["edgeTarget", "target"], ["edgeFrom", "from"], ["edgeTo", "to"]] as const) await add(name, edges?.[part]);
  const header: PackHeader = {
    astgnn: packageVersion, dates, tickers, columns: panel.columns, slots: slots.count,
    description: dataset.describe(), label: cut.label, processors: cut.processors, requiredHistory: cut.requiredHistory,
    ...(fit === undefined || !isFitted(cut, dataset) ? {} : { fit: [dates[fit.from]!, dates[fit.to]!] as const }),
    ...(exposed === undefined ? {} : { exposureSlots: exposed.count }),
    ...(basis === undefined ? {} : { loadings: { dates: basis.dates, count: basis.count, chain: basis.chain } }),
    ...(preset === undefined ? {} : { preset }),
    lastLabelled: sampleCalendar(panel, cut).lastLabelled, extremeReturns: panel.extremeReturns, groupNames: panel.groups?.names,
    ledger: { ...dataset.ledger, entries: dataset.ledger.entries.filter(({ stage }) => stage !== "split") },
    digests: dataset.digests!, source: panel.source, sourceFiles: await stampsOf(panel.origin.source), sections,
  };
  // What the features took before they were in 16 bits.
  await file.truncate(end);
  // The sections before the header that says they are there.
  await file.sync();
  await writeHeader(file, header, end);
  await file.sync();
  return { bytes: (await file.stat()).size, dates: D, stocks: N, slots: slots.count, rows: rowStocks.length, features: F };
}

function notRanked(feature: string, date: string): AstgnnError {
  return new AstgnnError("ERR_DATA", `Feature ${feature} on ${date} is not made of ranks among at most 32,767 stocks, which is what 16 bits hold.`, {
    column: feature, date, option: "store", next: 'Make every feature a rank of its date (processors ["rank", { name: "fill", value: 0 }], which is what price features have), or store float32.',
  });
}

/** Moves bytes of a file to an earlier place. */
async function moveDown(file: FileHandle, from: number, to: number, bytes: number): Promise<void> {
  if (from === to) return;
  const piece = Buffer.alloc(Math.min(bytes, 2 ** 24));
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await file.read(piece, 0, Math.min(piece.length, bytes - at), from + at);
    if (bytesRead === 0) return;
    await writeAll(file, piece.subarray(0, bytesRead), to + at);
    at += bytesRead;
  }
}

/** Whether processors have statistics that they were not asked with. */
function isFitted({ processors }: ResolvedDatasetOptions, dataset: Dataset): boolean {
  return JSON.stringify(processors) !== JSON.stringify(dataset.describe().processors);
}
