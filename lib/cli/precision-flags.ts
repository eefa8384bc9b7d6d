import type { Precision } from "../binding/types.js";
import { type FlagGroup, optionsFrom } from "./flags.js";

/** What `train` and `predict` compute in. */
export const precisionFlags: FlagGroup = {
  title: "Computation",
  flags: [{ flags: "--precision <name>", option: "precision", kind: "text", help: "highest, high or medium: what matrix products are computed in (default: high on a processor with AMX, else highest)" }],
};

/** Sets the process's precision where the flag is given, for work on `device`. */
export async function usePrecision(written: Readonly<Record<string, unknown>>, device: string | undefined): Promise<void> {
  const { precision } = optionsFrom(precisionFlags, written) as { precision?: Precision };
  if (precision === undefined) return;
  const [{ setPrecisionFor }, { resolveDevice }] = await Promise.all([import("../model/precision.js"), import("../model/device.js")]);
  setPrecisionFor(precision, resolveDevice(device));
}
