import type { Spec } from "../vega.js";
import { COLOURS, DIVERGING } from "./theme.js";

export interface HeatCell {
  /** From 0. */
  readonly column: number;
  readonly row: string;
  readonly value: number;
  readonly label: string;
}

/** Coloured cells with their numbers. The colour scale is symmetric about zero and ends where nine tenths of the absolute values are, so that one outlier does not take the others' colours. */
export function heatmap(cells: readonly HeatCell[], columns: readonly string[], width: number, rowHeight = 34): Spec {
  const sizes = cells.map(({ value }) => Math.abs(value)).sort((a, b) => a - b);
  const most = sizes[Math.floor((sizes.length - 1) * 0.9)] || sizes.at(-1) || 1;
  const values = cells.map((cell) => {
    const bin = Math.round(((Math.max(-1, Math.min(1, cell.value / most)) + 1) / 2) * (DIVERGING.length - 1));
    return { ...cell, fill: DIVERGING[bin]!, ink: `var(--d${bin}-ink)` };
  });
  const rows = [...new Set(cells.map(({ row }) => row))];
  const isNarrow = width < 420;
  const names = isNarrow ? columns.map((name) => name.slice(0, 1)) : columns;
  const x = { field: "column", type: "ordinal", scale: { domain: columns.map((_, i) => i), paddingInner: 0.06, paddingOuter: 0 }, axis: { orient: "top", labelAngle: 0, labelExpr: `${JSON.stringify(names)}[datum.value]`, labelOverlap: false } };
  const y = { field: "row", type: "ordinal", scale: { domain: rows, paddingInner: 0.08, paddingOuter: 0 }, axis: { grid: false, labelColor: COLOURS.ink, labelOverlap: false } };
  return {
    width, height: rows.length * rowHeight + 30, autosize: { type: "fit", contains: "padding" },
    data: { values },
    layer: [
      { mark: { type: "rect", cornerRadius: 3 }, encoding: { x, y, fill: { field: "fill", type: "nominal", scale: null } } },
      { mark: { type: "text", baseline: "middle", fontSize: isNarrow ? 10 : 12.5 }, encoding: { x, y, text: { field: "label" }, color: { field: "ink", type: "nominal", scale: null } } },
    ],
  };
}
