import { z } from "zod";
import { AstgnnError } from "../../errors.js";
import { presets, type PresetName } from "../../presets.js";
import { DescriptionSchema, LabelSchema, ProcessorSchema, type ResolvedLabel, type ResolvedProcessor } from "../dataset-options.js";
import { labelShape } from "../labels.js";
import type { DataDigests, DatasetDescription, Ledger } from "../types.js";
import type { SourceStamp } from "./source-stamp.js";

/** Sections begin on pages, so that they can be mapped. */
export const PAGE = 4096;

/** One array of the file, with the CRC-32 of each `chunkBytes` of it. */
export interface PackSection {
  readonly type: "float32" | "int32" | "uint16";
  readonly shape: readonly number[];
  readonly offset: number;
  readonly chunkBytes: number;
  readonly checksums: readonly number[];
}

const SECTIONS = ["features", "ranked", "slot", "from", "last", "until", "exposures", "exposureSlot", "exposureFrom", "exposureLast", "exposureUntil", "groupCodes", "loadings", "rowOffsets", "rowStocks", "labels", "targets", "returns", "groups", "edgeSource", "edgeTarget", "edgeFrom", "edgeTo"] as const;

/** `features` [dates, slots, F], as uint16 with `ranked` [dates, F] (native/ops/data/rank_codes.h); `exposures` [dates, exposure slots, K]; `loadings` [refreshes, count, stocks]; `labels`, `targets` [dates, stocks, L]; `returns`, `groupCodes` [dates, stocks]; one number per row, stock, date or edge in the others. */
export type SectionName = (typeof SECTIONS)[number];

/** What the file says of itself. */
export interface PackHeader {
  /** Version of the package that wrote it. */
  readonly astgnn: string;
  readonly dates: readonly string[];
  readonly tickers: readonly string[];
  readonly columns: readonly string[];
  readonly slots: number;
  readonly description: DatasetDescription;
  readonly label: ResolvedLabel;
  /** As they were asked for, without what was fitted. */
  readonly processors?: readonly ResolvedProcessor[] | undefined;
  /** Panel dates that a sample needs, where that is more than the description says. */
  readonly requiredHistory?: number | undefined;
  /** First and last training date that processors were fitted on. */
  readonly fit?: readonly [from: string, to: string] | undefined;
  /** What labels are neutral to, beside groups: slots of the exposures. */
  readonly exposureSlots?: number | undefined;
  /** Of the loadings, among features or exposures. */
  readonly loadings?: { readonly dates: readonly string[]; readonly count: number; readonly chain: string } | undefined;
  readonly preset?: PresetName | undefined;
  /** Index of the last date that has a label. */
  readonly lastLabelled: number;
  readonly extremeReturns: "warn" | "error" | "missing";
  readonly groupNames?: readonly string[] | undefined;
  /** Without what a split dropped. */
  readonly ledger: Ledger;
  readonly digests: DataDigests;
  /** The source as messages name it, and the files that it was read from. */
  readonly source: string;
  readonly sourceFiles: readonly SourceStamp[];
  readonly sections: Readonly<Partial<Record<SectionName, PackSection>>>;
}

/** Bytes of a section. */
export function bytesOf({ shape, type }: Pick<PackSection, "shape" | "type">): number {
  return (type === "uint16" ? 2 : 4) * shape.reduce((product, size) => product * size, 1);
}

const whole = (from: number) => z.number().int().min(from);
const text = z.string();
const day = text.regex(/^\d{4}-\d{2}-\d{2}$/);

const HeaderSchema = z.object({
  astgnn: text,
  dates: z.array(day).min(1),
  tickers: z.array(text).min(1),
  columns: z.array(text),
  slots: whole(1),
  description: DescriptionSchema,
  label: LabelSchema,
  processors: z.array(ProcessorSchema).optional(),
  requiredHistory: whole(1).optional(),
  fit: z.tuple([day, day]).optional(),
  exposureSlots: whole(1).optional(),
  loadings: z.object({ dates: z.array(day), count: whole(1), chain: text }).optional(),
  preset: z.enum(Object.keys(presets) as [PresetName, ...PresetName[]]).optional(),
  lastLabelled: whole(-1),
  extremeReturns: z.enum(["warn", "error", "missing"]),
  groupNames: z.array(text).optional(),
  ledger: z.object({
    entries: z.array(z.object({ stage: z.enum(["source", "clean", "features", "rows", "labels", "split", "graph", "fills"]), reason: text, text, count: whole(0), unit: z.enum(["rows", "values", "stocks", "dates", "edges", "orders"]) })),
    rowsRead: whole(0),
    rowsKept: whole(0),
  }),
  digests: z.record(text, text),
  source: text,
  sourceFiles: z.array(z.object({ file: text, bytes: whole(0), modified: z.number(), sha256: text })),
  sections: z.partialRecord(z.enum(SECTIONS), z.object({ type: z.enum(["float32", "int32", "uint16"]), shape: z.array(whole(0)).min(1).max(3), offset: whole(PAGE).multipleOf(PAGE), chunkBytes: whole(4).multipleOf(4), checksums: z.array(whole(0)) })),
});

/**
 * The header of a file, none of whose parts contradict each other: whoever signs it anew may write anything into it.
 *
 * @param size of the file, in bytes
 * @throws AstgnnError ERR_DATA naming the field
 */
