import { loadTables } from "../binding/load.js";
import type { Replaced } from "../binding/table-types.js";
import type { PanelGrid } from "./panel-grid.js";
import type { Dataset } from "./types.js";

/**
 * The fingerprint as runs have it whose run.json has no `digests`: one SHA-256 over all numeric columns as the source has them, before cleaning. Reads every column.
 *
 * @param replaced what cleaning replaced, by column; undefined where it is not known of all dates, as after `append`: then there is none
 */
export async function legacyFingerprint(panel: PanelGrid, replaced: ReadonlyMap<string, Replaced> | undefined, signal?: AbortSignal): Promise<string | undefined> {
  const fingerprint = known.get(panel) ?? (replaced === undefined ? undefined : await computed(panel, replaced, signal));
  if (fingerprint !== undefined) known.set(panel, fingerprint);
  return fingerprint;
}

/** A panel may be asked by each of many old runs. */
const known = new WeakMap<PanelGrid, string>();

async function computed(panel: PanelGrid, replaced: ReadonlyMap<string, Replaced>, signal: AbortSignal | undefined): Promise<string> {
  await panel.read(panel.columns, { signal });
  const { dates, tickers, present, tradable, groups, edges } = panel;
  const columns = [...panel.columns].sort();
  const flags = new Map<string, Uint8Array>();
  if (tradable !== undefined) flags.set("tradable", tradable);
  if ("universe" in panel.digests([])) flags.set("universe", panel.universe);
  const head = JSON.stringify({ format: 1, dates, tickers, columns, flags: [...flags.keys()], groups: groups?.names ?? null, edges: edges !== undefined });
  const tail = edges === undefined ? [] : [edges.source, edges.target, edges.from, edges.to].map(({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength));
  const grid = {
    stocks: tickers.length,
    present,
    columns: columns.map((name) => asWritten(panel.values(name), replaced.get(name))),
    codes: [...flags.values(), ...(groups === undefined ? [] : [groups.codes])],
  };
  return Buffer.from(await loadTables().digestWhole(grid, dates.length, Buffer.from(head), Buffer.concat(tail))).toString("hex");
}

/** A column with what cleaning replaced. */
function asWritten(values: Float32Array | Float64Array, replaced: Replaced | undefined): Float32Array | Float64Array {
  if (replaced === undefined || replaced.cells.length === 0) return values;
  const written = values.slice();
  replaced.cells.forEach((cell, i) => (written[cell] = replaced.values[i]!));
  return written;
}

const makers = new WeakMap<Dataset, () => Promise<string | undefined>>();

/** Says how the legacy fingerprint of a dataset's panel is made. */
export function offerLegacyFingerprint(dataset: Dataset, make: () => Promise<string | undefined>): void {
  makers.set(dataset, make);
}

/** The legacy fingerprint of a dataset's panel; undefined where there is none. */
export async function legacyFingerprintOf(dataset: Dataset): Promise<string | undefined> {
  return makers.get(dataset)?.();
}
