import { trainSchema } from "../train/options.js";
import { flagsOf } from "./schema-flags.js";

/** Flags of `train`. */
export const trainFlags = flagsOf("Training", trainSchema.shape);
