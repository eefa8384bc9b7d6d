import { AstgnnError, invalidOption } from "../errors.js";

const MS_PER_DAY = 86_400_000;

/** ISO date of a day count from 1970-01-01. */
export function isoDate(day: number): string {
  return new Date(day * MS_PER_DAY).toISOString().slice(0, 10);
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

/**
 * SQL that turns a date column into what dates are told apart by (`raw`) and, from that, into a DATE (`parse`, NULL where unparsable).
 * Accepted: DATE, any TIMESTAMP, text YYYY-MM-DD (a time of day may follow) or yyyymmdd, whole numbers yyyymmdd; undefined for other types.
 */
export function dateSql(column: string, type: string): { raw: string; parse: (raw: string) => string } | undefined {
  if (type === "DATE") return { raw: column, parse: (raw) => raw };
  // epoch_us instead of a cast: casting TIMESTAMP WITH TIME ZONE needs an extension and would use the machine's zone.
  if (type.startsWith("TIMESTAMP")) return { raw: `CAST(make_timestamp(epoch_us(${column})) AS DATE)`, parse: (raw) => raw };
  if (type === "VARCHAR") {
    return {
      raw: `NULLIF(trim(${column}), '')`,
      parse: (raw) => `CASE WHEN regexp_full_match(${raw}, '[0-9]{8}') THEN CAST(try_strptime(${raw}, '%Y%m%d') AS DATE)
        WHEN regexp_full_match(${raw}, '[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9:.]+(Z|[+-][0-9:]+)?)?') THEN TRY_CAST(left(${raw}, 10) AS DATE) END`,
    };
  }
  if (/^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*)$/.test(type)) {
    const parse = (raw: string): string => `CASE WHEN ${raw} BETWEEN 10000000 AND 99999999 THEN CAST(try_strptime(CAST(TRY_CAST(${raw} AS BIGINT) AS VARCHAR), '%Y%m%d') AS DATE) END`;
    return { raw: column, parse };
  }
  return undefined;
}
