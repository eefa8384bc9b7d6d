import { existsSync } from "node:fs";
import { packageVersion } from "../binding/package-root.js";
import type { LoadingsBasis } from "../data/loadings.js";
import { AstgnnError } from "../errors.js";
import { writeFileAtomically } from "./atomic-write.js";
import { writeSafetensors, type SafetensorsFile } from "./safetensors.js";

/** Where the loadings of a checkpoint are: `model.loadings.safetensors` beside `model.safetensors`. */
export function loadingsPath(checkpoint: string): string {
  return `${checkpoint.replace(/\.safetensors$/, "")}.loadings.safetensors`;
}

/** What this process wrote last to a path: a run writes its model once an epoch, its loadings once. */
const written = new Map<string, WeakRef<LoadingsBasis>>();

/** Writes the tensor `loadings` [refreshes, count, stocks], with dates and tickers in the metadata. */
export async function writeLoadings(path: string, basis: LoadingsBasis, formatVersion: string): Promise<void> {
  if (written.get(path)?.deref() === basis && existsSync(path)) return;
  const { dates, tickers, count, values, chain } = basis;
  const metadata = { format_version: formatVersion, astgnn_version: packageVersion, dates: JSON.stringify(dates), tickers: JSON.stringify(tickers), chain };
  await writeFileAtomically(path, writeSafetensors({ loadings: { dtype: "F32", shape: [dates.length, count, tickers.length], data: values } }, metadata));
  written.set(path, new WeakRef(basis));
}

/** @throws AstgnnError ERR_CHECKPOINT where the file does not hold the loadings of the chain */
export function loadingsOf({ tensors, metadata }: SafetensorsFile, path: string, chain: string): LoadingsBasis {
  const refuse = (what: string): AstgnnError => new AstgnnError("ERR_CHECKPOINT", `${path} ${what}.`, { file: path, next: "Put back the file that was written with the model." });
  const { loadings } = tensors;
  if (loadings?.dtype !== "F32" || loadings.shape.length !== 3) throw refuse("holds no loadings");
  if (metadata["chain"] !== chain) throw refuse("holds the loadings of another model");
  const [refreshes, count, stocks] = loadings.shape as [number, number, number];
  const names = (of: "dates" | "tickers"): string[] => {
    try {
      const list: unknown = JSON.parse(metadata[of] ?? "");
      if (Array.isArray(list) && list.every((name) => typeof name === "string")) return list;
    } catch {
      // Refused below.
    }
    throw refuse(`is damaged: its ${of} are no list of names`);
  };
  const [dates, tickers] = [names("dates"), names("tickers")];
  if (dates.length !== refreshes || tickers.length !== stocks) throw refuse("is damaged: dates and tickers do not fit its loadings");
  return Object.freeze({ dates, tickers, count, values: loadings.data as Float32Array, chain });
}
