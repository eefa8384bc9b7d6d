import { AstgnnError } from "../errors.js";
import { warn } from "../warn.js";
import { countEmpty, findPartialDates } from "./coverage.js";
import { readEdges } from "./edges.js";
import { checkGrid } from "./check-grid.js";
import { PanelDigests } from "./digests.js";
import { checkGroups, readGroups } from "./groups.js";
import type { LedgerBuilder } from "./ledger.js";
import { refuseLoss } from "./loss.js";
import type { PanelParts } from "./panel-grid.js";
import type { PanelOptions } from "./panel-options.js";
import { findPriceBreaks, reportPriceBreaks, segmentsOf } from "./price-breaks.js";
import { readAtOnce } from "./source/columns.js";
import type { Database } from "./source/database.js";
import type { DenseTable } from "./source/long-table.js";

/** What `checkTable` follows of the options of `openPanel`, defaults filled in. */
export type CheckOptions = PanelOptions & { readonly maxDropped: number; readonly extremeReturns: "warn" | "error" | "missing" };

/**
 * Everything about a table on the grid that does not depend on where it came from: groups and edges, digests, impossible prices, universe, losses,
 * partial dates and price breaks.
 *
 * @param name the source as messages name it
 * @throws AstgnnError ERR_DATA
 */
export async function checkTable(database: Database, dense: DenseTable, name: string, options: CheckOptions, ledger: LedgerBuilder): Promise<Omit<PanelParts, "origin" | "later">> {
  const { maxDropped, onWarning, groupColumn, universeColumn, extremeReturns, scratch } = options;
  if (dense.dates.length === 0) throw new AstgnnError("ERR_DATA", `No row of ${name} has a date and a ticker.`, { file: name, next: "Check the two columns." });
  const checks = { ledger, maxDropped, onWarning };
  const fromColumn = dense.groups === undefined ? undefined : { codes: dense.groups, names: dense.groupNames };
  const groups = options.groups === undefined ? fromColumn : await readGroups(database, options.groups, dense, checks);
  const edges = options.edges === undefined ? undefined : await readEdges(database, options.edges, dense, checks);
  const flags = new Map<string, Uint8Array>();
  if (dense.universe !== undefined) flags.set("universe", dense.universe);
  if (dense.tradable !== undefined) flags.set("tradable", dense.tradable);
  const { dates, tickers, present } = dense;
  // Columns that nobody named are digested when they are used, so that a fingerprint does not depend on how a panel was read.
  const core = options.columns ?? readAtOnce([...dense.values.keys()]);
  const values = new Map(core.map((column) => [column, dense.values.get(column)!]));
  const { digests, cleaned, replaced, filled, kept } = await checkGrid({ dates, tickers, present, values, flags, groups, scratch }, ledger);
  const priced = dense.values.has("close") ? filled : undefined;
  const universe = dense.universe ?? priced ?? dense.present;
  if (!universe.includes(1)) {
    throw new AstgnnError("ERR_DATA", `The universe of ${name} is empty: no stock counts on any date.`, {
      file: name,
      column: universeColumn ?? "close",
      next: universeColumn === undefined ? "Check the close column." : `Check column ${universeColumn}: it is true nowhere.`,
    });
  }
  countEmpty(dense, kept, ledger);
  const next = "Check the file, or raise maxDropped if the loss is expected.";
  refuseLoss({ lost: dense.rows - kept, of: dense.rows, what: `rows of ${name}`, why: "have no usable value" }, maxDropped, { file: name, next });
  for (const { column, lost, values } of cleaned) {
    refuseLoss({ lost, of: values, what: `values of ${column} in ${name}`, why: "are impossible and were made missing" }, maxDropped, { file: name, column, next });
  }
  if (groups !== undefined) {
    const column = groupColumn === undefined ? { file: options.groups!.file, option: "groups.column" } : { file: name, option: "groupColumn" };
    checkGroups(groups, universe, dense.tickers.length, column, onWarning);
  }
  await findPartialDates(dense, priced ?? dense.present, ledger, (text) => warn({ reason: "partial_dates", text }, onWarning));
  const found = await findPriceBreaks(dense.values, dense.dates, dense.tickers);
  reportPriceBreaks(found, name, { extremeReturns, onWarning }, ledger);
  return {
    source: name,
    table: dense,
    universe,
    groups,
    edges,
    priceBreaks: found.breaks,
    segments: extremeReturns === "missing" ? segmentsOf(found, dense.dates.length, dense.tickers.length) : undefined,
    extremeReturns,
    scratch,
    ledger: ledger.build(dense.rows, kept),
    digests: new PanelDigests({ dates, tickers, groups, edges }, digests),
    core,
    replaced,
  };
}
