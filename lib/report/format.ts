import type { Value } from "./section.js";

/** What stands where there is no number. */
export const DASH = "–";

/** A number that report.json may have as null. */
export type Maybe = number | null | undefined;

/** Whether there is a number. */
export function isNumber(value: Maybe): value is number {
  return typeof value === "number" && Number.isFinite(value);
}

/** A number with a typographic minus. */
export function fixed(value: number, digits: number): string {
  const text = value.toFixed(digits);
  return /^-0(\.0*)?$/.test(text) ? text.slice(1) : text.replace("-", "−");
}

/** A whole number with thin spaces between thousands. */
export function count(value: number): string {
  return fixed(value, 0).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

export const percent = (value: number): string => `${fixed(100 * value, 1)} %`;
/** A probability, which is never quite one. */
export const probability = (value: number): string => (value > 0.9995 ? "> 99.9 %" : value < 0.0005 ? "< 0.1 %" : percent(value));
export const basisPoints = (value: number): string => `${fixed(1e4 * value, 1)} bp`;
export const decimals = (digits: number) => (value: number): string => fixed(value, digits);

/** The number as text, or a dash with the reason. */
export function value(number: Maybe, format: (value: number) => string, reason: string): Value {
  return isNumber(number) ? { text: format(number) } : { text: DASH, reason };
}

/** Decimals by which the largest of some numbers has about three digits that say something: at least `least`. */
export function digitsOf(numbers: readonly number[], least: number): number {
  const most = Math.max(...numbers.map(Math.abs));
  return most > 0 ? Math.min(6, Math.max(least, 1 - Math.floor(Math.log10(most)))) : least;
}

/** A date as people write it: 2 January 2013. */
export function longDate(date: string): string {
  const parsed = new Date(`${date}T00:00:00Z`);
  return Number.isNaN(parsed.getTime()) ? date : parsed.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
}

/** `1 date`, `2 dates`. */
export function counted(number: number, noun: string): string {
  return `${count(number)} ${number === 1 ? noun : `${noun}s`}`;
}
