import { dirname, resolve } from "node:path";
import { Command, Option } from "commander";
import type { PackOptions } from "../data/pack/pack.js";
import { PACK_STORES } from "../data/pack/store.js";
import { AstgnnError } from "../errors.js";
import { datasetFlags, panelFlags } from "./data-flags.js";
import { addSourceFlags, panelOptionsFrom, requireSplit, sampleOptionsFrom, sourceFrom } from "./data-source.js";
import { addFlags, type FlagGroup, inFlags, namingFlags, optionsFrom } from "./flags.js";
import { interruptible } from "./interrupt.js";
import { printLedger } from "./ledger.js";
import type { Terminal } from "./terminal.js";
import { presetFlags } from "./train-command.js";

/** Flags that say how a dataset is split, which a packed one is when it is trained on. */
const splitFlags: FlagGroup = { ...datasetFlags, flags: datasetFlags.flags.filter(({ option }) => option === "embargo" || option.startsWith("split.")) };
const packedFlags: FlagGroup = { ...datasetFlags, flags: datasetFlags.flags.filter((flag) => !splitFlags.flags.includes(flag)) };
/** Of these, what says on which dates processors are fitted. */
const fitFlags: FlagGroup = {
  title: "Dates that processors are fitted on (standardize, fill with the median)",
  flags: splitFlags.flags.filter(({ option }) => ["split.trainEnd", "split.start", "split.fractions"].includes(option)),
};
const GROUPS = [panelFlags, presetFlags, packedFlags, fitFlags] as const;

type Written = Record<string, unknown> & { out?: string; store?: PackOptions["store"]; json?: boolean };

/** `astgnn pack`: computes a dataset into a file that training reads without holding it in memory. */
export function packCommand(terminal: Terminal): Command {
  const command = new Command("pack").description("compute a dataset into one file, for astgnn train --data FILE.pack, which reads it without holding it in memory; the split is said there");
  addSourceFlags(command);
  for (const group of GROUPS) addFlags(command, group);
  return command
    .addOption(new Option("--out <file>", "file to write, FILE.pack; one that is there is replaced once the new one is whole").helpGroup("Output:"))
    .addOption(new Option("--store <type>", "how features are stored: float32, or rank16, in half the space and with the same bits, for features that are ranks within their date (ohlcv)").choices(PACK_STORES).default("float32").helpGroup("Output:"))
    .addOption(new Option("--json", "print one JSON object").helpGroup("Output:"))
    .action(async (written: Written) => {
      try {
        await packFrom(written, terminal);
      } catch (error) {
        throw namingFlags(error, GROUPS);
      }
    });
}

async function packFrom(written: Written, terminal: Terminal): Promise<void> {
  const { out, store } = written;
  if (out === undefined) throw new AstgnnError("ERR_OPTION", "Nothing says where the packed dataset goes.", { option: "--out", next: "Add --out FILE.pack." });
  if (!isPack(out)) throw new AstgnnError("ERR_OPTION", `--out ${out} does not end in .pack, by which astgnn train knows a packed dataset.`, { option: "--out", next: `Write ${out}.pack.` });
  const source = sourceFrom(written);
  const options = { ...optionsFrom(presetFlags, written), ...sampleOptionsFrom(written) } as Omit<PackOptions, "out">;
  const [{ openPanel }, { pack }] = await Promise.all([import("../data/panel.js"), import("../data/pack/pack.js")]);
  await interruptible(async (signal) => {
    const panel = await openPanel(source, { ...panelOptionsFrom(written), scratch: dirname(resolve(out)), onWarning: ({ text }) => terminal.err(`astgnn pack: ${inFlags(text, GROUPS)}`), signal });
    const packed = await pack(panel, { ...options, out, store, signal });
    if (written.json === true) return terminal.out(JSON.stringify(packed));
    printLedger(terminal, panel.ledger);
    terminal.out(`${packed.rows} rows of ${packed.dates} dates and ${packed.stocks} stocks, ${packed.features} features: ${(packed.bytes / 2 ** 20).toFixed(1)} MiB in ${packed.file}`);
  });
}

/** Whether a source is a packed dataset. */
export function isPack(source: unknown): source is string {
  return typeof source === "string" && source.endsWith(".pack");
}

/** @throws AstgnnError ERR_OPTION where a preset is named that is not the packed dataset's: it also says how samples are made */
export function requirePreset({ preset }: { readonly preset: string | undefined }, file: string, written: Readonly<Record<string, unknown>>): void {
  if (written["preset"] === undefined || written["preset"] === preset) return;
  throw new AstgnnError("ERR_OPTION", `--preset also says how samples are made, and ${file} was packed with ${preset === undefined ? "none" : `"${preset}"`}.`, {
    option: "--preset", next: "Pack with the same --preset, or write the flags of the preset that are the model's and the training's.",
  });
}

/**
 * The split of a packed dataset, as flags of `astgnn train` say it.
 *
 * @throws AstgnnError ERR_OPTION where they say what the file has decided
 */
export function packSplitFrom(written: Readonly<Record<string, unknown>>): { split: never; embargo?: never } {
  for (const group of [panelFlags, packedFlags]) {
    const decided = group.flags.find((flag) => written[new Option(flag.flags).attributeName()] !== undefined);
    if (decided === undefined) continue;
    const option = new Option(decided.flags).long!;
    throw new AstgnnError("ERR_OPTION", `${option} is decided by the packed dataset.`, { option, next: "Leave it out, or pack the data again with it." });
  }
  const options = optionsFrom(splitFlags, written);
  requireSplit(options);
  return options as { split: never };
}
