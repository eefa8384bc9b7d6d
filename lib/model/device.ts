import { cudaProblem, loadCore } from "../binding/load.js";
import { AstgnnError, invalidOption } from "../errors.js";

/**
 * Where weights live and everything on them is computed: `"cpu"`, an NVIDIA GPU by its number (`"cuda"` is `"cuda:0"`), or `"auto"`, the
 * first GPU that can be used, else the CPU.
 */
export type Device = "auto" | "cpu" | "cuda" | `cuda:${number}`;

/**
 * The device that an option means: the option, else ASTGNN_DEVICE, else `"auto"`.
 *
 * @throws AstgnnError ERR_OPTION for what names no device, ERR_CUDA_UNAVAILABLE with the reason where the GPU cannot be used
 */
export function resolveDevice(written?: string): string {
  const named = written ?? (process.env["ASTGNN_DEVICE"] || "auto");
  const { devices } = loadCore().info();
  if (named === "auto") return devices[1] ?? "cpu";
  const device = named === "cuda" ? "cuda:0" : named;
  if (devices.includes(device)) return device;
  if (!/^cuda:\d+$/.test(device)) throw invalidOption(written === undefined ? "ASTGNN_DEVICE" : "device", '"auto", "cpu", "cuda" or "cuda:<number>"', named);
  const reason = devices.length > 1 ? undefined : cudaProblem()?.message;
  throw new AstgnnError("ERR_CUDA_UNAVAILABLE", `There is no device ${device}: ${reason ?? `astgnn can use ${devices.join(", ")}.`}`, { option: "device" });
}
