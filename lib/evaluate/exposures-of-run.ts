import { existsSync } from "node:fs";
import { join } from "node:path";
import type { ResolvedLoadings } from "../data/dataset-options.js";
import { basisOf } from "../data/loadings.js";
import type { Panel } from "../data/panel.js";
import type { DatasetDescription } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { readCheckpoint } from "../model/checkpoint.js";
import { warn, type Warning } from "../warn.js";
import { knownExposures, type KnownExposures } from "./known-exposures.js";

/** What of run.json says how the exposures of a run are made. */
interface PreparedRun {
  readonly members?: readonly string[] | undefined;
  readonly dataset?: unknown;
}

/** What the labels of a run were made neutral to; undefined where they were not. */
export function neutralisedBy({ dataset }: PreparedRun): readonly string[] | undefined {
  return (dataset as { labelTransform?: { neutralise?: readonly string[] } } | null | undefined)?.labelTransform?.neutralise;
}

/**
 * Exposures by name on the data of a run, loadings in its own basis; undefined, and a warning why, where the native core that makes sets is missing.
 *
 * @throws AstgnnError as `knownExposures`
 */
export async function exposuresOfRun(
  folder: string, run: PreparedRun, panel: Panel, names: readonly string[], { onWarning, signal }: { readonly onWarning: ((warning: Warning) => void) | undefined; readonly signal: AbortSignal | undefined },
): Promise<KnownExposures | undefined> {
  const { loadings } = (run.dataset ?? {}) as { loadings?: ResolvedLoadings };
  const description = names.includes("loadings") || names.includes("style") ? await descriptionOf(join(folder, run.members?.[0] ?? "")) : undefined;
  try {
    return await knownExposures(panel, names, {
      loadings,
      basis: description === undefined ? undefined : basisOf(description),
      hasSize: neutralisedBy(run)?.includes("style") === true ? description?.exposureNames?.includes("size") : undefined,
      signal,
    });
  } catch (error) {
    if (!(error instanceof AstgnnError) || !["ERR_NATIVE_MISSING", "ERR_LIBTORCH_MISSING", "ERR_LIBTORCH_VERSION"].includes(error.code)) throw error;
    return warn({ reason: "no_exposures", text: `Exposures cannot be made: ${error.message} The neutral IC is that of the training, where it has one.` }, onWarning) as undefined;
  }
}

/** How the data of a run were prepared, with the basis of its loadings; undefined where the folder holds no model any more. */
async function descriptionOf(folder: string): Promise<DatasetDescription | undefined> {
  const path = join(folder, "model.safetensors");
  return existsSync(path) ? (await readCheckpoint(path)).dataset : undefined;
}
