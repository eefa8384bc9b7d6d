import { finished } from "../binding/job.js";
import { loadCore } from "../binding/load.js";
import type { NativeRows, NativeTargets } from "../binding/types.js";
import type { PanelExposures } from "./exposures.js";
import type { LabelShape } from "./labels.js";
import type { PanelGrid } from "./panel-grid.js";
import type { ResolvedDatasetOptions } from "./resolve-dataset.js";
import type { SplitPlan } from "./splits.js";

/** Returns beyond ± this count as this where a fit takes exposures out of them: a few would decide it. */
const CLIPPED_RETURN = 0.15;

/** What the loss sees of the labels of rows, and which of them are missing; no targets where labels would be made neutral to exposures and there are none. */
export function sampleTargets(
  panel: PanelGrid, { graph, label, labelTransform, exposures: named }: ResolvedDatasetOptions,
  { shape, rows, plan, exposures }: { readonly shape: LabelShape; readonly rows: NativeRows; readonly plan: SplitPlan; readonly exposures: PanelExposures | undefined }, { threads, signal }: { readonly threads: number; readonly signal: AbortSignal | undefined },
): Promise<NativeTargets> {
  const { transform, winsorize } = labelTransform;
  const groups = graph === "none" ? undefined : panel.groups;
  const clip = "column" in label ? 0 : CLIPPED_RETURN;
  const neutral = exposures === undefined ? undefined : { clip, ...(exposures.native === undefined ? {} : { exposures: exposures.native }), ...(exposures.groups === undefined ? {} : { groupCount: exposures.groups.count }) };
  const isLeftOut = named !== undefined && exposures === undefined;
  const start = () =>
    loadCore().sampleTargets(
      {
        dates: panel.dates.length,
        stocks: panel.tickers.length,
        offsets: rows.offsets,
        rowStocks: rows.stocks,
        labels: isLeftOut ? new Float32Array(rows.labels.length).fill(NaN) : rows.labels,
        lagDays: shape.lagDays,
        reach: shape.horizons.map((horizon) => horizon || shape.span),
        lastPriced: rows.lastPriced,
        sampleDates: Int32Array.from([...plan.train, ...plan.valid, ...plan.test]),
        transform,
        ...(winsorize === undefined ? {} : { winsorize }),
        ...(panel.tradable === undefined ? {} : { tradable: panel.tradable }),
        ...(groups === undefined ? {} : { groupCodes: groups.codes, groupCount: groups.names.length }),
        ...(neutral === undefined ? {} : { neutral }),
        ...(exposures?.groups === undefined ? {} : { neutralGroups: panel.groups!.codes }),
        ...(panel.scratch === undefined ? {} : { scratch: panel.scratch }),
      },
      threads,
    );
  return finished(start, signal, "The dataset");
}
