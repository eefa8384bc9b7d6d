import { cudaProblem, loadCore } from "../binding/load.js";
import { AstgnnError, invalidOption } from "../errors.js";
import { requireText } from "../options.js";

/**
 * Where weights live and everything on them is computed: `"cpu"`, an NVIDIA GPU by its number (`"cuda"` is `"cuda:0"`), or `"auto"`, the
 * first GPU that can be used, else the CPU. Of several processes that a launcher has started on a machine (LOCAL_RANK, WORLD_SIZE) each means its own by
 * `"cuda"` and `"auto"`: the first, the second ...
 */
export type Device = "auto" | "cpu" | "cuda" | `cuda:${number}`;

/**
 * The device that an option means: the option, else ASTGNN_DEVICE, else `"auto"`.
 *
 * @throws AstgnnError ERR_OPTION for what names no device, ERR_CUDA_UNAVAILABLE with the reason where the GPU cannot be used
 */
export function resolveDevice(written?: string): string {
  if (written !== undefined) requireText(written, "device", '"auto", "cpu", "cuda" or "cuda:<number>"');
  const named = written ?? (process.env["ASTGNN_DEVICE"] || "auto");
  const { devices } = loadCore().info();
  if (named === "auto" && devices.length === 1) return "cpu";
  if (devices.length > 1 && (named === "auto" || named === "cuda")) return ownGpu(devices.slice(1));
  const device = named === "cuda" ? "cuda:0" : named;
  if (devices.includes(device)) return device;
  if (!/^cuda:\d+$/.test(device)) throw invalidOption(written === undefined ? "ASTGNN_DEVICE" : "device", '"auto", "cpu", "cuda" or "cuda:<number>"', named);
  const reason = devices.length > 1 ? undefined : cudaProblem()?.message;
  throw new AstgnnError("ERR_CUDA_UNAVAILABLE", `There is no device ${device}: ${reason ?? `astgnn can use ${devices.join(", ")}.`}`, { option: "device" });
}

/**
 * The GPU of a process among those that a launcher has started together on this machine; alone, the first.
 *
 * @throws AstgnnError ERR_CUDA_UNAVAILABLE on all of them where there are fewer GPUs, so far as LOCAL_WORLD_SIZE says how many there are
 */
export function ownGpu(gpus: readonly string[], environment: Readonly<Record<string, string | undefined>> = process.env): string {
  const { LOCAL_RANK, LOCAL_WORLD_SIZE, WORLD_SIZE } = environment;
  if (!/^\d+$/.test(LOCAL_RANK ?? "") || !(Number(WORLD_SIZE) > 1)) return gpus[0]!;
  const own = Number(LOCAL_RANK);
  const processes = Math.max(own + 1, Number(LOCAL_WORLD_SIZE ?? 0) || 0);
  if (processes <= gpus.length) return gpus[own]!;
  throw new AstgnnError("ERR_CUDA_UNAVAILABLE", `This machine has ${gpus.length === 1 ? "one GPU" : `${gpus.length} GPUs`} and ${processes} ranks (LOCAL_RANK here is ${own}): ${gpus.join(", ")}.`, {
    option: "device", next: "Start as many ranks on a machine as it has GPUs, set device to cpu, or name the GPU (cuda:0) where each process sees its own alone or all are to share it.",
  });
}
