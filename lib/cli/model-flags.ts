import { modelSchema } from "../model/config.js";
import { flagsOf } from "./schema-flags.js";

/** Flags of `new ASTGNNFactorModel`. The number of input features comes from the data, the seed from the training. */
export const modelFlags = flagsOf("Model", modelSchema.shape);
