import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { packageVersion } from "../binding/package-root.js";
import type { Dtype } from "../binding/types.js";
import { attachBasis, basisOf } from "../data/loadings.js";
import type { DatasetDescription } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { requireText } from "../options.js";
import { writeFileAtomically } from "./atomic-write.js";
import { fromReferenceConfig, toReferenceConfig, type ModelConfig } from "./config.js";
import { loadingsOf, loadingsPath, writeLoadings } from "./loadings-file.js";
import { readSafetensors, writeSafetensors, type SafetensorsFile } from "./safetensors.js";
import type { Weights } from "./weights.js";

/** The one format version that this package writes and reads. */
export const FORMAT_VERSION = "1";

/** What `model.safetensors` holds. */
export interface Checkpoint {
  config: ModelConfig;
  dtype: Dtype;
  /** Absent where the model was never trained on a dataset. */
  dataset: DatasetDescription | undefined;
  weights: Weights;
}

/**
 * Writes `model.safetensors`: the state dict under the reference's names, and in the metadata `format_version`, `config` (the reference's
 * snake_case JSON) and `dataset`; with the feature set `loadings` a file with these beside it ({@link loadingsPath}). The bytes depend on nothing but the model: no clock, no path.
 */
export async function writeCheckpoint(path: string, { config, dataset, weights }: Omit<Checkpoint, "dtype">): Promise<void> {
  const metadata = {
    format_version: FORMAT_VERSION,
    astgnn_version: packageVersion,
    config: JSON.stringify(toReferenceConfig(config)),
    ...(dataset === undefined ? {} : { dataset: JSON.stringify(dataset) }),
  };
  const basis = dataset === undefined ? undefined : basisOf(dataset);
  if (basis !== undefined) await writeLoadings(loadingsPath(path), basis, FORMAT_VERSION);
  await writeFileAtomically(path, writeSafetensors(weights, metadata));
}

/**
 * Reads `model.safetensors`.
 *
 * @throws AstgnnError ERR_CHECKPOINT where the file is missing, damaged, of an unknown format version or without a config
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const { tensors, metadata } = await readVersioned(path);
  const config = fromReferenceConfig(parse(metadata["config"], "config", path), path);
  const dataset = metadata["dataset"] === undefined ? undefined : (parse(metadata["dataset"], "dataset", path) as DatasetDescription);
  if (dataset?.loadings !== undefined && existsSync(loadingsPath(path))) {
    const file = loadingsPath(path);
    attachBasis(dataset, loadingsOf(await readVersioned(file), file, dataset.loadings.chain));
  }
  refuseNotFinite(tensors, path);
  const dtype = Object.values(tensors).some((tensor) => tensor.dtype === "F64") ? "float64" : "float32";
  return { config, dtype, dataset, weights: tensors };
}

/** @throws AstgnnError ERR_CHECKPOINT naming the tensor that has a NaN or an infinite value: no training leaves one */
export function refuseNotFinite(tensors: SafetensorsFile["tensors"], path: string): void {
  for (const [name, { dtype, data }] of Object.entries(tensors)) {
    if (dtype !== "F32" && dtype !== "F64") continue;
    const at = (data as Float32Array).findIndex((value) => !Number.isFinite(value));
    if (at >= 0) throw new AstgnnError("ERR_CHECKPOINT", `${path} is damaged: tensor ${name} holds ${data[at]}.`, { file: path, next: "Take another copy, or train again." });
  }
}

/** Reads a safetensors file of this package and checks its format version. */
export async function readVersioned(path: string): Promise<SafetensorsFile> {
  requireText(path, "path", "the path of a safetensors file");
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new AstgnnError("ERR_CHECKPOINT", `Cannot read ${path}: ${(cause as Error).message}.`, { file: path, cause, next: "Check the path." });
  }
  let file: SafetensorsFile;
  try {
    file = readSafetensors(bytes);
  } catch (cause) {
    throw new AstgnnError("ERR_CHECKPOINT", `Cannot read ${path}. ${(cause as Error).message}`, { file: path, cause });
  }
  const version = file.metadata["format_version"];
  if (version !== FORMAT_VERSION) {
    const writer = file.metadata["astgnn_version"];
    const found = version === undefined ? "no format_version" : `format_version ${JSON.stringify(version)}`;
    throw new AstgnnError("ERR_CHECKPOINT", `${path} has ${found}, written by ${writer === undefined ? "an unknown program" : `astgnn ${writer}`}; this astgnn ${packageVersion} reads format_version "${FORMAT_VERSION}".`, {
      file: path,
      next: version === undefined ? "Pass a model.safetensors that astgnn wrote." : "Use the version that wrote it, or a newer one.",
    });
  }
  return file;
}

function parse(text: string | undefined, name: string, path: string): unknown {
  try {
    return JSON.parse(text ?? "");
  } catch (cause) {
    throw new AstgnnError("ERR_CHECKPOINT", `${path} has no readable ${name} in its metadata.`, { file: path, cause, next: "Pass a model.safetensors that astgnn wrote." });
  }
}
