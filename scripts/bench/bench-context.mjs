// What every section needs: how to start the measured processes, the settings, and whether both sides compute the same.
import { fileURLToPath } from "node:url";
import { MeasuringProcess } from "./measuring-process.mjs";

const file = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Process names double as the columns of the tables. */
export const OURS = "ours";
export const GRAPH = "ours as CUDA graphs";
export const EAGER = "eager";
export const MALLOC = "eager with memory settings";
export const TF32 = "eager with TF32";
export const COMPILED = "torch.compile";
export const QLIB = "Qlib's GATs with memory settings";

/** What ours.mjs is told of a run's settings. */
export const oursArguments = ({ threads, device, precision = "", reduction }) => [String(threads), device, precision, reduction];

export class BenchContext {
  constructor({ root, python, reference, settings, say }) {
    Object.assign(this, { root, python, reference, settings, say });
  }

  /** @param name OURS or GRAPH */
  startOurs(name) {
    return new MeasuringProcess(name, process.execPath, [file("ours.mjs"), ...oursArguments(this.settings)], { cwd: this.root });
  }

  /** @param name EAGER, MALLOC, TF32, COMPILED or QLIB */
  startPeer(name) {
    const flags = { "--malloc": name === MALLOC || name === QLIB, "--tf32": name === TF32, "--allow-rnn": name === COMPILED && this.settings.allowRnn };
    const args = [file("peer.py"), this.reference, String(this.settings.threads), this.settings.device, ...Object.keys(flags).filter((flag) => flags[flag])];
    return new MeasuringProcess(name, this.python, args, { cwd: this.root, env: { PYTHONDONTWRITEBYTECODE: "1" } });
  }

  /** Runs `work` with fresh processes, which end with it. */
  async with(names, work) {
    const processes = names.map((name) => (name === OURS || name === GRAPH ? this.startOurs(name) : this.startPeer(name)));
    try {
      return await work(processes);
    } finally {
      await Promise.all(processes.map((each) => each.close()));
    }
  }
}

/** Largest difference of an output between the two sides, by what the products are computed in; outputs are of order 1. */
const AGREEMENT = { highest: 1e-4, high: 1e-3, medium: 1e-1 };

/**
 * Versions of both sides, after one proof that they are the same model: the peer's weights and windows give the peer's outputs here.
 *
 * @throws Error where they do not
 */
export async function describeSides(context) {
  return context.with([OURS, EAGER], async ([ours, peer]) => {
    const own = await ours.request("describe");
    const theirs = await peer.request("describe");
    const shape = { n: 151, t: 5, f: 7 };
    const agreement = await ours.request("compare", { ...shape, ...(await peer.request("sample", shape)) });
    const bar = AGREEMENT[own.precision];
    const worst = Math.max(agreement.predictions, agreement.riskFactors);
    if (!(worst <= bar)) throw new Error(`The two sides do not compute the same model: outputs from the same weights differ by ${worst}, more than ${bar} at precision ${own.precision}.`);
    return { ...own, ...theirs, agreement };
  });
}
