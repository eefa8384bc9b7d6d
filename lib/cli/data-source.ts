import { type Command, Option } from "commander";
import type { DatasetOptions } from "../data/dataset-options.js";
import { FEATURE_SETS } from "../data/features.js";
import type { PanelOptions } from "../data/panel.js";
import type { PanelSource } from "../data/source/panel-source.js";
import { AstgnnError } from "../errors.js";
import { datasetFlags, panelFlags } from "./data-flags.js";
import { optionsFrom } from "./flags.js";

type Written = Readonly<Record<string, unknown>>;

/** Adds `--data` and `--sql`: where the long table comes from. */
export function addSourceFlags(command: Command, byDefault = ""): Command {
  return command
    .addOption(new Option("--data <file...>", `long table of stocks: .parquet, .csv or .csv.gz, one file, several or a quoted glob${byDefault}`).helpGroup("Data:"))
    .addOption(new Option("--sql <query>", "long table of stocks as a DuckDB query, instead of --data").helpGroup("Data:"));
}

/** The source named on the command line, undefined where there is none. */
export function namedSource(written: Written): PanelSource | undefined {
  const files = written["data"] as string[] | undefined;
  const sql = written["sql"] as string | undefined;
  if (files !== undefined && sql !== undefined) throw new AstgnnError("ERR_OPTION", "Both --data and --sql are given.", { option: "--data", next: "Give one of them." });
  if (sql !== undefined) return { sql };
  return files?.length === 1 ? files[0] : files;
}

/** The source named on the command line. */
export function sourceFrom(written: Written): PanelSource {
  const source = namedSource(written);
  if (source === undefined) throw new AstgnnError("ERR_OPTION", "No data are named.", { option: "--data", next: "Add --data FILE." });
  return source;
}

/** What the flags say to `openPanel`. */
export function panelOptionsFrom(written: Written): PanelOptions {
  const options = optionsFrom(panelFlags, written) as { groups?: { file?: string; column?: string }; edges?: { file?: string }; groupColumn?: string };
  if (options.groups !== undefined && options.groups.file === undefined) {
    if (options.groups.column !== undefined) options.groupColumn = options.groups.column;
    delete options.groups;
  }
  if (options.edges !== undefined && options.edges.file === undefined) {
    throw new AstgnnError("ERR_OPTION", "--directed-edges needs an edges file.", { option: "--edges", next: "Add --edges FILE." });
  }
  return options as PanelOptions;
}

/** What the flags say to `panel.dataset`. */
export function datasetOptionsFrom(written: Written): DatasetOptions {
  const options = sampleOptionsFrom(written);
  requireSplit(options);
  return options as unknown as DatasetOptions;
}

/** @throws AstgnnError ERR_OPTION where nothing says where training ends */
export function requireSplit(options: Readonly<Record<string, unknown>>): void {
  const split = options["split"] as { trainEnd?: string; fractions?: unknown } | undefined;
  if (split?.fractions !== undefined || split?.trainEnd !== undefined) return;
  throw new AstgnnError("ERR_OPTION", "Nothing says where training ends.", { option: "split", next: "Add --train-end DATE and --valid-end DATE, or --fractions 0.6,0.2,0.2." });
}

/** The same whether or not they say where training ends. */
export function sampleOptionsFrom(written: Written): Record<string, unknown> {
  const options = optionsFrom(datasetFlags, written);
  const features = options["features"] as string[] | undefined;
  if (features?.length === 1 && (FEATURE_SETS as readonly string[]).includes(features[0]!)) options["features"] = features[0];
  const { maxDropped } = optionsFrom(panelFlags, written);
  if (maxDropped !== undefined) options["maxDropped"] = maxDropped;
  // --no-graph
  if (written["graph"] === false) options["graph"] = "none";
  return options;
}
