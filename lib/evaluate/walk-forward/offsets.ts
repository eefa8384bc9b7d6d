import { z } from "zod";

/** Schema of a calendar offset: `"3y"`, `"6m"`, `"2w"`, `"10d"`. */
export const offsetSchema = z
  .string()
  .regex(/^[1-9]\d{0,3}[ymwd]$/)
  .describe('a calendar offset such as "3y", "6m", "2w" or "10d"');

/**
 * A date `times` calendar offsets later: `y` and `m` keep the day of the month, or take the month's last one where it has no such day; `w` and `d` are 7 and 1 days.
 *
 * @param date YYYY-MM-DD
 */
export function addOffset(date: string, offset: string, times = 1): string {
  const count = Number(offset.slice(0, -1)) * times;
  const [year, month, day] = date.split("-").map(Number) as [number, number, number];
  const unit = offset.at(-1);
  if (unit === "w" || unit === "d") return iso(year, month - 1, day + count * (unit === "w" ? 7 : 1));
  const months = month - 1 + count * (unit === "y" ? 12 : 1);
  const lastDay = new Date(Date.UTC(year, months + 1, 0)).getUTCDate();
  return iso(year, months, Math.min(day, lastDay));
}

function iso(year: number, month: number, day: number): string {
  return new Date(Date.UTC(year, month, day)).toISOString().slice(0, 10);
}
