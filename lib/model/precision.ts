import { loadCore } from "../binding/load.js";
import type { Precision } from "../binding/types.js";
import { invalidOption } from "../errors.js";

const names: readonly Precision[] = ["highest", "high", "medium"];

/**
 * Sets what matrix products of jobs started from now on are computed in, for this process: `highest` is float32, `high` splits
 * every operand into two bfloat16 values and sums three products in float32, `medium` takes one bfloat16 product.
 * The last two need a processor with AMX; elsewhere `highest` stays in force and a warning says so.
 *
 * @returns what is in force
 * @throws AstgnnError ERR_OPTION for another name
 * @example
 * setPrecision("high"); // "highest" where the processor has no AMX
 */
export function setPrecision(precision: Precision): Precision {
  if (!names.includes(precision)) throw invalidOption("precision", names.map((name) => `"${name}"`).join(", "), precision);
  const core = loadCore();
  const inForce = core.setPrecision(precision);
  if (inForce !== precision) {
    process.emitWarning(`precision "${precision}" needs a processor with AMX and this one offers ${core.info().cpu.isa}: "${inForce}" is used.`, { code: "ASTGNN_PRECISION" });
  }
  if (inForce === "medium") {
    process.emitWarning(
      "precision \"medium\" rounds every operand to bfloat16: against float64 the gradient of a model of default size is off by up to 2 % (10 % with norm \"batch\"), that of a single tensor of weights by up to 20 %, and predictions by 1 %.",
      { code: "ASTGNN_PRECISION" },
    );
  }
  return inForce;
}
