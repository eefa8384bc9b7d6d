import { Command } from "commander";
import type { PanelOptions } from "../data/panel.js";
import type { CompareRiskOptions } from "../risk/compare.js";
import type { RiskComparison } from "../risk/judge.js";
import { addSourceFlags, namedSource } from "./data-source.js";
import { addFlags, type FlagGroup, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { aligned, decimals, type Terminal } from "./terminal.js";

const riskFlags: FlagGroup = {
  title: "Risk",
  flags: [
    { flags: "--compare <names>", option: "compare", kind: "texts", help: "other models on the same dates and stocks: some of sample, lw, oas, pca, style, comma-separated (default: all)" },
    { flags: "--exposures <names>", option: "exposures", kind: "texts", help: "exposures beside M: style, loadings, groups and number columns of the data, comma-separated (default: none)" },
    { flags: "--axes <count>", option: "axes", kind: "scalar", help: "principal axes of M that are factors: a whole number from 1 (default: 28)" },
    { flags: "--model <json>", option: "model", kind: "json", help: "stages of the model as JSON, e.g. '{\"eigenfactors\":{}}'; docs/risk.md names them" },
    { flags: "--window <dates>", option: "window", kind: "scalar", help: "dates that the other models are estimated over: a whole number from 20 (default: 252)" },
    { flags: "--refresh <dates>", option: "refresh", kind: "scalar", help: "dates after which sample, lw, oas and pca are estimated anew: a whole number from 1 (default: 1)" },
    { flags: "--components <count>", option: "components", kind: "scalar", help: "components of pca: a whole number from 1 (default: 20)" },
    { flags: "--size-column <name>", option: "size", kind: "text", help: "column of capitalisations (default: dollar volume stands for them)" },
    { flags: "--split <name>", option: "split", kind: "text", help: "dates that models are judged on: test, or valid to choose settings by (default: test)" },
    { flags: "--groups <file>", option: "groups.file", kind: "text", help: "file with ticker and group, for the model style and for portfolios of groups (default: the groups of the run's data)" },
    { flags: "--group-column <name>", option: "groups.column", kind: "text", help: "column of the group in that file (default: group)" },
  ],
};

type Written = Record<string, unknown> & { run: string; json?: boolean };

/** `astgnn risk`: what the risk model from M of a run is worth beside others. */
export function riskCommand(terminal: Terminal): Command {
  const command = new Command("risk")
    .description("judge the risk model that the factors M of a run make, by forecasts of portfolios on its test dates, beside other models on the same dates and stocks; what the numbers mean: docs/risk.md")
    .requiredOption("--run <folder>", "run folder of astgnn train, of one seed, also of a walk-forward");
  addFlags(command, riskFlags);
  addSourceFlags(command, " (default: what the run was trained on, read again)");
  return command
    .option("--json", "print one JSON object")
    .option("--debug", "on failure also print the stack")
    .action(async (written: Written) => {
      try {
        await judge(written, terminal);
      } catch (error) {
        throw namingFlags(error, [riskFlags]);
      }
    });
}

async function judge(written: Written, terminal: Terminal): Promise<void> {
  const { groups, ...options } = optionsFrom(riskFlags, written) as Omit<CompareRiskOptions, "groups"> & { groups?: NonNullable<PanelOptions["groups"]> };
  const { compareRisk } = await import("../risk/compare.js");
  const found = await interruptible((signal) => compareRisk(written.run, { ...options, ...(groups === undefined ? {} : { groups }), source: namedSource(written), signal, onDate: (date) => terminal.progress(`astgnn risk: ${date}`) }));
  terminal.clearProgress();
  if (options.split !== "valid") {
    const { writeReport } = await import("../evaluate/write-report.js");
    await writeReport(written.run, { risk: found }).catch((error: Error) => terminal.err(`astgnn risk: ${error.message}`));
  }
  if (written.json === true) return terminal.out(JSON.stringify(found));
  for (const line of riskTable(found)) terminal.out(line);
}

function riskTable({ models, pairs, first, last, dates, stocks, eigenfactors }: RiskComparison): string[] {
  const rows = Object.entries(models).map(([name, model]) => {
    const t = (portfolios: string): string => decimals(pairs.find((pair) => pair.b === name && pair.portfolios === portfolios)?.t, 1);
    return [
      name, decimals(model.qlike.random, 3), t("random"), decimals(model.qlike.gmv, 3), t("gmv"), decimals(model.bias, 2), `${Math.round(100 * model.biasWithin)} %`, decimals(model.mrad, 2), decimals(model.q, 2),
      decimals(100 * model.gmvVolatility, 2), decimals(model.gmvBias, 2), decimals(model.eigen.distance, 2),
    ];
  });
  return [
    `${dates} dates ${first} to ${last}, ${Math.round(stocks)} stocks each`,
    ...aligned([["model", "QLIKE random", "t*", "QLIKE gmv", "t*", "bias", "within .1", "MRAD", "Q", "gmv vol. %", "gmv bias", "eigen**"], ...rows], (column) => column > 0),
    "",
    "* of the mean daily difference QLIKE of m less that of the model, Newey-West: negative, m is better",
    "** mean |bias - 1| of the 20 leading eigenvectors of the model's own covariance, held as portfolios",
    ...(eigenfactors === undefined ? [] : [`Eigenfactors of m: mean |bias - 1| is ${decimals(eigenfactors.plain.distance, 3)} without and ${decimals(eigenfactors.adjusted.distance, 3)} with the eigenfactor adjustment.`]),
  ];
}
