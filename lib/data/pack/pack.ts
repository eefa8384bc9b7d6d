import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { loadCore, loadCoreAway, loadTables } from "../../binding/load.js";
import { packageVersion } from "../../binding/package-root.js";
import type { NativeFeatures } from "../../binding/types.js";
import { AstgnnError } from "../../errors.js";
import { buildDataset, sampleCalendar } from "../dataset.js";
import type { DatasetOptions } from "../dataset-options.js";
import { hasSet } from "../feature-sets.js";
import { keepFew } from "../grid-memory.js";
import { isFittedHere } from "../native-processors.js";
import type { Panel } from "../panel.js";
import { resolveDataset, type ResolvedDatasetOptions } from "../resolve-dataset.js";
import type { Dataset } from "../types.js";
import { CHUNK_DATES, checkedSection, PAGE, writeHeader, writeSection, type PackHeader, type PackSection, type SectionName } from "./format.js";
import { stampsOf } from "./source-stamp.js";

/** What to pack: the options of `panel.dataset` but for the split, which is for whoever opens the file. */
export type PackOptions = Omit<Extract<DatasetOptions, { split: unknown }>, "split" | "embargo" | "preset"> & {
  /** The file to write. Another of this name is replaced once the new one is whole. */
  readonly out: string;
};

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

/**
 * Computes a dataset into a file from which it can be trained on without being in memory: {@link openPack}. Features are written as they are computed,
 * block by block, and never lie in memory as a whole. What is fitted on training dates cannot be packed, for the file does not know the split.
 *
 * @example
 * await pack(panel, { features: "ohlcv", window: 20, out: "us.pack" });
 * const dataset = await (await openPack("us.pack")).dataset({ split: { trainEnd: "2018-12-31", validEnd: "2019-12-31" } });
 * @throws AstgnnError ERR_OPTION where something would be fitted on training dates; ERR_DATA, ERR_ABORTED as `panel.dataset`
 */
export async function pack(panel: Panel, { out, ...options }: PackOptions): Promise<Packed> {
  // All dates that have a label: which of them are trained on is for the split to say.
  const asked = { ...options, split: { fractions: [1, 0, 0] } } as const;
  const { cut } = resolveDataset(asked, panel.columns);
  refuseFitted(cut);
  // Fixed, so that the next writer takes the place of one that was killed.
  const partial = join(dirname(out), `.${basename(out)}.partial`);
  await (await open(partial, "w")).close();
  await loadCoreAway();
  using _ = keepFew(panel.scratch, () => {
    loadTables().releaseScratch();
    loadCore().releaseScratch();
  });
  try {
    let native: NativeFeatures | undefined;
    using dataset = await buildDataset(panel, asked, { file: partial, offset: PAGE, onFeatures: (made) => (native = made) });
    const packed = await writePack(partial, panel, cut, dataset, native!);
    await rename(partial, out);
    return { ...packed, file: out };
  } catch (error) {
    await rm(partial, { force: true });
    throw fullDisk(error, out) ?? error;
  }
}

/** The error about a disk that takes no more, where it is one. */
function fullDisk(error: unknown, out: string): AstgnnError | undefined {
  const { code, message } = error as NodeJS.ErrnoException;
  const isFull = ["ENOSPC", "EDQUOT", "EFBIG", "EIO"].includes(code ?? "") || (code === "ERR_DATA" && /\.partial cannot be made larger|has no room for a file/.test(message));
  return isFull ? new AstgnnError("ERR_DATA", `${out} cannot be written: ${message}`, { file: out, cause: error, next: "Make room on its disk, or write it to another." }) : undefined;
}

function refuseFitted({ features, exposures, processors, featureNames }: ResolvedDatasetOptions): void {
  const next = "Leave it out, or train on the panel itself.";
  if (isFittedHere(processors, featureNames)) {
    throw new AstgnnError("ERR_OPTION", "A processor is fitted on training dates (standardize, or fill with the median), and a packed dataset has no split yet.", { option: "processors", next: "Use processors of single dates (rank, zscore, winsorize) and fill with a number." });
  }
  if (hasSet(features, "loadings")) throw new AstgnnError("ERR_OPTION", 'The feature set "loadings" cannot be packed: scoring new data needs the loadings themselves.', { option: "features", next });
  if (exposures !== undefined) throw new AstgnnError("ERR_OPTION", "Labels neutral to exposures cannot be packed: their metrics need the exposures.", { option: "labelTransform.neutralise", next });
}

async function writePack(path: string, panel: Panel, cut: ResolvedDatasetOptions, dataset: Dataset, native: NativeFeatures): Promise<Omit<Packed, "file">> {
  await using file = await open(path, "r+");
  const { dates, tickers, featureNames, horizons, rowOffsets, rowStocks, labels, targets, returns, groups, edges } = dataset;
  const [D, N, F, L] = [dates.length, tickers.length, featureNames.length, horizons.length];
  const { count, ...slots } = native.slots();
  const sections: Partial<Record<SectionName, PackSection>> = {};
  sections.features = await checkedSection(file, { type: "float32", shape: [D, count, F], offset: PAGE, chunkBytes: 4 * CHUNK_DATES * count * F });
  let end = Math.ceil((PAGE + 4 * D * count * F) / PAGE) * PAGE;
  const add = async (name: SectionName, values: Float32Array | Int32Array | undefined, shape: readonly number[] = [values?.length ?? 0]): Promise<void> => {
    if (values === undefined) return;
    const byDate = shape.length > 1 ? (CHUNK_DATES * values.byteLength) / D : values.byteLength;
    ({ section: sections[name], end } = await writeSection(file, end, values, shape, Math.max(4, byDate)));
  };
  for (const name of ["slot", "from", "last", "until"] as const) await add(name, slots[name]);
  await add("rowOffsets", rowOffsets);
  await add("rowStocks", rowStocks);
  await add("labels", labels, [D, N, L]);
  await add("targets", targets, [D, N, L]);
  await add("returns", returns?.values, [D, N]);
  await add("groups", groups);
  for (const [name, part] of [["edgeSource", "source"], ["edgeTarget", "target"], ["edgeFrom", "from"], ["edgeTo", "to"]] as const) await add(name, edges?.[part]);
  const header: PackHeader = {
    astgnn: packageVersion, dates, tickers, columns: panel.columns, slots: count,
    description: dataset.describe(), label: cut.label, lastLabelled: sampleCalendar(panel, cut).lastLabelled,
    extremeReturns: panel.extremeReturns, groupNames: panel.groups?.names,
    ledger: { ...dataset.ledger, entries: dataset.ledger.entries.filter(({ stage }) => stage !== "split") },
    digests: dataset.digests!, source: panel.source, sourceFiles: await stampsOf(panel.origin.source), sections,
  };
  // The sections before the header that says they are there.
  await file.sync();
  await writeHeader(file, header, end);
  await file.sync();
  return { bytes: (await file.stat()).size, dates: D, stocks: N, slots: count, rows: rowStocks.length, features: F };
}
