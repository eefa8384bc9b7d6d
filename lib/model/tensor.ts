import { loadCore } from "../binding/load.js";
import type { NativeState, NativeTensor, TypedArray } from "../binding/types.js";
import { AstgnnError, invalidOption, show } from "../errors.js";
import { requireNumbers } from "../options.js";

export type { TypedArray } from "../binding/types.js";

/** Named tensors, under the reference's parameter and buffer names. */
export type StateDict = Record<string, Tensor>;

let unwrap: (tensor: Tensor) => NativeTensor;
let wrap: (native: NativeTensor) => Tensor;

/**
 * A native tensor: a handle on memory outside the JavaScript heap. Dispose it when done (`using` does so by itself); the collector
 * frees forgotten ones late.
 *
 * @example
 * const x = Tensor.from([1, 2, 3, 4, 5, 6], [2, 3]);
 * x.toTypedArray(); // Float32Array [1, 2, 3, 4, 5, 6]
 * x.dispose();
 */
export class Tensor {
  readonly #native: NativeTensor;

  private constructor(native: NativeTensor) {
    this.#native = native;
  }

  static {
    unwrap = (tensor) => tensor.#alive();
    wrap = (native) => new Tensor(native);
  }

  /**
   * Copies numbers into a tensor, row-major. Plain arrays become float32; typed arrays keep their type
   * (Float32Array, Float64Array, Int32Array, BigInt64Array).
   *
   * @throws AstgnnError ERR_SHAPE where `data` does not have as many values as `shape` says, ERR_OPTION for any other type
   */
  static from(data: TypedArray | readonly number[], shape: readonly number[]): Tensor {
    if (Array.isArray(data)) requireNumbers(data, "data");
    const values = Array.isArray(data) ? Float32Array.from(data as readonly number[]) : (data as TypedArray);
    if (!(values instanceof Float32Array || values instanceof Float64Array || values instanceof Int32Array || values instanceof BigInt64Array)) {
      throw invalidOption("data", "numbers: an array, Float32Array, Float64Array, Int32Array or BigInt64Array", data);
    }
    if (!Array.isArray(shape) || !shape.every((length) => Number.isSafeInteger(length) && length >= 0)) {
      throw invalidOption("shape", "a list of whole numbers from 0", shape);
    }
    const length = shape.reduce((product: number, one: number) => product * one, 1);
    if (length !== values.length) {
      throw new AstgnnError("ERR_SHAPE", `A tensor of shape [${shape.map(show).join(", ")}] has ${length} values but ${values.length} were given.`, {
        next: "Pass data and shape that agree.",
      });
    }
    return new Tensor(loadCore().tensor(values, [...shape]));
  }

  /** Lengths per dimension; `[]` for a single number. */
  get shape(): readonly number[] {
    return this.#alive().shape;
  }

  /** "float32", "float64", "int32" or "int64". */
  get dtype(): string {
    return this.#alive().dtype;
  }

  /** Where the memory is, e.g. "cpu". */
  get device(): string {
    return this.#alive().device;
  }

  /** True after `dispose`. */
  get disposed(): boolean {
    return this.#native.disposed;
  }

  /** A copy of the values, row-major, in the array type that fits `dtype`. */
  toTypedArray(): TypedArray {
    const native = this.#alive();
    return native.toTypedArray();
  }

  /** Frees the memory now. A second call does nothing; any other use afterwards throws ERR_DISPOSED. */
  dispose(): void {
    this.#native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose();
  }

  #alive(): NativeTensor {
    if (this.#native.disposed) {
      throw new AstgnnError("ERR_DISPOSED", "This tensor was disposed.", { next: "Make a new one with Tensor.from." });
    }
    return this.#native;
  }
}

/** The native handle of a tensor that is alive; names the argument where it is no tensor. */
export function nativeTensor(tensor: Tensor, name = "tensor"): NativeTensor {
  if (!(tensor instanceof Tensor)) throw invalidOption(name, "a Tensor", tensor, "Make one with Tensor.from(values, shape).");
  return unwrap(tensor);
}

/** A facade around a tensor that the core made. */
export function wrapTensor(native: NativeTensor): Tensor {
  return wrap(native);
}

/** A state dict for the core. */
export function nativeState(state: StateDict): NativeState {
  if (state === null || typeof state !== "object") throw invalidOption("state", "an object of tensors by name", state);
  return Object.fromEntries(Object.entries(state).map(([name, tensor]) => [name, nativeTensor(tensor, name)]));
}

/** A state dict for the user. */
export function wrapState(state: NativeState): StateDict {
  return Object.fromEntries(Object.entries(state).map(([name, tensor]) => [name, wrapTensor(tensor)]));
}
