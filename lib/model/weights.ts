import { loadCore } from "../binding/load.js";
import type { NativeState, TypedArray } from "../binding/types.js";
import { AstgnnError } from "../errors.js";
import type { SafetensorsDtype, SafetensorsTensor } from "./safetensors.js";

/** Tensors by name, in JavaScript memory: what files hold. */
export type Weights = Record<string, SafetensorsTensor>;

const DTYPES: Record<string, SafetensorsDtype> = { float32: "F32", float64: "F64", int32: "I32", int64: "I64" };

/** Copies a native state out and frees its handles. */
export function takeWeights(state: NativeState): Weights {
  const weights: Weights = {};
  for (const [name, tensor] of Object.entries(state)) {
    const dtype = DTYPES[tensor.dtype];
    if (dtype === undefined) throw new AstgnnError("ERR_INTERNAL", `Tensor ${name} has dtype ${tensor.dtype}, which files do not hold.`);
    weights[name] = { dtype, shape: [...tensor.shape], data: tensor.toTypedArray() };
    tensor.dispose();
  }
  return weights;
}

/** Copies weights into native tensors, calls `use` and frees them. */
export function withNativeState<V>(weights: Weights, use: (state: NativeState) => V): V {
  const core = loadCore();
  const state: NativeState = {};
  try {
    for (const [name, { dtype, shape, data }] of Object.entries(weights)) {
      if (dtype === "BOOL" || dtype === "U8") throw new AstgnnError("ERR_CHECKPOINT", `Tensor ${name} has dtype ${dtype}, expected F32, F64, I32 or I64.`);
      state[name] = core.tensor(data as TypedArray, shape);
    }
    return use(state);
  } finally {
    for (const tensor of Object.values(state)) tensor.dispose();
  }
}

/** Puts `prefix` before every name. */
export function withPrefix(prefix: string, weights: Weights): Weights {
  return Object.fromEntries(Object.entries(weights).map(([name, tensor]) => [prefix + name, tensor]));
}

/** The weights whose names start with `prefix`, without it. */
export function underPrefix(prefix: string, weights: Weights): Weights {
  return Object.fromEntries(Object.entries(weights).flatMap(([name, tensor]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), tensor]] : [])));
}
