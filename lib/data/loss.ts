import { AstgnnError, type ErrorDetails } from "../errors.js";

/** What was lost of something: "12 of 100 rows of prices.csv (12.0 %) have no usable value". */
export interface Loss {
  readonly lost: number;
  readonly of: number;
  readonly what: string;
  readonly why: string;
}

/** @throws AstgnnError ERR_DATA where more than the share `maxDropped` is lost */
export function refuseLoss({ lost, of, what, why }: Loss, maxDropped: number, details: ErrorDetails): void {
  const share = lost / of;
  if (of === 0 || share <= maxDropped) return;
  throw new AstgnnError("ERR_DATA", `${lost} of ${of} ${what} (${percent(share)}) ${why}; maxDropped allows ${percent(maxDropped)}.`, { option: "maxDropped", ...details });
}

/** "AAA, BBB and 3 more": the first `limit` names. */
export function listed(names: readonly string[], limit = 10): string {
  return `${names.slice(0, limit).join(", ")}${names.length > limit ? ` and ${names.length - limit} more` : ""}`;
}

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
