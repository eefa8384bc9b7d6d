import type { ASTGNNFactorModel } from "../../lib/index.js";
import type { SafetensorsTensor } from "../../lib/index.js";

/** The weights of a model as a safetensors file holds them. */
export function weightsOf(model: ASTGNNFactorModel): Record<string, SafetensorsTensor> {
  const dtypes: Record<string, SafetensorsTensor["dtype"]> = { float32: "F32", float64: "F64", int64: "I64" };
  return Object.fromEntries(
    Object.entries(model.stateDict()).map(([name, tensor]) => {
      const one = { dtype: dtypes[tensor.dtype]!, shape: [...tensor.shape], data: tensor.toTypedArray() };
      tensor.dispose();
      return [name, one];
    }),
  );
}
