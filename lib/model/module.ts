import type { Dtype, NativeModule } from "../binding/types.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { resolveDevice, type Device } from "./device.js";
import { nativeState, nativeTensor, wrapState, wrapTensor, type StateDict, type Tensor } from "./tensor.js";
import { nativeRowMask, type PackedRowMask } from "./row-mask.js";

let unwrap: (module: Module) => NativeModule;
let replace: (module: Module, native: NativeModule) => void;

/** Base class of the model and of every layer: parameters, buffers and a forward. */
export abstract class Module {
  #native: NativeModule;

  /** @internal */
  protected constructor(native: NativeModule) {
    this.#native = native;
  }

  static {
    unwrap = (module) => module.#alive();
    replace = (module, native) => {
      module.#native.dispose();
      module.#native = native;
    };
  }

  /** Number type of weights, inputs and outputs. */
  get dtype(): Dtype {
    return this.#alive().dtype;
  }

  /** Where its weights are: "cpu", "cuda:0" ... */
  get device(): string {
    return this.#alive().device;
  }

  /**
   * Moves all parameters and buffers; outputs are on that device from now on, inputs may be on any.
   *
   * @throws AstgnnError ERR_CUDA_UNAVAILABLE, ERR_BUSY while it is being trained or a prediction or forward uses them
   */
  to(device: Device): this {
    const native = this.#alive();
    native.to(resolveDevice(device));
    return this;
  }

  /** How many trainable numbers. */
  get parameterCount(): number {
    return this.#alive().parameterCount;
  }

  /** True where forward calls drop units and update batch statistics. A new module does not. */
  get training(): boolean {
    return this.#alive().training;
  }

  /** True after `dispose`. */
  get disposed(): boolean {
    return this.#native.disposed;
  }

  /** Switches dropout and batch statistics on for forward calls made from now on; `train(model, dataset)` has its own mode. */
  train(): this {
    const native = this.#alive();
    native.train();
    return this;
  }

  /** Switches them off. */
  eval(): this {
    const native = this.#alive();
    native.eval();
    return this;
  }

  /**
   * Copies of all parameters and buffers under the reference's names.
   *
   * @throws AstgnnError ERR_BUSY while a prediction or forward uses them
   */
  stateDict(): StateDict {
    const native = this.#alive();
    return wrapState(native.stateDict());
  }

  /**
   * Replaces all parameters and buffers, strictly: the same names and shapes as `stateDict()`.
   *
   * @throws AstgnnError ERR_SHAPE naming the tensor, ERR_BUSY while it is being trained or a prediction or forward uses them
   */
  loadStateDict(state: StateDict): void {
    const native = this.#alive();
    native.loadStateDict(nativeState(state));
  }

  /** Frees the weights now. A second call does nothing; any other use afterwards throws ERR_DISPOSED. */
  dispose(): void {
    this.#native.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose();
  }

  #alive(): NativeModule {
    if (this.#native.disposed) {
      throw new AstgnnError("ERR_DISPOSED", `This ${this.constructor.name} was disposed.`, { next: "Make or load a new one." });
    }
    return this.#native;
  }
}

/** The native handle of a module that is alive. */
export function nativeModule(module: Module): NativeModule {
  if (!(module instanceof Module)) throw invalidOption("model", "an ASTGNNFactorModel", module);
  return unwrap(module);
}

/** Puts another handle in the place of a module's. Jobs under way keep the old one alive and go on with its weights. */
export function replaceNative(module: Module, native: NativeModule): void {
  replace(module, native);
}

/** One forward on tensors of the user's own; `inputs` are [name, tensor] and the rows are the last but one dimension of the first. */
export async function forwardModule(module: Module, inputs: readonly (readonly [string, Tensor])[], mask: PackedRowMask): Promise<Tensor[]> {
  const native = unwrap(module);
  const tensors = inputs.map(([name, tensor]) => nativeTensor(tensor, name));
  const outputs = await native.forward(tensors, nativeRowMask(tensors[0]!.shape.at(-2) ?? 0, mask));
  return outputs.map(wrapTensor);
}

/** Attention coefficients of one date. */
export async function attentionOf(module: Module, h: Tensor, mask: PackedRowMask): Promise<Tensor> {
  const native = unwrap(module);
  const input = nativeTensor(h, "h");
  return wrapTensor(await native.attention(input, nativeRowMask(input.shape[0] ?? 0, mask)));
}

/** A of one date from M undropped. */
export async function similarityOf(module: Module, m: Tensor, groups: Int32Array | undefined): Promise<Tensor> {
  const native = unwrap(module);
  const input = nativeTensor(m, "m");
  return wrapTensor(await native.similarity(input, groups));
}
