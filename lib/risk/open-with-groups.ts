import { openPanel, type Panel, type PanelOptions } from "../data/panel.js";
import type { PanelSource } from "../data/source/panel-source.js";
import { openRunData } from "../evaluate/run-data.js";
import { readAnyDescription } from "../run/description.js";

/** The data of a run, with its own groups or others. */
export async function openWithGroups(folder: string, { source, groups, signal }: { readonly source?: PanelSource | Panel | undefined; readonly groups?: PanelOptions["groups"] | undefined; readonly signal?: AbortSignal | undefined }): Promise<Panel> {
  const description = await readAnyDescription(folder);
  if (groups === undefined) return openRunData(folder, description, source, signal);
  // Other groups make other data by their fingerprint: prices are what is looked at, date by date.
  return openPanel((source ?? description.source) as PanelSource, { ...description.panel, groups, onWarning: () => {}, ...(signal === undefined ? {} : { signal }) });
}
