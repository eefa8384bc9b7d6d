import { describe, expect, it } from "vitest";
import { refuseOtherRanks } from "../../lib/train/ranks/compare.js";
import { explained, type RankGroup } from "../../lib/train/ranks/group.js";
import { launchedPlace } from "../../lib/train/ranks/place.js";
import { partOf, passesOf } from "../../lib/train/ranks/shared-scorer.js";
import { ownGpu } from "../../lib/model/device.js";
import { AstgnnError } from "../../lib/index.js";

const torchrun = { RANK: "2", WORLD_SIZE: "4", LOCAL_RANK: "0", MASTER_ADDR: "10.0.0.1", MASTER_PORT: "29400" };

describe("the place of a rank", () => {
  it("is what torchrun says, whose agent may keep the store, apart for each of its restarts", () => {
    expect(launchedPlace(undefined, torchrun)).toEqual({ rank: 2, size: 4, local: 0, host: "10.0.0.1", port: 29_400, hosts: false, prefix: "astgnn//0" });
    expect(launchedPlace(4, { ...torchrun, RANK: "0" })).toMatchObject({ rank: 0, hosts: true });
    expect(launchedPlace(undefined, { ...torchrun, RANK: "0", TORCHELASTIC_USE_AGENT_STORE: "True", TORCHELASTIC_RUN_ID: "job", TORCHELASTIC_RESTART_COUNT: "2" })).toMatchObject({ hosts: false, prefix: "astgnn/job/2" });
  });

  it("is what Slurm says where its tasks are meant to train together", () => {
    const slurm = { SLURM_PROCID: "3", SLURM_NTASKS: "8", SLURM_JOB_NODELIST: "node[03-06,11]" };
    expect(launchedPlace(undefined, slurm)).toBeUndefined();
    expect(launchedPlace(8, slurm)).toMatchObject({ rank: 3, size: 8, local: undefined, host: "node03", port: 29_500 });
    expect(launchedPlace(8, { ...slurm, SLURM_LOCALID: "1" })).toMatchObject({ local: 1 });
    expect(launchedPlace(8, { ...slurm, SLURM_STEP_NODELIST: "a1,b2" })).toMatchObject({ host: "a1" });
    expect(launchedPlace(undefined, { ...slurm, MASTER_ADDR: "head" })).toMatchObject({ rank: 3, host: "head" });
  });

  it("is none for one process, or where ranks is 1", () => {
    expect(launchedPlace(undefined, {})).toBeUndefined();
    expect(launchedPlace(undefined, { ...torchrun, RANK: "0", WORLD_SIZE: "1" })).toBeUndefined();
    expect(launchedPlace(1, torchrun)).toBeUndefined();
  });

  it.each([[{ ...torchrun, RANK: "4" }, "RANK"], [{ ...torchrun, WORLD_SIZE: "four" }, "WORLD_SIZE"], [{ ...torchrun, MASTER_PORT: "0" }, "MASTER_PORT"]])("is refused where it cannot be: %j", (environment, option) => {
    expect(() => launchedPlace(undefined, environment)).toThrow(expect.objectContaining({ code: "ERR_OPTION", option }));
  });

  it("is refused where ranks is another number", () => {
    expect(() => launchedPlace(2, torchrun)).toThrow(/WORLD_SIZE is 4, and ranks is 2\. Leave ranks out/);
  });
});

describe("the GPU of a rank", () => {
  const gpus = ["cuda:0", "cuda:1"];

  it("is that of its number on its machine, alone the first", () => {
    expect(ownGpu(gpus, { LOCAL_RANK: "1", LOCAL_WORLD_SIZE: "2", WORLD_SIZE: "4" })).toBe("cuda:1");
    expect(ownGpu(gpus, { LOCAL_RANK: "1", WORLD_SIZE: "4" })).toBe("cuda:1");
    expect(ownGpu(gpus, { LOCAL_RANK: "1", WORLD_SIZE: "1" })).toBe("cuda:0");
    expect(ownGpu(gpus, {})).toBe("cuda:0");
  });

  it("is refused to all ranks of a machine with fewer GPUs", () => {
    for (const environment of [{ LOCAL_RANK: "0", LOCAL_WORLD_SIZE: "3", WORLD_SIZE: "3" }, { LOCAL_RANK: "2", WORLD_SIZE: "3" }])
      expect(() => ownGpu(gpus, environment)).toThrow(expect.objectContaining({ code: "ERR_CUDA_UNAVAILABLE", message: expect.stringMatching(/^This machine has 2 GPUs and 3 ranks/) as string }));
  });
});

describe("the part of the dates that a rank scores", () => {
  const parts = (size: number, starts: readonly number[], dates: number): unknown => Array.from({ length: size }, (_, rank) => partOf({ rank, size }, starts, dates));

  it("begins where a pass of a GPU does", () => {
    const starts = passesOf([40_000, 25_536, 1, 70_000, 0, 65_536, 0]);
    expect(starts).toEqual([0, 2, 3, 4]);
    expect(parts(2, starts, 7)).toEqual([[0, 3], [3, 7]]);
    expect(parts(3, [0], 5)).toEqual([[0, 0], [0, 0], [0, 5]]);
    expect(parts(2, [], 0)).toEqual([[0, 0], [0, 0]]);
  });
});

describe("what ranks have in common", () => {
  const group = (...facts: object[]): RankGroup => ({ gather: async () => facts }) as unknown as RankGroup;

  it.each([
    ["ERR_OPTION", "config.dropout", { config: { dropout: 0.1 } }, { config: { dropout: 0.2 } }],
    ["ERR_OPTION", "machine.precision", { machine: { isa: "amx", precision: "high" } }, { machine: { isa: "amx", precision: "highest" } }],
    ["ERR_OPTION", "training.seed", { training: { seed: 0 } }, { training: {} }],
    ["ERR_DATA", "fingerprint", { fingerprint: "a" }, { fingerprint: "b" }],
    ["ERR_DATA", "weights", { weights: "a" }, { weights: "b" }],
  ])("%s names %s", async (code, option, first, other) => {
    await expect(refuseOtherRanks(group(first, first, other), {})).rejects.toMatchObject({ code, option, message: expect.stringMatching(`^Rank 2 has ${option} `) as string });
    await refuseOtherRanks(group(first, first), {});
  });
});

it("the error of a lost rank says what to do, that of an interrupted one is an abort", () => {
  expect(explained(new AstgnnError("ERR_RANK_LOST", "rank 3 does not answer (Connection reset by peer)"))).toMatchObject({
    code: "ERR_RANK_LOST", message: "Rank 3 does not answer (Connection reset by peer). Start all ranks again, with resume to go on from the last checkpoint.",
  });
  expect(explained(new AstgnnError("ERR_RANK_LOST", "rank 1 has ended: ERR_ABORTED The training was aborted."))).toMatchObject({ code: "ERR_ABORTED", message: "The training was stopped by rank 1." });
  expect(explained(new AstgnnError("ERR_RANK_LOST", "rank 0 has ended: ERR_RUN_EXISTS runs/a already holds a run."))).toMatchObject({ message: expect.stringMatching(/^Rank 0 has ended: ERR_RUN_EXISTS runs\/a already holds a run\. Start/) as string });
});
