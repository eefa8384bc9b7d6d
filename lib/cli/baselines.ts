import { type Command, Option } from "commander";
import type { CompareRunOptions } from "../evaluate/baselines/compare-run.js";
import type { BaselineComparison, ComparedNumbers } from "../evaluate/baselines/compare.js";
import { BASELINES, type BaselineName } from "../evaluate/baselines/names.js";
import { decimals, type Terminal } from "./terminal.js";

/** Adds `--baselines` and `--compare`. */
export function addBaselineFlags(command: Command): void {
  command
    .addOption(new Option("--baselines [names]", `compare the test of the run with baselines on the same rows: ${BASELINES.join(",")}, comma-separated (default: all); no-graph is trained once, into the run's folder`).helpGroup("Baselines:"))
    .addOption(new Option("--compare <file...>", "compare it with predictions of other tools too: tables of date, ticker and prediction, .parquet or .csv").helpGroup("Baselines:"));
}

/** What the flags say to `compareRun`; undefined where none of them is given. */
export function comparisonFrom(written: Readonly<Record<string, unknown>>, terminal: Terminal): CompareRunOptions | undefined {
  const [names, compare] = [written["baselines"] as string | true | undefined, written["compare"] as string[] | undefined];
  if (names === undefined && compare === undefined) return undefined;
  const baselines = names === undefined ? [] : names === true ? undefined : (names.split(",").map((name) => name.trim()).filter((name) => name !== "") as BaselineName[]);
  return {
    baselines,
    compare,
    events: {
      onStart: ({ epochs, stepsPerEpoch }) => terminal.err(`training without a graph: ${epochs} epochs of ${stepsPerEpoch} steps`),
      onEpoch: ({ epoch, valid, seconds }) => terminal.err(`without a graph: epoch ${epoch}  valid IC ${decimals(valid.ic)}  ${seconds.toFixed(1)} s`),
      onWarning: () => {},
    },
  };
}

/** The comparison for people. */
export function baselineTable({ dates, rows, rowsLeftOut, model, baselines, leftOut }: BaselineComparison): string[] {
  const widths = [Math.max(...[model, ...baselines].map(({ name }) => name.length), "predictions".length), 8, 6, 7, 8, 6, 11, 8, 6, 9] as const;
  const line = (cells: readonly string[]): string => cells.map((cell, c) => (c === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[c]!))).join("  ").trimEnd();
  const numbers = ({ name, ic, icT, icir, rankIc, rankIcT }: ComparedNumbers): string[] => [name, decimals(ic), decimals(icT, 2), decimals(icir, 3), decimals(rankIc), decimals(rankIcT, 2)];
  return [
    "",
    `Against baselines, on the ${rows} rows of ${dates} test dates that all have${rowsLeftOut === 0 ? "" : ` (${rowsLeftOut} rows of the run are not among them)`}; t and errors by Newey-West`,
    line(["predictions", "IC", "t", "ICIR", "RankIC", "t", "difference", "error", "t", "rows lost"]),
    line(numbers(model)),
    ...baselines.map((baseline) => line([...numbers(baseline), decimals(baseline.difference.mean), decimals(baseline.difference.standardError), decimals(baseline.difference.t, 2), String(baseline.missing)])),
    ...leftOut.map(({ name, reason }) => `${name}: left out, ${reason}`),
  ];
}
