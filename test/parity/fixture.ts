/**
 * Fixtures of scripts/make-fixtures.py: what the Python reference computes in float64, and how far the native core may be from it.
 * ASTGNN_PARITY_FIXTURES names another folder of them. ASTGNN_PARITY_PRECISION=high computes float32 in split bf16 products, at ten times
 * the bars, and needs a processor with AMX, or a GPU.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadCore } from "../../lib/binding/load.js";
import type { Dtype, NativeConfig, NativeModule, NativePanel, NativeState, NativeTensor, NativeTerm, Precision, TermName, TypedArray } from "../../lib/binding/types.js";
import { fromReferenceConfig } from "../../lib/model/config.js";
import { resolveDevice } from "../../lib/model/device.js";
import { readSafetensors, type SafetensorsTensor } from "../../lib/model/safetensors.js";

export const core = loadCore();
/** Where everything is computed: ASTGNN_DEVICE as for users, but the CPU where nothing is said, so that a run says what it tested. */
export const device = resolveDevice(process.env["ASTGNN_DEVICE"] || "cpu");
export const dtypes: readonly Dtype[] = ["float64", "float32"];
const precision = (process.env["ASTGNN_PARITY_PRECISION"] ?? "highest") as Precision;
core.setPrecision(precision);
if (core.precisionOn(device) !== precision) throw new Error(`${device} has no precision "${precision}" on this machine.`);
const looser = precision === "high" ? 10 : 1;
const folder = process.env["ASTGNN_PARITY_FIXTURES"] ?? fileURLToPath(new URL("fixtures", import.meta.url));

/** A term as the generator writes it. */
interface TermRecord {
  name: TermName;
  weight: number;
  predictions: number[];
  horizons: number[];
  strength: number;
  omega: number;
  orthogonality: number;
  ridge: number;
  horizon_days: number;
}

/** What one step in training mode gave; null stands for NaN. */
interface StepRecord {
  loss: number | null;
  values: (number | null)[];
  undefined: number[];
}

interface Layout {
  window: number;
  horizons: number;
  graph: "complete" | "groups" | "edges" | "none";
  batch: number[];
  objectives: (StepRecord & { dates: number[]; terms: TermRecord[]; gradients: boolean })[];
  loss_terms: TermRecord[];
  parameters: string[];
  training?: {
    terms: TermRecord[];
    dates: number[][];
    learning_rates: number[];
    betas: [number, number];
    adam_eps: number;
    weight_decay: number;
    clip_norm: number;
    ema: number;
    floats: string[];
    steps: (StepRecord & { norm: number; updated: boolean })[];
  };
}

/** One case: inputs exact in float32, expected values in float64. */
export interface Fixture {
  name: string;
  config: NativeConfig;
  layout: Layout;
  tensors: Record<string, SafetensorsTensor>;
}

/** All cases of the folder, in the order of their names; no case is an error. */
export function readFixtures(): Fixture[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(".safetensors")).sort();
  if (names.length === 0) throw new Error(`${folder} holds no fixture; make some with scripts/make-fixtures.py.`);
  return names.map((name) => {
    const { tensors, metadata } = readSafetensors(readFileSync(join(folder, name)));
    if (metadata["format"] !== "astgnn-parity-1") throw new Error(`${name} has format ${metadata["format"]}; make it anew with scripts/make-fixtures.py.`);
    const config = fromReferenceConfig(JSON.parse(metadata["config"] ?? "")) as NativeConfig;
    return { name: name.replace(".safetensors", ""), config, layout: JSON.parse(metadata["layout"] ?? "") as Layout, tensors };
  });
}

/** The numbers of a tensor of the fixture. */
export function numbers(fixture: Fixture, name: string): Float64Array {
  const tensor = fixture.tensors[name];
  if (tensor === undefined) throw new Error(`${fixture.name} holds no ${name}.`);
  return Float64Array.from(tensor.data as Float64Array, Number);
}

const int32 = (fixture: Fixture, name: string): Int32Array => Int32Array.from(numbers(fixture, name));

