import { differingPart, partOf } from "../data/digests.js";
import { legacyFingerprint } from "../data/legacy-fingerprint.js";
import { digestedParts, openPanel, type Panel } from "../data/panel.js";
import type { ReadingOptions } from "../data/origin.js";
import type { PanelSource } from "../data/source/panel-source.js";
import type { DataDigests } from "../data/types.js";
import { AstgnnError } from "../errors.js";

/** What of run.json says which data a run was trained on. */
export interface RunData {
  readonly source?: PanelSource | null;
  readonly panel?: ReadingOptions | null;
  readonly fingerprint?: string | undefined;
  /** Of the parts of the data that the run used; a run of an older version has none. */
  readonly digests?: DataDigests | undefined;
}

/**
 * Opens the data that a run was trained on, as it read them.
 *
 * @param source the data at another place, or already open; default: what run.json says
 * @throws AstgnnError as `openPanel`; ERR_DATA where the run does not say, or the data are others by now
 */
export async function openRunData(folder: string, { source: trainedOn, panel: reading, fingerprint, digests }: RunData, source: PanelSource | Panel | undefined, signal: AbortSignal | undefined): Promise<Panel> {
  const from = source ?? trainedOn ?? undefined;
  if (from === undefined) throw new AstgnnError("ERR_DATA", `The run in ${folder} does not say what it was trained on.`, { file: folder, next: "Name its data." });
  const panel = isPanel(from) ? from : await openPanel(from, { ...reading, onWarning: () => {}, ...(signal === undefined ? {} : { signal }) });
  const why = await differenceFrom(folder, { fingerprint, digests }, panel, signal);
  if (why === undefined) return panel;
  throw new AstgnnError("ERR_DATA", why, { file: panel.source, next: "Name the data of the run." });
}

/**
 * In what a panel differs from the data that a run was trained on, as a sentence; undefined where it holds them. Columns that the run used are read; of a run of an
 * older version, which has a fingerprint of all columns, all are.
 */
export async function differenceFrom(folder: string, { fingerprint, digests }: Pick<RunData, "fingerprint" | "digests">, panel: Panel, signal: AbortSignal | undefined): Promise<string | undefined> {
  const differ = (how: string): string => `${panel.source} does not hold the data that the run in ${folder} was trained on: ${how}.`;
  if (digests === undefined) {
    const { replaced } = digestedParts(panel);
    if (replaced === undefined) return `The run in ${folder} is of a version that cannot tell whether a panel with appended rows holds its data: open them as one source.`;
    return (await legacyFingerprint(panel, replaced, signal)) === fingerprint ? undefined : differ("their fingerprints differ");
  }
  const columns = Object.keys(digests).filter((part) => part.startsWith(partOf(""))).map((part) => part.slice(partOf("").length));
  const missing = columns.find((column) => !panel.has(column));
  if (missing !== undefined) return differ(`it has no column ${missing}`);
  await panel.read(columns, { signal });
  const part = differingPart(digests, panel.digests(columns));
  return part === undefined ? undefined : differ(`the ${part} ${part.endsWith("s") ? "are" : "is"} not the same`);
}

/** Whether a source is a panel that is open. */
export function isPanel(source: PanelSource | Panel): source is Panel {
  return typeof source === "object" && "fingerprint" in source;
}
