import type { NativeTargets } from "../binding/types.js";
import type { LabelShape } from "./labels.js";
import type { LedgerBuilder } from "./ledger.js";
import { listed, refuseLoss } from "./loss.js";
import type { PanelGrid } from "./panel-grid.js";
import { NEUTRALISE, type ResolvedDatasetOptions } from "./resolve-dataset.js";

/**
 * Writes down which labels rows of train, valid and test lack, apart from those of stocks that cannot be traded: the stocks that left and the gaps.
 *
 * @param lastPriced per stock the last date with a price (or a table row)
 * @throws AstgnnError ERR_DATA where they are more than the share `maxDropped`
 */
export function reportMissingLabels(panel: PanelGrid, found: NativeTargets, lastPriced: Int32Array, { horizons }: LabelShape, maxDropped: number, ledger: LedgerBuilder): void {
  const { dates, tickers, source } = panel;
  const { all, gone, missing } = found;
  const leavers = Array.from(found.leavers, (n, i) => {
    const count = found.leaverCounts[i]!;
    return `${tickers[n]!} (last ${dates[lastPriced[n]!]!}${horizons.length > 1 || count > 1 ? `, ${count}` : ""})`;
  });
  const gaps = Array.from({ length: found.gaps.length / 2 }, (_, i) => `${tickers[found.gaps[2 * i + 1]!]!} ${dates[found.gaps[2 * i]!]!}`);
  ledger.add("labels", "delisted_label", gone, "values", `labels of rows in train, valid and test end after the last ${panel.has("close") ? "close" : "row"} of their stock: ${listed(leavers)}`);
  ledger.add("labels", "missing_label", missing, "values", `other labels of rows in train, valid and test are missing: ${gaps.join(", ")}${missing > gaps.length ? ` and ${missing - gaps.length} more` : ""}`);
  const worst = gone > missing ? leavers : gaps;
  refuseLoss({ lost: gone + missing, of: all, what: "labels of rows in train, valid and test", why: `are missing, e.g. ${worst[0] ?? ""}` }, maxDropped, {
    file: source,
    next: "Complete the data, or raise maxDropped if the loss is expected.",
  });
}

/**
 * Writes down what labels lost when they were made neutral to exposures, and which exposures were missing.
 *
 * @throws AstgnnError ERR_DATA where more than the share `maxDropped` of labels is on dates with too few stocks for the exposures
 */
export function reportNeutralLabels({ source }: PanelGrid, { neutral }: NativeTargets, { exposures, maxDropped }: ResolvedDatasetOptions, ledger: LedgerBuilder): void {
  if (neutral === undefined || exposures === undefined) return;
  const { labels, unfit, filled, dependent } = neutral;
  const what = exposures.sources.length === 0 ? "the groups" : `${exposures.sources.length} exposures${exposures.byGroup ? " and the groups" : ""}`;
  ledger.add("labels", "missing_exposure", filled, "values", "exposures that labels are made neutral to are missing: each counts as the mean of its date");
  ledger.add("labels", "dependent_exposure", dependent, "values", "times an exposure is constant on a date or a combination of the others: it takes out nothing more");
  ledger.add("labels", "too_few_for_exposures", unfit, "values", `labels are of dates with no more labels than it takes to make them neutral to ${what}: they are not trained on`);
  refuseLoss({ lost: unfit, of: labels, what: "labels of rows in train, valid and test", why: `are of dates with no more labels than it takes to make them neutral to ${what}` }, maxDropped, {
    file: source,
    option: NEUTRALISE,
    next: "Name fewer exposures, or give more stocks.",
  });
}
