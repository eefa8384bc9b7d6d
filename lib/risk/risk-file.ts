import { AstgnnError } from "../errors.js";
import { unusable } from "./check-risk.js";
import { readSafetensors, writeSafetensors, type SafetensorsTensor } from "../model/safetensors.js";
import type { FactorForm } from "./factor-form.js";
import type { RiskDate } from "./risk-date.js";

/** What a file of a risk model holds: the form of its newest date for whoever reads it, and the state to go on from. */
export interface RiskFile {
  /** Absent where the model has too few dates for one. */
  readonly form: FactorForm | undefined;
  readonly day: RiskDate | undefined;
  readonly exposures: readonly string[];
  readonly groups: readonly string[];
  /** Every stock so far, in the order of their slots. */
  readonly slots: readonly string[];
  readonly options: object;
  readonly state: Readonly<Record<string, Float64Array | Float32Array>>;
}

/** Its name beside a run. */
export const RISK_FILE = "risk.safetensors";

const FORMAT = "astgnn-risk-2";

/**
 * Tensors `exposures` [N, K], `factor_covariance` [K, K] and `specific_variance` [N] with the metadata `date`, `tickers` and `factors` (the latter two as JSON), so that any
 * reader of safetensors has the covariance X F X' + diag(v); what begins with `state.` is the model's own.
 */
export function writeRisk({ form, day, exposures, groups, slots, options, state }: RiskFile): Uint8Array {
  const tensors: Record<string, SafetensorsTensor> = {};
  const vector = (name: string, data: Float64Array | Float32Array | Int32Array): void => {
    tensors[name] = { dtype: data instanceof Float64Array ? "F64" : data instanceof Float32Array ? "F32" : "I32", shape: [data.length], data };
  };
  if (form !== undefined) {
    const [N, K] = [form.tickers.length, form.factors.length];
    tensors["exposures"] = { dtype: "F64", shape: [N, K], data: form.exposures };
    tensors["factor_covariance"] = { dtype: "F64", shape: [K, K], data: form.factorCovariance };
    tensors["specific_variance"] = { dtype: "F64", shape: [N], data: form.specificVariance };
  }
  for (const [name, data] of Object.entries(state)) vector(`state.${name}`, data);
  if (day !== undefined) {
    vector("state.day.exposures", Float64Array.from(day.exposures));
    vector("state.day.returns", Float64Array.from(day.returns));
    if (day.sizes !== undefined) vector("state.day.sizes", Float64Array.from(day.sizes));
    if (day.groups !== undefined) vector("state.day.groups", Int32Array.from(day.groups));
  }
  return writeSafetensors(tensors, {
    format: FORMAT, date: day?.date ?? "", tickers: JSON.stringify(day?.tickers ?? []), factors: JSON.stringify(form?.factors ?? []),
    exposures: JSON.stringify(exposures), groups: JSON.stringify(groups), slots: JSON.stringify(slots),
    // JSON has no infinite number.
    options: JSON.stringify(options, (_, value: unknown) => (value === Infinity ? "Infinity" : value)),
  });
}

/** @throws AstgnnError ERR_CHECKPOINT where the bytes are no file of a risk model */
export function readRisk(bytes: Uint8Array): RiskFile {
  const { tensors, metadata } = readSafetensors(bytes);
  if (metadata["format"] !== FORMAT) throw new AstgnnError("ERR_CHECKPOINT", `This safetensors file holds no risk model: its format is ${metadata["format"] ?? "not named"}, expected ${FORMAT}.`, { next: "Pass the risk.safetensors of a run." });
  const stored = (name: string, revive?: (key: string, value: unknown) => unknown): unknown => {
    try {
      return JSON.parse(metadata[name] ?? "", revive);
    } catch {
      throw unusable(`its ${name} are no JSON`);
    }
  };
  const list = (name: string): string[] => {
    const names = stored(name);
    if (!Array.isArray(names) || !names.every((one) => typeof one === "string")) throw unusable(`its ${name} are no list of names`);
    return names;
  };
  const data = (name: string): Float64Array | undefined => {
    const found = tensors[name]?.data;
    if (found !== undefined && !(found instanceof Float64Array)) throw unusable(`${name} is not of float64`);
    return found;
  };
  const [date, tickers, exposures] = [metadata["date"] ?? "", list("tickers"), data("exposures")];
  const covariance = { factorCovariance: data("factor_covariance"), specificVariance: data("specific_variance") };
  if (date !== "" && !/^\d{4}-\d{2}-\d{2}$/.test(date)) throw unusable(`${date} is no date`);
  if (exposures !== undefined && (covariance.factorCovariance === undefined || covariance.specificVariance === undefined)) throw unusable("it has exposures and no covariance");
  const options = stored("options", (_, value) => (value === "Infinity" ? Infinity : value));
  if (typeof options !== "object" || options === null) throw unusable("its options are no object");
  const [sizes, groups] = [data("state.day.sizes"), tensors["state.day.groups"]?.data as Int32Array | undefined];
  const state = Object.fromEntries(Object.entries(tensors).flatMap(([name, tensor]) => (name.startsWith("state.") && !name.startsWith("state.day.") ? [[name.slice(6), tensor.data as Float64Array]] : [])));
  return {
    form: exposures === undefined ? undefined : { date, tickers, factors: list("factors"), exposures, factorCovariance: covariance.factorCovariance!, specificVariance: covariance.specificVariance! },
    day: date === "" ? undefined : { date, tickers, returns: data("state.day.returns")!, exposures: data("state.day.exposures")!, ...(sizes === undefined ? {} : { sizes }), ...(groups === undefined ? {} : { groups }) },
    exposures: list("exposures"), groups: list("groups"), slots: list("slots"),
    options,
    state,
  };
}
