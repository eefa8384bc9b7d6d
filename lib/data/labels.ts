import type { ResolvedLabel } from "./dataset-options.js";

/** Which dates a label looks at: it is entered at t + lagDays and ends at t + lagDays + span, in panel dates. */
export interface LabelShape {
  /** Horizons in panel dates; one 0 for a label column. */
  readonly horizons: readonly number[];
  readonly lagDays: number;
  /** The longest horizon. */
  readonly span: number;
}

export function labelShape(label: ResolvedLabel): LabelShape {
  if ("column" in label) return { horizons: [0], lagDays: label.lagDays, span: label.horizonDays };
  const horizons = typeof label.horizonDays === "number" ? [label.horizonDays] : label.horizonDays;
  return { horizons, lagDays: label.lagDays, span: Math.max(...horizons) };
}
