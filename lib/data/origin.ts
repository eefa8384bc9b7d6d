import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { AstgnnError, show } from "../errors.js";
import type { PanelOptions } from "./panel-options.js";
import type { PanelSource } from "./source/panel-source.js";

/** How a panel was read: the options of `openPanel`, without those that change nothing in it. */
export type ReadingOptions = Omit<PanelOptions, "onWarning" | "signal" | "scratch">;

/** What a panel was read from and how, JSON-safe, as stored in run.json; files by absolute path. */
export interface PanelOrigin {
  /** Null where it came from memory or a connection of the caller's: nothing can be read again. */
  readonly source: PanelSource | null;
  readonly options: ReadingOptions;
}

/** The origin of a panel, from what `openPanel` was told and its defaults. */
export function originOf(source: PanelSource | undefined, options: PanelOptions): PanelOrigin {
  const { onWarning: _, signal: __, scratch: ___, groups, edges, ...rest } = options;
  const reading = {
    ...rest,
    ...(groups === undefined ? {} : { groups: { ...groups, file: absolute(groups.file) } }),
    ...(edges === undefined ? {} : { edges: { ...edges, file: absolute(edges.file) } }),
  };
  const paths = storedSource(source);
  return JSON.parse(JSON.stringify({ source: paths, options: reading })) as PanelOrigin;
}

/**
 * The options with which new data are read as those of a run. Given options may say where things now are (files, columns of date and
 * ticker) and how much may be lost, but not what counts: universe, columns, groups, edges and price breaks are the run's.
 * The run's tradable and label columns are left out: they make labels, which scores do not need and new data may not have.
 *
 * @param run what `openPanel` was told for the run
 * @param labelColumn column of the run's label, if it is one
 * @throws AstgnnError ERR_OPTION naming the option that contradicts the run, ERR_DATA where a file of the run has gone
 */
export function readAlike(run: ReadingOptions, given: PanelOptions, labelColumn: string | undefined, folder: string): PanelOptions {
  const { tradableColumn: _, columns, ...stored } = run;
  const withoutLabel = (names: readonly string[] | undefined): readonly string[] | undefined => names?.filter((name) => name !== labelColumn || name === "close");
  const named = withoutLabel(columns);
  const contradictions: readonly [option: string, run: unknown, now: unknown][] = [
    ["universeColumn", run.universeColumn, given.universeColumn],
    ["columns", named, withoutLabel(given.columns)],
    ["groupColumn", run.groupColumn, given.groupColumn],
    ["groups", run.groups, given.groups === undefined || run.groups !== undefined ? undefined : given.groups],
    ["groups.column", run.groups?.column, given.groups?.column],
    ["edges", run.edges, given.edges === undefined || run.edges !== undefined ? undefined : given.edges],
    ["edges.symmetric", run.edges?.symmetric, given.edges?.symmetric],
    ["extremeReturns", run.extremeReturns, (given.extremeReturns === "missing") === (run.extremeReturns === "missing") ? undefined : given.extremeReturns],
  ];
  for (const [option, before, now] of contradictions) {
    if (now === undefined || setText(now) === setText(before)) continue;
    throw new AstgnnError("ERR_OPTION", `The run in ${folder} was trained with ${option} ${before === undefined ? "none" : show(before)}, now it is ${show(now)}: the scores would be of another cross-section.`, {
      option,
      next: `Leave ${option} out: predict reads new data as run.json says; say in rename where their columns are called otherwise.`,
    });
  }
  const merged = {
    ...stored,
    ...(named === undefined ? {} : { columns: named }),
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    ...(run.groups === undefined ? {} : { groups: { ...run.groups, ...given.groups } }),
    ...(run.edges === undefined ? {} : { edges: { ...run.edges, ...given.edges } }),
  };
  if (run.groups !== undefined && given.groups === undefined) requireStored("groups", run.groups.file, "groups.file", folder);
  if (run.edges !== undefined && given.edges === undefined) requireStored("edges", run.edges.file, "edges.file", folder);
  return merged;
}

/** @throws AstgnnError ERR_DATA where a file that a run was read from has gone */
function requireStored(what: string, file: string, option: string, folder: string): void {
  if (existsSync(file) || /[*?[\]{}]/.test(file) || file.includes("://")) return;
  throw new AstgnnError("ERR_DATA", `The run in ${folder} was trained with ${what} from ${file}, which is not there any more.`, { file, option, next: `Name its new place with ${option}.` });
}

/** A list of columns is a set. */
function setText(value: unknown): string | undefined {
  return JSON.stringify(Array.isArray(value) ? [...value].sort() : value);
}

function absolute(path: string): string {
  return path.includes("://") ? path : resolve(path);
}

/** The source with absolute paths; null where it cannot be written down. */
function storedSource(source: PanelSource | undefined): PanelSource | null {
  if (source === undefined) return null;
  if (typeof source === "string") return absolute(source);
  if ("qlib" in source) return { ...source, qlib: absolute(source.qlib) };
  if ("arrow" in source) return null;
  if ("sql" in source) return source.connection === undefined ? { sql: source.sql } : null;
  return source.map(absolute);
}
