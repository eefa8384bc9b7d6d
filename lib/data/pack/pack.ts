import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { loadCore, loadCoreAway, loadTables } from "../../binding/load.js";
import { AstgnnError, invalidOption } from "../../errors.js";
import { buildDataset, type MadeInFile } from "../dataset.js";
import type { DatasetOptions, SplitOptions } from "../dataset-options.js";
import { keepFew } from "../grid-memory.js";
import { isFittedHere } from "../native-processors.js";
import type { Panel } from "../panel.js";
import { resolveDataset, type ResolvedDatasetOptions } from "../resolve-dataset.js";
import { PAGE } from "./header.js";
import { PACK_STORES, type PackStore } from "./store.js";
import { writePack, type Made, type Packed } from "./write.js";

export type { Packed } from "./write.js";

/** What to pack: the options of `panel.dataset`, where the split is for whoever opens the file unless something is fitted. */
export type PackOptions = Omit<Extract<DatasetOptions, { split: unknown }>, "split" | "embargo"> & {
  /** The file to write. Another of this name is replaced once the new one is whole. */
  readonly out: string;
  /** On whose training dates processors are fitted (standardize, fill with the median): needed for these, and refused without them. */
  readonly split?: SplitOptions | undefined;
  /**
   * How features are stored. `"rank16"`: in 16 bits, from which they come back to the last bit; for features that are ranks within their date (processor `rank`, missing
   * filled with 0) among at most 32,767 stocks. Default `"float32"`.
   */
  readonly store?: PackStore | undefined;
};


/**
 * Computes a dataset into a file from which it can be trained on without being in memory: {@link openPack}. Features are written as they are computed,
 * block by block, and never lie in memory as a whole. Processors that are fitted on training dates need `split`, and the file is then for these training dates.
 *
 * @example
 * await pack(panel, { features: "ohlcv", window: 20, out: "us.pack" });
 * const dataset = await (await openPack("us.pack")).dataset({ split: { trainEnd: "2018-12-31", validEnd: "2019-12-31" } });
 * @throws AstgnnError ERR_OPTION where a processor is fitted and no split is given; ERR_DATA, ERR_ABORTED as `panel.dataset`, ERR_DATA where the disk is full, or `"rank16"` does not hold a feature
 */
export async function pack(panel: Panel, { out, split, store = "float32", ...options }: PackOptions): Promise<Packed> {
  if (!PACK_STORES.includes(store)) throw invalidOption("store", PACK_STORES.map((name) => JSON.stringify(name)).join(" or "), store);
  // All dates that have a label: which of them are trained on is for the split to say.
  const asked = { ...options, split: { fractions: [1, 0, 0] } } as const;
  const { cut } = resolveDataset(asked, panel.columns);
  const fitted = fittedBy(cut, split === undefined ? undefined : resolveDataset({ ...options, split }, panel.columns).cut);
  // Fixed, so that the next writer takes the place of one that was killed.
  const partial = join(dirname(out), `.${basename(out)}.partial`);
  await (await open(partial, "w")).close();
  await loadCoreAway();
  using _ = keepFew(panel.scratch, () => {
    loadTables().releaseScratch();
    loadCore().releaseScratch();
  });
  try {
    let made: Made | undefined;
    using dataset = await buildDataset(panel, asked, { file: partial, offset: PAGE, fitted, onMade: (parts) => (made = parts) });
    const packed = await writePack(partial, panel, { cut, dataset, made: made!, preset: options.preset, store, signal: options.signal });
    await rename(partial, out);
    return { ...packed, file: out };
  } catch (error) {
    await rm(partial, { force: true });
    throw fullDisk(error, out) ?? error;
  }
}

/** Whose training dates processors are fitted on. */
function fittedBy({ processors, featureNames }: ResolvedDatasetOptions, split: ResolvedDatasetOptions | undefined): MadeInFile["fitted"] {
  const isFitted = isFittedHere(processors, featureNames);
  if (isFitted && split === undefined) {
    throw new AstgnnError("ERR_OPTION", "A processor is fitted on training dates (standardize, or fill with the median), and nothing says which they are.", {
      option: "processors",
      next: "Give the split here too, or use processors of single dates (rank, zscore, winsorize) and fill with a number.",
    });
  }
  if (!isFitted && split !== undefined) {
    throw new AstgnnError("ERR_OPTION", "Nothing is fitted on training dates, so the packed dataset takes any split.", { option: "split", next: "Leave it out here, and say it where the file is trained on." });
  }
  return split;
}

/** The error about a disk that takes no more, where it is one. */
function fullDisk(error: unknown, out: string): AstgnnError | undefined {
  const { code, message } = error as NodeJS.ErrnoException;
  const isFull = ["ENOSPC", "EDQUOT", "EFBIG", "EIO"].includes(code ?? "") || (code === "ERR_DATA" && /\.partial cannot be made larger|has no room for a file/.test(message));
  return isFull ? new AstgnnError("ERR_DATA", `${out} cannot be written: ${message}`, { file: out, cause: error, next: "Make room on its disk, or write it to another." }) : undefined;
}
