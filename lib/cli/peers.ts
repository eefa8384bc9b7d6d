import { Command } from "commander";
import { AstgnnError } from "../errors.js";
import type { RunPeersOptions } from "../evaluate/peers/run.js";
import { modelSchema } from "../model/config.js";
import { trainSchema } from "../train/options.js";
import { panelFlags } from "./data-flags.js";
import { addSourceFlags, namedSource, panelOptionsFrom } from "./data-source.js";
import { addFlags, type FlagGroup, inFlags, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { clustersText, peersText } from "./peers-text.js";
import { precisionFlags, usePrecision } from "./precision-flags.js";
import { flagsOf } from "./schema-flags.js";
import type { Terminal } from "./terminal.js";

const dateFlags: FlagGroup = {
  title: "Peers",
  flags: [
    { flags: "--date <date>", option: "date", kind: "text", help: "date whose graph to show, YYYY-MM-DD (default: the newest of the data)" },
    ...flagsOf("Peers", { device: modelSchema.shape.device, threads: trainSchema.shape.threads }).flags,
  ],
};

const stockFlags: FlagGroup = {
  title: "Peers of a stock",
  flags: [
    { flags: "--ticker <ticker>", option: "ticker", kind: "text", help: "stock whose peers to show (default: the clusters of all)" },
    { flags: "--top <count>", option: "top", kind: "scalar", help: "peers to show: a whole number from 1 (default: 10)" },
    { flags: "--look-back <dates>", option: "lookBack", kind: "scalar", help: "dates back on which to see since when they are peers: a whole number from 0 (default: 120)" },
  ],
};

const clusterFlags: FlagGroup = {
  title: "Clusters",
  flags: [
    { flags: "--resolution <number>", option: "resolution", kind: "scalar", help: "a number above 0; more finds more and smaller clusters (default: 1)" },
    { flags: "--exposures <names>", option: "exposures", kind: "texts", help: "known properties of stocks that clusters may share: style, loadings and number columns of the data, comma-separated (default: the run's features)" },
  ],
};

const GROUPS = [panelFlags, dateFlags, stockFlags, clusterFlags, precisionFlags] as const;

type Written = Record<string, unknown> & { run: string; ticker?: string; json?: boolean };

/** `astgnn peers`: whom the graph of a run links on a date, a stock's peers or the clusters of all. */
export function peersCommand(terminal: Terminal): Command {
  const command = new Command("peers")
    .description("show the graph that the model of a run makes on a date: the peers of a stock (--ticker), or the clusters of all; what the columns mean: docs/clusters.md")
    .requiredOption("--run <folder>", "run folder of astgnn train, of one seed");
  addFlags(command, dateFlags);
  addFlags(command, stockFlags);
  addFlags(command, clusterFlags);
  addSourceFlags(command, " (default: what the run was trained on, read again)");
  addFlags(command, panelFlags);
  addFlags(command, precisionFlags);
  return command
    .option("--json", "print one JSON object")
    .option("--debug", "on failure also print the stack")
    .action(async (written: Written) => {
      try {
        await show(written, terminal);
      } catch (error) {
        throw namingFlags(error, GROUPS);
      }
    });
}

async function show(written: Written, terminal: Terminal): Promise<void> {
  const { ticker } = written;
  const stray = written["top"] !== undefined ? "--top" : written["lookBack"] !== undefined ? "--look-back" : undefined;
  if (ticker === undefined && stray !== undefined) throw new AstgnnError("ERR_OPTION", `${stray} is about the peers of a stock, and no stock is named.`, { option: stray, next: "Add --ticker TICKER, or leave it out." });
  const ofAll = written["resolution"] !== undefined ? "--resolution" : written["exposures"] !== undefined ? "--exposures" : undefined;
  if (ticker !== undefined && ofAll !== undefined) throw new AstgnnError("ERR_OPTION", `${ofAll} is about the clusters of all stocks, and --ticker names one.`, { option: ofAll, next: "Leave one of them out." });
  const { device, ...rest } = optionsFrom(dateFlags, written) as Pick<RunPeersOptions, "date" | "device"> & { threads?: number };
  const options = { ...panelOptionsFrom(written), ...rest, device, source: namedSource(written) };
  await usePrecision(written, device);
  const { peersOfRun, clustersOfRun } = await import("../evaluate/peers/run.js");
  const onWarning: RunPeersOptions["onWarning"] = ({ text }) => terminal.err(`astgnn peers: ${inFlags(text, GROUPS)}`);
  await interruptible(async (signal) => {
    const common = { ...options, onWarning, signal };
    const found =
      ticker === undefined
        ? await clustersOfRun(written.run, { ...common, ...optionsFrom(clusterFlags, written) })
        : await peersOfRun(written.run, { ...common, ...optionsFrom(stockFlags, written), ticker });
    if ("peers" in found) {
      const { writeReport } = await import("../evaluate/write-report.js");
      await writeReport(written.run, { stockPeers: found }).catch((error: Error) => terminal.err(`astgnn peers: ${error.message}`));
    }
    if (written.json === true) return terminal.out(JSON.stringify(found));
    for (const line of "peers" in found ? peersText(found) : clustersText(found)) terminal.out(line);
  });
}
