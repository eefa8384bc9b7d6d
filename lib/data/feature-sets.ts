import { AstgnnError } from "../errors.js";
import { PRICE_COLUMNS } from "./source/columns.js";
import type { ResolvedLoadings, ResolvedProcessor } from "./dataset-options.js";
import { FEATURE_SETS, OHLCV_FEATURES, STYLE_FEATURES, STYLE_REACH, type FeatureSetName } from "./features.js";

/** One input of the model, and what the core makes it from. */
export interface Feature {
  readonly name: string;
  /** The set that it belongs to; a column as it is belongs to none. */
  readonly set: FeatureSetName | undefined;
  /** Of the set's features, in the core's order. */
  readonly index: number;
}

/** What `features` may be. */
export type WrittenFeatures = FeatureSetName | readonly string[];

function isSet(name: string): name is FeatureSetName {
  return (FEATURE_SETS as readonly string[]).includes(name);
}

export function hasSet(written: WrittenFeatures, set: FeatureSetName): boolean {
  return written === set || (Array.isArray(written) && written.includes(set));
}

/**
 * The features in their order: the names of sets stand for their features, other names are columns. A style exposure that is called as a feature of
 * `ohlcv` beside it is called `style_<name>`.
 *
 * @param hasSize whether the size of `style` is a column
 * @throws AstgnnError ERR_OPTION where a name comes twice
 */
export function listFeatures(written: WrittenFeatures, loadings: ResolvedLoadings | undefined, hasSize: boolean): Feature[] {
  const parts = typeof written === "string" ? [written] : written;
  const taken = new Set(parts.includes("ohlcv") ? OHLCV_FEATURES.map(({ name }) => name) : []);
  const features = parts.flatMap((part): Feature[] => {
    if (!isSet(part)) return [{ name: part, set: undefined, index: 0 }];
    if (part === "ohlcv") return OHLCV_FEATURES.map(({ name }, index) => ({ name, set: part, index }));
    if (part === "loadings") return Array.from({ length: loadings!.count }, (_, index) => ({ name: `loading_${index + 1}`, set: part, index }));
    return STYLE_FEATURES.map((style, index) => {
      const name = style === "size" && !hasSize ? "size_proxy" : style;
      return { name: taken.has(name) ? `style_${name}` : name, set: part, index };
    });
  });
  const names = features.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new AstgnnError("ERR_OPTION", `Feature ${twice} is listed twice.`, { option: "features", column: twice, next: "List each feature once; a column that is called as a feature of a set needs another name." });
  return features;
}

/** Columns of the panel that the features are made of. */
export function columnsOf(features: readonly Feature[]): string[] {
  const needed = new Set<string>();
  for (const { name, set } of features) {
    if (set === undefined || (set === "style" && name === "size")) needed.add(name);
    else for (const column of set === "loadings" ? ["close"] : PRICE_COLUMNS) needed.add(column);
  }
  return [...needed];
}

/** How many dates before a date the features read. Loadings with a stored basis need none where it has them. */
export function lookBackOf(written: WrittenFeatures, loadings: ResolvedLoadings | undefined): number {
  return Math.max(
    0,
    ...(hasSet(written, "ohlcv") ? OHLCV_FEATURES.map(({ reach }) => reach) : []),
    ...(hasSet(written, "style") ? [STYLE_REACH] : []),
    ...(loadings === undefined ? [] : [loadings.window]),
  );
}

/** Ranks for `ohlcv`, and 0 for what is missing in a set; columns stay as they are. */
export function defaultProcessors(features: readonly Feature[]): ResolvedProcessor[] {
  const named = (sets: readonly (FeatureSetName | undefined)[]): string[] => features.filter(({ set }) => sets.includes(set)).map(({ name }) => name);
  const limited = (columns: readonly string[]): { columns?: string[] } => (columns.length === features.length ? {} : { columns: [...columns] });
  const [ranked, filled] = [named(["ohlcv"]), named(FEATURE_SETS)];
  return [
    ...(ranked.length === 0 ? [] : [{ name: "rank" as const, ...limited(ranked) }]),
    ...(filled.length === 0 ? [] : [{ name: "fill" as const, value: 0, ...limited(filled) }]),
  ];
}

/** 1 where a stock may lack the feature because its history is short: counted, but no loss. */
export function mayLack(features: readonly Feature[]): Uint8Array {
  return Uint8Array.from(features, ({ set }) => (set === "loadings" || set === "style" ? 1 : 0));
}
