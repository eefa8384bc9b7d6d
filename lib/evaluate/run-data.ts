import { openPanel, type Panel } from "../data/panel.js";
import type { ReadingOptions } from "../data/origin.js";
import type { PanelSource } from "../data/source/panel-source.js";
import { AstgnnError } from "../errors.js";

/** What of run.json says which data a run was trained on. */
export interface RunData {
  readonly source?: PanelSource | null;
  readonly panel?: ReadingOptions | null;
  readonly fingerprint?: string;
}

/**
 * Opens the data that a run was trained on, as it read them.
 *
 * @param source the data at another place, or already open; default: what run.json says
 * @throws AstgnnError as `openPanel`; ERR_DATA where the run does not say, or the data are others by now
 */
export async function openRunData(folder: string, { source: trainedOn, panel: reading, fingerprint }: RunData, source: PanelSource | Panel | undefined, signal: AbortSignal | undefined): Promise<Panel> {
  const from = source ?? trainedOn ?? undefined;
  if (from === undefined) throw new AstgnnError("ERR_DATA", `The run in ${folder} does not say what it was trained on.`, { file: folder, next: "Name its data." });
  const panel = isPanel(from) ? from : await openPanel(from, { ...reading, onWarning: () => {}, ...(signal === undefined ? {} : { signal }) });
  if (panel.fingerprint === fingerprint) return panel;
  throw new AstgnnError("ERR_DATA", `${panel.source} does not hold the data that the run in ${folder} was trained on: their fingerprints differ.`, { file: panel.source, next: "Name the data of the run." });
}

function isPanel(source: PanelSource | Panel): source is Panel {
  return typeof source === "object" && "fingerprint" in source;
}
