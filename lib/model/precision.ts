import { loadCore } from "../binding/load.js";
import type { Precision } from "../binding/types.js";
import { invalidOption } from "../errors.js";
import { warnPerson } from "../warn.js";
import { resolveDevice } from "./device.js";

const names: readonly Precision[] = ["highest", "high", "medium"];

/**
 * Sets what matrix products of float32 models are computed in, in jobs of this process that start from now on. Until then it is `high` on a
 * processor with AMX and `highest` everywhere else. `highest` is float32. `high` splits factors into two bfloat16 values and sums three products in float32, `medium` takes one bfloat16 product:
 * - on a processor with AMX, in the GRU and in A times values;
 * - on a GPU of compute capability 8.0 or newer, in A times values and its gradients, but for the scores that A is made of; the GRU is
 *   float32 with `high` and bfloat16 with `medium`.
 *
 * All else is float32, as is everything on a device that is neither: `highest` stays in force there. Where that is the device which
 * models have by default (ASTGNN_DEVICE, else the first GPU, else the CPU), a warning says so. float64 is never rounded.
 *
 * @returns the precision in effect on the default device
 * @throws AstgnnError ERR_OPTION for another name
 * @example
 * setPrecision("high"); // "highest" on a processor without AMX
 */
export function setPrecision(precision: Precision): Precision {
  return setPrecisionFor(precision, resolveDevice());
}

/** The same where a job's device is known: the report is about that one. */
export function setPrecisionFor(precision: Precision, device: string): Precision {
  if (!names.includes(precision)) throw invalidOption("precision", names.map((name) => `"${name}"`).join(", "), precision);
  const core = loadCore();
  core.setPrecision(precision);
  const inForce = core.precisionOn(device);
  if (inForce !== precision) warnPerson("precision", `precision "${precision}" needs ${device === "cpu" ? `a processor with AMX and this one offers ${core.info().cpu.isa}` : `a GPU of compute capability 8.0 and ${device} is older`}: "${inForce}" is used.`);
  if (inForce === "medium") warnPerson("precision", device === "cpu" ? mediumOnCpu : mediumOnGpu);
  return inForce;
}

const mediumOnCpu =
  "precision \"medium\" rounds every operand to bfloat16: against float64 the gradient of a model of default size is off by up to 2 % (10 % with norm \"batch\"), that of a single tensor of weights by up to 20 %, and predictions by 1 %.";
const mediumOnGpu =
  "precision \"medium\" on a GPU rounds the products of the TGC to bfloat16 where it is computed in tiles (groups, topK, few stocks): against float64 the gradient of a model of default size is off by up to 5 % (20 % with norm \"batch\"), measured in emulation and not on a GPU.";
