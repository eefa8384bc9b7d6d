import type { NumberArray } from "./source/long-table.js";
import { changedSource } from "./source/read-source.js";
import type { LaterColumns } from "./source/roles.js";
import { checkGrid } from "./check-grid.js";
import { differingPart, partOf, PanelDigests, type DateDigests } from "./digests.js";
import type { DataDigests } from "./types.js";

/** The column by which a source proves that its values are what they were, beside its dates and tickers. Columns that are read later have a close beside them. */
const WITNESS = "close";

/**
 * Reads columns of a panel that were not needed when it was opened.
 *
 * @param known digests of the panel's keys and of its close
 * @throws AstgnnError ERR_DATA where the source has changed since, and as `openPanel`
 */
export async function readLater(name: string, later: LaterColumns, columns: readonly string[], known: (columns: readonly string[]) => DataDigests, signal: AbortSignal | undefined, scratch: string | undefined): Promise<{ values: Map<string, NumberArray>; digests: DateDigests }> {
  const { dates, tickers, present, values } = await later.read([WITNESS, ...columns], signal);
  const { digests } = await checkGrid({ dates, tickers, present, values, flags: new Map(), groups: undefined, scratch });
  const now = new PanelDigests({ dates, tickers, groups: undefined, edges: undefined }, digests).of([WITNESS]);
  const before = known([WITNESS]);
  const part = differingPart(now, Object.fromEntries(Object.keys(now).map((part) => [part, before[part]!])));
  if (part !== undefined) throw changedSource(name, part);
  values.delete(WITNESS);
  return { values, digests: new Map(columns.map((column) => [partOf(column), digests.get(partOf(column))!])) };
}
