import type { NativeFeaturesResult, NativeProcessor } from "../binding/types.js";
import { AstgnnError } from "../errors.js";
import type { ResolvedProcessor } from "./dataset-options.js";

/** First and last training date (indices, inclusive). */
export interface FitDates {
  readonly from: number;
  readonly to: number;
}

/**
 * Processors as the core takes them, feature by feature.
 *
 * @throws AstgnnError ERR_OPTION where a processor names an unknown feature, or has neither statistics for a feature nor training dates to fit them on
 */
export function nativeProcessors(processors: readonly ResolvedProcessor[], featureNames: readonly string[], fit: FitDates | undefined): NativeProcessor[] {
  for (const { name, columns } of processors) {
    const unknown = columns?.find((column) => !featureNames.includes(column));
    if (unknown === undefined) continue;
    throw new AstgnnError("ERR_OPTION", `Processor ${name} names the unknown feature ${unknown}; the features are ${featureNames.join(", ")}.`, { option: "processors", column: unknown, next: "Correct its columns." });
  }
  return processors.map((processor) => {
    const isApplied = (feature: string): boolean => processor.columns === undefined || processor.columns.includes(feature);
    const unfitted = fit === undefined ? featureNames.find((feature) => isApplied(feature) && needsFit(processor, feature)) : undefined;
    if (unfitted !== undefined) {
      throw new AstgnnError("ERR_OPTION", `Processor ${processor.name} has no statistics for feature ${unfitted} and there are no training dates to fit it on.`, { option: "processors", column: unfitted, next: "Give a split, or a description with statistics." });
    }
    const applies = Uint8Array.from(featureNames, (feature) => (isApplied(feature) ? 1 : 0));
    const each = (value: (feature: string) => number | undefined): Float64Array => Float64Array.from(featureNames, (feature) => value(feature) ?? NaN);
    switch (processor.name) {
      case "winsorize":
        return { name: processor.name, applies, k: processor.k };
      case "standardize":
        return { name: processor.name, applies, mean: each((feature) => processor.statistics?.[feature]?.mean), sd: each((feature) => processor.statistics?.[feature]?.sd) };
      case "fill": {
        const { value, statistics } = processor;
        return { name: processor.name, applies, value: each((feature) => (value === "median" ? statistics?.[feature] : value)) };
      }
      default:
        return { name: processor.name, applies };
    }
  });
}

/** Whether the processor takes statistics of the training dates that it does not have yet. */
function needsFit(processor: ResolvedProcessor, feature: string): boolean {
  if (processor.name === "standardize") return processor.statistics?.[feature] === undefined;
  return processor.name === "fill" && processor.value === "median" && processor.statistics?.[feature] === undefined;
}

/** Whether any of the processors is fitted on the training dates of this dataset. */
export function isFittedHere(processors: readonly ResolvedProcessor[], featureNames: readonly string[]): boolean {
  return processors.some((processor) => featureNames.some((feature) => (processor.columns === undefined || processor.columns.includes(feature)) && needsFit(processor, feature)));
}

/** The processors with their statistics, JSON-safe. */
export function fittedProcessors(processors: readonly ResolvedProcessor[], featureNames: readonly string[], fitted: Extract<NativeFeaturesResult, { statistics: unknown }>["statistics"]): ResolvedProcessor[] {
  return processors.map((written, p) => {
    const processor = structuredClone(written);
    const { mean, sd, value } = fitted[p]!;
    featureNames.forEach((feature, f) => {
      if (processor.columns !== undefined && !processor.columns.includes(feature)) return;
      if (processor.name === "standardize") (processor.statistics ??= {})[feature] ??= { mean: mean![f]!, sd: sd![f]! };
      if (processor.name === "fill" && processor.value === "median") (processor.statistics ??= {})[feature] ??= value![f]!;
    });
    return processor;
  });
}
