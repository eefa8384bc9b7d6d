import { writeFileSync } from "node:fs";

/** Writes 65 dates of 13 stocks with the features x0 and x1 and a label y that follows x0; returns the path. */
export function writeSmallTable(path: string): string {
  const rows = ["date,ticker,x0,x1,y"];
  for (let t = 0; t < 65; t++) {
    const date = new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10);
    for (let n = 0; n < 13; n++) rows.push(`${date},S${n},${Math.sin(3 * t + 5 * n)},${Math.cos(7 * t * n)},${0.01 * Math.sin(3 * t + 5 * n + 0.5)}`);
  }
  writeFileSync(path, rows.join("\n"));
  return path;
}