export function checkHeader(path: string, written: unknown, size: number): PackHeader {
  const refused = (what: string, cause?: Error): AstgnnError => new AstgnnError("ERR_DATA", `${path} cannot be used: its header has ${what}.`, { file: path, cause, next: "Pack the data again." });
  const { data, error } = HeaderSchema.safeParse(written);
  if (error !== undefined) {
    const { path: field, message } = error.issues[0]!;
    throw refused(field.length === 0 ? `no fields: ${message}` : `no usable ${field.map(String).join(".")}: ${message}`, error);
  }
  const header = data as PackHeader;
  const found = contradiction(header) ?? misfit(header, size);
  if (found !== undefined) throw refused(found);
  return header;
}

/** What fields say that cannot be so together. */
function contradiction({ dates, tickers, description, label, lastLabelled, requiredHistory, loadings, exposureSlots, groupNames, sections }: PackHeader): string | undefined {
  const isAscending = (days: readonly string[]): boolean => days.every((date, t) => t === 0 || days[t - 1]! < date);
  const areThere = (...names: SectionName[]): boolean => names.every((name) => sections[name] !== undefined);
  const partly = [["slot", "from", "last", "until"], ["exposureSlot", "exposureFrom", "exposureLast", "exposureUntil"], ["edgeSource", "edgeTarget", "edgeFrom", "edgeTo"]] satisfies SectionName[][];
  const missing = (["features", "rowOffsets", "rowStocks", "labels", "targets"] as const).find((name) => !areThere(name));
  const { neutralise = [] } = description.labelTransform;
  const isOther = (...there: boolean[]): boolean => there.some((is) => is !== there[0]);
  if (!isAscending(dates)) return "dates that do not ascend";
  if (new Set(tickers).size < tickers.length) return "a ticker twice";
  if (lastLabelled >= dates.length) return `a last labelled date ${lastLabelled} of ${dates.length}`;
  if (requiredHistory !== undefined && requiredHistory < description.window) return `samples that need ${requiredHistory} dates for a window of ${description.window}`;
  if (JSON.stringify(labelShape(label)) !== JSON.stringify(labelShape(description.label as ResolvedLabel))) return "two labels";
  if (missing !== undefined) return `no section ${missing}`;
  for (const names of partly) if (!areThere(...names) && names.some((name) => areThere(name))) return `a part of the sections ${names.join(", ")}`;
  if (isOther(description.loadings !== undefined, loadings !== undefined, areThere("loadings"))) return "loadings in one place and none in another";
  if (loadings !== undefined && (loadings.count !== description.loadings!.count || !isAscending(loadings.dates))) return "loadings of another number, or dates of them that do not ascend";
  if (isOther(neutralise.some((name) => name !== "groups"), exposureSlots !== undefined, areThere("exposures"))) return "exposures in one place and none in another";
  if (isOther(neutralise.includes("groups"), areThere("groupCodes")) || (groupNames === undefined && (areThere("groupCodes") || description.graph === "groups"))) return "groups in one place and none in another";
  if (isOther(neutralise.length > 0, description.exposureNames !== undefined)) return "names of exposures without these, or these without names";
  if ((description.graph === "groups" && !areThere("groups")) || (description.graph === "edges" && !areThere("edgeSource"))) return `no ${description.graph} for its graph`;
  return undefined;
}

/** A section that is not of the type, shape and place that it should have. */
function misfit({ dates: { length: D }, tickers: { length: N }, description, label, slots, exposureSlots = 0, loadings, sections }: PackHeader, size: number): string | undefined {
  const L = labelShape(label).horizons.length;
  const { features: { shape: [, , F] } = { shape: [] } } = sections;
  if (F !== description.featureNames.length) return `sections.features of ${F} features, and names of ${description.featureNames.length}`;
  const [rows, edges] = [sections.rowStocks!.shape[0]!, sections.edgeSource?.shape[0] ?? 0];
  const perStock = { type: "int32", shape: [N] };
  const perEdge = { type: "int32", shape: [edges] };
  const expected: Record<SectionName, { type: string; shape: readonly number[] }> = {
    features: { type: sections.ranked === undefined ? "float32" : "uint16", shape: [D, slots, F] }, ranked: { type: "int32", shape: [D, F] }, slot: perStock, from: perStock, last: perStock, until: perStock,
    exposures: { type: "float32", shape: [D, exposureSlots, description.exposureNames?.length ?? 0] }, exposureSlot: perStock, exposureFrom: perStock, exposureLast: perStock, exposureUntil: perStock,
    groupCodes: { type: "int32", shape: [D, N] },
    loadings: { type: "float32", shape: [loadings?.dates.length ?? 0, loadings?.count ?? 0, N] },
    rowOffsets: { type: "int32", shape: [D + 1] }, rowStocks: { type: "int32", shape: [rows] }, groups: { type: "int32", shape: [rows] },
    labels: { type: "float32", shape: [D, N, L] }, targets: { type: "float32", shape: [D, N, L] }, returns: { type: "float32", shape: [D, N] },
    edgeSource: perEdge, edgeTarget: perEdge, edgeFrom: perEdge, edgeTo: perEdge,
  };
  for (const [name, section] of Object.entries(sections) as [SectionName, PackSection][]) {
    const { type, shape } = expected[name];
    if (section.type !== type || section.shape.join() !== shape.join()) return `sections.${name} of ${section.type} [${section.shape.join(", ")}] where ${type} [${shape.join(", ")}] belongs`;
    const bytes = bytesOf(section);
    if (section.offset + bytes > size) return `sections.${name} of ${bytes} bytes from byte ${section.offset}, of ${size}`;
    if (section.checksums.length !== Math.ceil(bytes / section.chunkBytes)) return `sections.${name} with ${section.checksums.length} checksums`;
  }
  return undefined;
}