/** Values as the core takes them in a dtype. */
export function nativeTensor(values: ArrayLike<number>, shape: number[], dtype: Dtype): NativeTensor {
  return core.tensor(dtype === "float64" ? Float64Array.from(values) : Float32Array.from(values), shape);
}

/** Numbers of a native tensor, which is disposed. */
export function take(tensor: NativeTensor): Float64Array {
  const values = Float64Array.from(tensor.toTypedArray() as Float64Array, Number);
  tensor.dispose();
  return values;
}

/** The names of a state dict that start with `prefix`, without it, as the fixture's initial weights. */
export function nativeState(fixture: Fixture, dtype: Dtype, prefix = ""): NativeState {
  const state: NativeState = {};
  for (const [name, tensor] of Object.entries(fixture.tensors)) {
    if (!name.startsWith(`state.${prefix}`)) continue;
    state[name.slice(`state.${prefix}`.length)] =
      tensor.dtype === "I64" ? core.tensor(tensor.data as TypedArray, tensor.shape) : nativeTensor(numbers(fixture, name), tensor.shape, dtype);
  }
  return state;
}

/** Loads and disposes of a state; `module` is left in evaluation mode. */
export function load<M extends NativeModule>(module: M, state: NativeState): M {
  module.loadStateDict(state);
  for (const tensor of Object.values(state)) tensor.dispose();
  module.eval();
  return module;
}

export function createModel(fixture: Fixture, dtype: Dtype): NativeModule {
  return load(core.createModel(fixture.config, dtype, 1, device), nativeState(fixture, dtype));
}

export function createPanel(fixture: Fixture): NativePanel {
  const { tensors, layout } = fixture;
  const [dates, stocks, featureCount] = tensors["features"]!.shape as [number, number, number];
  const edges = tensors["edges"] === undefined ? undefined : int32(fixture, "edges");
  const count = edges === undefined ? 0 : edges.length / 4;
  const row = (k: number): Int32Array => edges!.slice(k * count, (k + 1) * count);
  return core.createPanel({
    dates,
    stocks,
    featureCount,
    window: layout.window,
    features: tensors["features"]!.data as Float32Array,
    rowOffsets: int32(fixture, "row_offsets"),
    rowStocks: int32(fixture, "row_stocks"),
    horizons: layout.horizons,
    targets: tensors["targets"]!.data as Float32Array,
    returns: tensors["returns"]!.data as Float32Array,
    returnEnds: int32(fixture, "return_ends"),
    graph: layout.graph,
    ...(tensors["groups"] === undefined ? {} : { groups: int32(fixture, "groups") }),
    ...(edges === undefined ? {} : { edges: { source: row(0), target: row(1), from: row(2), to: row(3) } }),
  }, device);
}

/** The generator's terms are complete; an empty list of pairs belongs to terms on M. */
export function objective(terms: readonly TermRecord[]): NativeTerm[] {
  return terms.map(({ horizon_days, ...term }) => ({ ...term, horizonDays: horizon_days }));
}

/** Bars of the issue: of values and of gradients. Batch statistics of nearly equal rows amplify float32 rounding, most where no residual keeps rows apart. */
export function bars(fixture: Fixture, dtype: Dtype): { value: number; gradient: number } {
  if (dtype === "float64") return { value: 1e-10, gradient: 1e-10 };
  if (fixture.config.norm === "layer") return { value: looser * 1e-5, gradient: looser * 1e-5 };
  return fixture.config.gatResidual === "none" ? { value: looser * 1e-3, gradient: looser * 5e-2 } : { value: looser * 1e-4, gradient: looser * 1e-4 };
}

/** max|a - b| / max|b|; NaN must meet NaN, sizes must agree. Where b is 0 throughout (or `largest` says what b is part of), max|a - b| over that. */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>, largest?: number): number {
  if (a.length !== b.length) return Infinity;
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < b.length; i++) {
    if (Number.isNaN(a[i]!) !== Number.isNaN(b[i]!)) return Infinity;
    if (Number.isNaN(b[i]!)) continue;
    difference = Math.max(difference, Math.abs(a[i]! - b[i]!));
    scale = Math.max(scale, Math.abs(b[i]!));
  }
  return difference / ((largest ?? scale) || 1);
}
