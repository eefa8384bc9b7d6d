import { AstgnnError } from "../../errors.js";
import { firstDifference } from "../../run/folder.js";
import type { RankGroup } from "./group.js";

/** Compares what every rank has. @throws AstgnnError on all of them: ERR_DATA or ERR_OPTION naming the first rank and field that differ from rank 0's */
export async function refuseOtherRanks(group: RankGroup, facts: object): Promise<void> {
  const all = await group.gather(JSON.parse(JSON.stringify(facts)) as object);
  for (const [rank, other] of all.entries()) {
    const difference = firstDifference(all[0], other, "");
    if (difference === undefined) continue;
    const [field, first, found] = difference;
    const isOfData = /^(fingerprint|split|weights)/.test(field);
    throw new AstgnnError(isOfData ? "ERR_DATA" : "ERR_OPTION", `Rank ${rank} has ${field} ${shown(found)}, rank 0 has ${shown(first)}.`, {
      option: field,
      next: field.startsWith("machine") ? "Train on machines that are alike: ASTGNN_ISA and the precision can make them so." : "Start all ranks with the same command on the same data.",
    });
  }
}

function shown(value: unknown): string {
  return value === undefined ? "none" : JSON.stringify(value);
}
