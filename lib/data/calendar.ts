import { AstgnnError, invalidOption } from "../errors.js";

/** Milliseconds of a day. */
export const MS_PER_DAY = 86_400_000;

/** ISO date of a day count from 1970-01-01. */
export function isoDate(day: number): string {
  return new Date(day * MS_PER_DAY).toISOString().slice(0, 10);
}

/** Day count from 1970-01-01 of an ISO date. */
export function dayCount(date: string): number {
  return Date.parse(`${date}T00:00:00Z`) / MS_PER_DAY;
}

/** Whether `text` is a calendar date written YYYY-MM-DD. */
export function isIsoDate(text: string): boolean {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return false;
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

/** Index of the last date not after `date`; -1 where all are later. `dates` ascend. */
export function lastNotAfter(dates: readonly string[], date: string): number {
  return firstNotBefore(dates, date, true) - 1;
}

/** Index of the first date not before `date` (with `strictly`: after it); `dates.length` where there is none. */
export function firstNotBefore(dates: readonly string[], date: string, strictly = false): number {
  let low = 0;
  let high = dates.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const before = strictly ? dates[middle]! <= date : dates[middle]! < date;
    if (before) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Refuses a date option that lies outside the panel. */
export function requireInside(option: string, date: string, dates: readonly string[]): void {
  if (!isIsoDate(date)) throw invalidOption(option, "a date as YYYY-MM-DD", date);
  const first = dates[0]!;
  const last = dates[dates.length - 1]!;
  if (date < first || date > last) {
    throw new AstgnnError("ERR_OPTION", `${option} ${date} lies outside the panel, which has dates from ${first} to ${last}.`, {
      option,
      date,
      next: "Name a date inside the panel.",
    });
  }
}

/** What a date column is in SQL. */
export interface DateSql {
  /** What dates are told apart by. */
  readonly raw: string;
  /** Its type; DOUBLE stands for any number. */
  readonly type: "DATE" | "VARCHAR" | "DOUBLE";
  /** A DATE made of that, NULL where it is none. */
  readonly parse: (raw: string) => string;
  /** Whether that is another day than the one written, which only text tells. */
  readonly moved?: (raw: string) => string;
  /** Whether a row's time, at that instant, is midnight or later of the next day in a zone east of UTC (up to UTC+14): only a TIMESTAMP WITH TIME ZONE has it. */
  readonly late?: string;
}

const DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}";
const ZONED = `(${DAY})[ T]([0-9]{2}):([0-9]{2})(?::[0-9]{2}(?:[.,][0-9]+)?)? ?(?:Z|z|UTC|([+-])([0-9]{2}):?([0-9]{2})?)`;

/**
 * SQL that turns a date column into DATEs. Accepted: DATE, any TIMESTAMP, text YYYY-MM-DD (a time of day may follow, also with Z or an offset) or yyyymmdd,
 * whole numbers yyyymmdd; undefined for other types. The day of a time with a zone is that in UTC, whether it is text or TIMESTAMP WITH TIME ZONE.
 */
export function dateSql(column: string, type: string): DateSql | undefined {
  if (type === "DATE") return { raw: column, type, parse: (raw) => raw };
  // epoch_us instead of a cast: casting TIMESTAMP WITH TIME ZONE needs an extension and would use the machine's zone.
  if (type.startsWith("TIMESTAMP")) return { raw: `CAST(make_timestamp(epoch_us(${column})) AS DATE)`, type: "DATE", parse: (raw) => raw, ...(type === "TIMESTAMP WITH TIME ZONE" ? { late: `(epoch_us(${column}) % 86400000000 + 86400000000) % 86400000000 >= 36000000000` } : {}) };
  if (type === "VARCHAR") {
    // DuckDB ignores the offset in a cast of text to TIMESTAMP.
    const part = (raw: string, group: number): string => `COALESCE(TRY_CAST(regexp_extract(${raw}, '${ZONED}', ${group}) AS INTEGER), 0)`;
    const minutes = (raw: string): string =>
      `(${part(raw, 2)} * 60 + ${part(raw, 3)} - CASE WHEN regexp_extract(${raw}, '${ZONED}', 4) = '-' THEN -1 ELSE 1 END * (${part(raw, 5)} * 60 + ${part(raw, 6)}))`;
    const days = (raw: string): string => `CAST(floor(${minutes(raw)} / 1440.0) AS INTEGER)`;
    const isZoned = (raw: string): string => `regexp_full_match(${raw}, '${ZONED}')`;
    return {
      raw: `NULLIF(trim(${column}), '')`,
      type,
      parse: (raw) => `CASE WHEN regexp_full_match(${raw}, '[0-9]{8}') THEN CAST(try_strptime(${raw}, '%Y%m%d') AS DATE)
        WHEN regexp_full_match(${raw}, '${DAY}([ T][0-9:.]+)?') THEN TRY_CAST(left(${raw}, 10) AS DATE)
        WHEN ${isZoned(raw)} THEN TRY_CAST(left(${raw}, 10) AS DATE) + ${days(raw)} END`,
      moved: (raw) => `(${isZoned(raw)} AND ${days(raw)} <> 0)`,
    };
  }
  if (/^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*)$/.test(type)) {
    const parse = (raw: string): string => `CASE WHEN ${raw} BETWEEN 10000000 AND 99999999 THEN CAST(try_strptime(CAST(TRY_CAST(${raw} AS BIGINT) AS VARCHAR), '%Y%m%d') AS DATE) END`;
    return { raw: column, type: "DOUBLE", parse };
  }
  return undefined;
}
