import type { PanelValues } from "../data/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { checkAligned, checkPanelValues, widthOf } from "./aligned.js";

/**
 * The prediction of an ensemble: the mean over members of per-date, per-prediction z-scores over that date's rows (population standard
 * deviation; a member that is constant on a date adds 0 there). Same shape as a member; NaN where the members have NaN.
 *
 * @example
 * const scores = averagePredictions([first.predictions, second.predictions]);
 * @throws AstgnnError ERR_SHAPE where members are not aligned, ERR_DATA where they do not have predictions for the same stocks and dates
 */
export function averagePredictions(members: readonly PanelValues[]): PanelValues {
  if (!Array.isArray(members)) throw invalidOption("members", "a list of predictions", members);
  const first = members[0] as PanelValues | undefined;
  if (first === undefined) throw new AstgnnError("ERR_OPTION", "An ensemble needs at least one member.");
  for (const [index, member] of members.entries()) {
    const name = `member ${index + 1}`;
    checkPanelValues(member, name);
    checkAligned(first, "member 1", member, name);
    if (widthOf(member) !== widthOf(first)) {
      throw new AstgnnError("ERR_SHAPE", `Member 1 has ${widthOf(first)} predictions but ${name} has ${widthOf(member)}.`);
    }
  }
  const [dates, stocks] = first.shape;
  const width = widthOf(first);
  const data = new Float64Array(first.data.length);
  for (const [index, member] of members.entries()) {
    for (let t = 0; t < dates; t++) {
      for (let p = 0; p < width; p++) {
        addZScores(member, index, t, p, first, data, members.length, stocks, width);
      }
    }
  }
  return { data, shape: first.shape, dates: first.dates, tickers: first.tickers };
}

function addZScores(
  member: PanelValues, index: number, t: number, p: number, first: PanelValues, sum: Float64Array, members: number, stocks: number, width: number,
): void {
  let rows = 0;
  let total = 0;
  let least = Infinity;
  let most = -Infinity;
  const at = (n: number): number => (t * stocks + n) * width + p;
  for (let n = 0; n < stocks; n++) {
    const value = member.data[at(n)]!;
    if (Number.isNaN(value) !== Number.isNaN(first.data[at(n)]!)) {
      throw new AstgnnError("ERR_DATA", `Members 1 and ${index + 1} disagree whether ${first.tickers[n]} has a prediction on ${first.dates[t]}.`, {
        date: first.dates[t]!,
        next: "Average only members that scored the same dataset.",
      });
    }
    if (Number.isNaN(value)) continue;
    rows++;
    total += value;
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  const mean = total / rows;
  let squares = 0;
  for (let n = 0; n < stocks; n++) {
    const value = member.data[at(n)]!;
    if (!Number.isNaN(value)) squares += (value - mean) ** 2;
  }
  const deviation = Math.sqrt(squares / rows);
  const isConstant = least === most || !(deviation > 0);
  for (let n = 0; n < stocks; n++) {
    const value = member.data[at(n)]!;
    if (Number.isNaN(value)) sum[at(n)] = NaN;
    else if (!isConstant) sum[at(n)]! += (value - mean) / deviation / members;
  }
}
