import { AstgnnError } from "../../errors.js";

/** A process's place among those that train together. */
export interface RankPlace {
  readonly rank: number;
  readonly size: number;
  /** Its number among those on its machine, where the launcher says it. */
  readonly local: number | undefined;
  /** Where the ranks meet. */
  readonly host: string;
  readonly port: number;
  /** Rank 0 keeps the store through which they meet; false: the launcher does. */
  readonly hosts: boolean;
  /** Before the store's keys. */
  readonly prefix: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Torch's own default. */
const PORT = 29_500;

/**
 * The place that a launcher gave this process: torchrun's and Kubernetes' RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, or Slurm's SLURM_PROCID and SLURM_NTASKS
 * together with MASTER_ADDR or, where `ranks` says the same number, the first of its hosts. Undefined where there is none, or one process alone.
 *
 * @param ranks how many there must be; 1: none but this process, whatever the environment says
 * @throws AstgnnError ERR_OPTION where the variables contradict each other or `ranks`
 */
export function launchedPlace(ranks: number | undefined, environment: Environment = process.env): RankPlace | undefined {
  if (ranks === 1) return undefined;
  const { RANK, WORLD_SIZE, MASTER_PORT, SLURM_PROCID, SLURM_NTASKS } = environment;
  // Slurm's variables alone do not say that its tasks belong together: `ranks` or an address does.
  const host = environment["MASTER_ADDR"] ?? (ranks !== undefined && String(ranks) === SLURM_NTASKS ? firstHost(environment["SLURM_STEP_NODELIST"] ?? environment["SLURM_JOB_NODELIST"]) : undefined);
  const isTorch = RANK !== undefined && WORLD_SIZE !== undefined && host !== undefined;
  const isSlurm = !isTorch && SLURM_PROCID !== undefined && SLURM_NTASKS !== undefined && host !== undefined;
  if (!isTorch && !isSlurm) return undefined;
  const [rankName, sizeName] = isTorch ? ["RANK", "WORLD_SIZE"] : ["SLURM_PROCID", "SLURM_NTASKS"];
  const size = wholeNumber(sizeName, environment, 1, 65_536);
  if (ranks !== undefined && ranks !== size) {
    throw new AstgnnError("ERR_OPTION", `${sizeName} is ${size}, and ranks is ${ranks}.`, { option: "ranks", next: "Leave ranks out where a launcher starts the processes." });
  }
  if (size === 1) return undefined;
  const rank = wholeNumber(rankName, environment, 0, size - 1);
  const port = MASTER_PORT === undefined ? PORT : wholeNumber("MASTER_PORT", environment, 1, 65_535);
  const isAgents = environment["TORCHELASTIC_USE_AGENT_STORE"] === "True";
  const localName = isTorch ? "LOCAL_RANK" : "SLURM_LOCALID";
  const local = environment[localName] === undefined ? undefined : wholeNumber(localName, environment, 0, size - 1);
  return { rank, size, local, host, port, hosts: rank === 0 && !isAgents, prefix: `astgnn/${environment["TORCHELASTIC_RUN_ID"] ?? ""}/${environment["TORCHELASTIC_RESTART_COUNT"] ?? "0"}` };
}

/** What ranks do not train. @throws AstgnnError ERR_OPTION */
export function refuseModelOfRanks({ norm }: { readonly norm?: string | undefined }): void {
  if (norm === "batch") throw new AstgnnError("ERR_OPTION", 'norm "batch" normalises over all dates of a step, which ranks share.', { option: "norm", next: 'Use norm "layer", or one process.' });
}

/** Of a list such as `node[03-06,11]` or `a1,b2`. */
function firstHost(list: string | undefined): string | undefined {
  const first = /^([^,[]+)(?:\[(\d+))?/.exec(list ?? "");
  return first === null ? undefined : `${first[1]}${first[2] ?? ""}`;
}

function wholeNumber(name: string, environment: Environment, least: number, most: number): number {
  const text = environment[name]!;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new AstgnnError("ERR_OPTION", `Expected a whole number from ${least} to ${most} in ${name} but received ${JSON.stringify(text)}.`, { option: name, next: "It is the launcher's to set: unset RANK, WORLD_SIZE and MASTER_ADDR to train in one process." });
}
