import { AstgnnError, invalidOption, nearest } from "../errors.js";
import type { ResolvedLoadings } from "./dataset-options.js";
import { columnsOf, listFeatures, lookBackOf, type Feature } from "./feature-sets.js";
import type { PanelGrid } from "./panel-grid.js";

/** What labels or predictions are made neutral to. */
export interface ExposureList {
  /** Sets and columns that give exposures, without `groups`. */
  readonly written: readonly string[];
  readonly sources: readonly Feature[];
  /** Whether each group has an intercept of its own. */
  readonly byGroup: boolean;
  /** How `loadings` are estimated, where they are among them. */
  readonly loadings: ResolvedLoadings | undefined;
}

/**
 * The exposures that `neutralise` names: sets stand for their exposures, `groups` for an intercept per group, other names are columns.
 *
 * @param hasSize whether the size of `style` is a column
 * @throws AstgnnError ERR_OPTION for a set that is none, or a name that comes twice
 */
export function listExposures(neutralise: readonly string[], loadings: ResolvedLoadings | undefined, hasSize: boolean, option: string): ExposureList {
  const twice = neutralise.find((name, i) => neutralise.indexOf(name) !== i);
  if (twice !== undefined) throw invalidOption(option, "each name once", neutralise);
  if (neutralise.includes("ohlcv")) throw invalidOption(option, '"loadings", "style", "groups" or columns', neutralise, "Features of ohlcv are what the model predicts from, not exposures to take out.");
  const written = neutralise.filter((name) => name !== "groups");
  const own = written.includes("loadings") ? loadings : undefined;
  return { written, sources: written.length === 0 ? [] : listFeatures(written, own, hasSize), byGroup: written.length < neutralise.length, loadings: own };
}

/** Dates before its own that an exposure reads. */
export function exposureLookBack({ written, loadings }: ExposureList): number {
  return lookBackOf(written, loadings);
}

/** @throws AstgnnError ERR_DATA for a column that the panel lacks, ERR_OPTION for groups that it lacks */
export function requireExposures(panel: PanelGrid, { sources, byGroup }: ExposureList, option: string): void {
  if (byGroup && panel.groups === undefined) {
    throw new AstgnnError("ERR_OPTION", `${option} names groups, and the panel has none.`, { option, next: "Give openPanel a groupColumn or groups: { file }." });
  }
  const missing = columnsOf(sources).find((name) => !panel.has(name));
  if (missing === undefined) return;
  const near = nearest(missing, ["loadings", "style", "groups", ...panel.columns]);
  throw new AstgnnError("ERR_DATA", `${panel.source} lacks the column ${missing} for ${option}; the panel has ${panel.columns.join(", ")}.`, {
    file: panel.source,
    column: missing,
    option,
    next: near === undefined ? "Name loadings, style, groups or columns of the panel." : `Did you mean ${near}?`,
  });
}
