import { deserialize, serialize } from "node:v8";
import { isMainThread } from "node:worker_threads";
import { loadCore, openRanks } from "../../binding/load.js";
import { AstgnnError } from "../../errors.js";
import { launchedPlace, type RankPlace } from "./place.js";

/** How long ranks wait for one another, in seconds. */
export interface RankLimits {
  /** For all to start, and between steps. */
  readonly startSeconds: number;
  /** For a step of the slowest. */
  readonly stepSeconds: number;
}

let joined: Promise<RankGroup> | undefined;

/** The group that this process trains in, if its launcher started several; joined at the first call. */
export async function joinedRanks(ranks: number | undefined, limits: RankLimits): Promise<RankGroup | undefined> {
  const place = launchedPlace(ranks);
  if (place === undefined) {
    if (ranks === undefined || ranks === 1) return undefined;
    throw new AstgnnError("ERR_OPTION", `ranks is ${ranks}, and no launcher has started this process as one of them.`, { option: "ranks", next: `Start it with \`astgnn train --ranks ${ranks}\`, \`torchrun --no-python\`, or with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set.` });
  }
  if (!isMainThread) {
    throw new AstgnnError("ERR_OPTION", "A rank is a process, and this is a worker thread of one.", { option: "ranks", next: "Train in the main thread, or set ranks to 1." });
  }
  joined ??= RankGroup.join(place, limits);
  return joined;
}

/** The processes that train together. All make the same calls in the same order. */
export class RankGroup {
  readonly rank: number;
  readonly size: number;
  /** Why what GPUs exchange goes over the hosts; undefined where it goes by NCCL, and on the CPU. */
  overHosts: string | undefined;

  private constructor({ rank, size }: RankPlace) {
    this.rank = rank;
    this.size = size;
  }

  static async join(place: RankPlace, limits: RankLimits): Promise<RankGroup> {
    openRanks();
    await asRanks(() => loadCore().joinRanks({ ...place, ...limits }));
    return new RankGroup(place);
  }

  /** Lets the ranks exchange what lies on these GPUs by NCCL, where each has one of its own and all can. */
  async connectGpus(device: string): Promise<void> {
    this.overHosts = (await asRanks(() => loadCore().connectGpusOfRanks(device))) || undefined;
  }

  /** Everybody's value, in the order of the ranks. Values may be what `structuredClone` takes. */
  async gather<V>(value: V): Promise<V[]> {
    const all = await asRanks(() => loadCore().gatherFromRanks(serialize(value)));
    return all.map((bytes) => deserialize(bytes) as V);
  }

  /** What rank 0 makes, for all. */
  async fromFirst<V>(make: () => V | Promise<V>): Promise<V> {
    const own = this.rank === 0 ? await make() : undefined;
    return (await this.gather(own))[0] as V;
  }

  /** The last call. An error ends the others too, who then throw ERR_RANK_LOST or, where it was ERR_ABORTED, the same. */
  async leave(error?: unknown): Promise<void> {
    const message = error instanceof Error ? error.message : String(error);
    // Who lost a rank has told the others to look for it.
    const isTold = error === undefined || (error instanceof AstgnnError && error.code === "ERR_RANK_LOST");
    const reason = isTold ? "" : error instanceof AstgnnError ? `${error.code} ${message}` : message;
    await loadCore().leaveRanks(reason).catch(() => undefined);
  }
}

/** Runs a call to the others, and says what to do where one is lost. */
export async function asRanks<V>(call: () => Promise<V>): Promise<V> {
  try {
    return await call();
  } catch (error) {
    throw explained(error);
  }
}

/** The same error with the way out where a rank was lost; ERR_ABORTED where that rank was interrupted. */
export function explained(error: unknown): unknown {
  if (!(error instanceof AstgnnError) || error.code !== "ERR_RANK_LOST" || error.next !== undefined) return error;
  const interrupted = /^(rank \d+) has ended: ERR_ABORTED /.exec(error.message);
  if (interrupted !== null) return new AstgnnError("ERR_ABORTED", `The training was stopped by ${interrupted[1]}.`, { cause: error });
  // Gloo adds what it is typically caused by.
  const text = `${error.message.charAt(0).toUpperCase()}${error.message.slice(1)}`.replace(/\.? This is typically caused by [^)]*/, "");
  const sentence = /[.!?]$/.test(text) ? text : `${text}.`;
  return new AstgnnError("ERR_RANK_LOST", sentence, { cause: error, next: "Start all ranks again, with resume to go on from the last checkpoint." });
}
