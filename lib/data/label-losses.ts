import type { LabelShape } from "./labels.js";
import type { LedgerBuilder } from "./ledger.js";
import { listed, refuseLoss } from "./loss.js";
import type { Panel } from "./panel.js";
import type { Rows } from "./rows.js";
import type { SplitPlan } from "./splits.js";

/** What is known about the labels of the rows. */
export interface LabelGrid {
  readonly labels: Float32Array;
  readonly shape: LabelShape;
  readonly rows: Rows;
  /** 1 where the stock has a price (or a table row): [dates * stocks]. */
  readonly priced: Uint8Array;
}

/**
 * Counts the labels that rows of train, valid and test lack, apart from those of stocks that cannot be traded; names the stocks that left and the gaps.
 *
 * @throws AstgnnError ERR_DATA where they are more than the share `maxDropped`
 */
export function countMissingLabels(panel: Panel, plan: SplitPlan, { labels, shape, rows, priced }: LabelGrid, maxDropped: number, ledger: LedgerBuilder): void {
  const { dates, tickers, tradable, source } = panel;
  const { horizons, lagDays, span } = shape;
  const [N, L] = [tickers.length, horizons.length];
  const lastPriced = lastDates(priced, N);
  const left = new Map<number, number>();
  const gaps: string[] = [];
  let gone = 0;
  let missing = 0;
  let all = 0;
  for (const t of [...plan.train, ...plan.valid, ...plan.test]) {
    for (let r = rows.offsets[t]!; r < rows.offsets[t + 1]!; r++) {
      const n = rows.stocks[r]!;
      if (tradable !== undefined && tradable[(t + lagDays) * N + n] !== 1) continue;
      for (let l = 0; l < L; l++) {
        all++;
        const cell = (t * N + n) * L + l;
        if (labels[cell] === labels[cell]) continue;
        if (t + lagDays + (horizons[l] || span) > lastPriced[n]!) {
          left.set(n, (left.get(n) ?? 0) + 1);
          gone++;
        } else if (missing++ < 10) gaps.push(`${tickers[n]!} ${dates[t]!}`);
      }
    }
  }
  const leavers = [...left].map(([n, count]) => `${tickers[n]!} (last ${dates[lastPriced[n]!]!}${L > 1 || count > 1 ? `, ${count}` : ""})`);
  ledger.add("labels", "delisted_label", gone, "values", `labels of rows in train, valid and test end after the last ${panel.has("close") ? "close" : "row"} of their stock: ${listed(leavers)}`);
  ledger.add("labels", "missing_label", missing, "values", `other labels of rows in train, valid and test are missing: ${gaps.join(", ")}${missing > gaps.length ? ` and ${missing - gaps.length} more` : ""}`);
  const worst = gone > missing ? leavers : gaps;
  refuseLoss({ lost: gone + missing, of: all, what: "labels of rows in train, valid and test", why: `are missing, e.g. ${worst[0] ?? ""}` }, maxDropped, {
    file: source,
    next: "Complete the data, or raise maxDropped if the loss is expected.",
  });
}

function lastDates(priced: Uint8Array, stocks: number): Int32Array {
  const last = new Int32Array(stocks).fill(-1);
  for (let cell = 0; cell < priced.length; cell++) if (priced[cell] === 1) last[cell % stocks] = Math.floor(cell / stocks);
  return last;
}
