import { appendFile, mkdir, open, readdir, readFile, rm, rmdir } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Isa, Precision } from "../binding/types.js";
import type { ReadingOptions } from "../data/origin.js";
import type { PanelSource } from "../data/source.js";
import { AstgnnError } from "../errors.js";
import { partialPath, writeFileAtomically } from "../model/atomic-write.js";
import { withLock } from "../setup/lock.js";
import type { EpochEvent } from "./events.js";
import type { EpochRecord, RunIdentity } from "./state-file.js";

/** Files of a run folder, last.safetensors first: what is removed first must not be found by a later resume. */
const RUN_FILES = ["last.safetensors", "run.json", "metrics.jsonl", "model.safetensors", "predictions.parquet", "factors.parquet", "report.json", "report.md"] as const;

/** Name of a file in a run folder. */
export type RunFile = (typeof RUN_FILES)[number];

/** What `run.json` says about how a run was made; everything but the clock follows from the inputs. */
export interface RunDescription {
  formatVersion: string;
  /** `"run"`: one model. `"ensemble"`: one folder per seed below. */
  kind: "run" | "ensemble";
  /** `"finished"` once every file is written. */
  status: "running" | "finished";
  /** Architecture, in camelCase. */
  config: unknown;
  dtype: string;
  parameters: number;
  /** Training options that decide the weights. */
  training: unknown;
  /** `model`: seed of the initial weights, null where they were loaded. `train`: date order and dropout; a list for an ensemble. */
  seeds: { model: number | null; train: number | readonly number[] };
  /** What the panel was read from (files by absolute path, or a query) and the options of `openPanel`; null where the dataset is not a panel's. */
  source: PanelSource | null;
  panel: ReadingOptions | null;
  dataset: unknown;
  fingerprint: string;
  split: unknown;
  /** What was dropped on the way from the source. */
  ledger: unknown;
  threads: number;
  device: string;
  /** Instruction set, and what products are computed in. */
  kernels: { isa: Isa; precision: Precision };
  versions: { astgnn: string; libtorch: string; node: string };
  hardware: { cpu: string; cores: number; memoryBytes: number; platform: string };
  memoryEstimateBytes: number;
  warnings: readonly unknown[];
  /** Epoch whose weights model.safetensors holds; null while running and for an ensemble. */
  bestEpoch: number | null;
  /** Folders of an ensemble's members. */
  members?: readonly string[];
  timing: { startedAt: string; finishedAt: string | null; trainingSeconds: number };
}

/**
 * Makes a folder and runs `body` while this process alone trains there. A process that was killed holds nothing.
 *
 * @throws AstgnnError ERR_BUSY naming pid, host and since when, where another training is in the folder; ERR_OPTION where there can be no such folder
 */
export async function lockRunFolder<V>(path: string, body: () => Promise<V>): Promise<V> {
  await mkdir(path, { recursive: true }).catch((cause: Error) => {
    throw new AstgnnError("ERR_OPTION", `Cannot make the run folder ${path}: ${cause.message}.`, { option: "out", file: path, cause, next: "Name another folder." });
  });
  const onWait = (holder: string): never => {
    throw new AstgnnError("ERR_BUSY", `Another training writes to ${path}: ${holder}.`, { option: "out", file: path, next: "Wait until it has ended, or name another folder." });
  };
  return withLock(join(path, ".lock"), { onWait }, body);
}

/**
 * Where a run keeps its files. Each file is written beside, synced and renamed. After an epoch the order is metrics.jsonl,
 * last.safetensors, model.safetensors: last.safetensors decides, the other two are cut or written again from it on resume.
 */
export class RunFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Opens a folder, made and locked by {@link lockRunFolder}, for a run and says whether there is one to continue.
   *
   * @throws AstgnnError ERR_RUN_EXISTS where there is a run and neither `resume` nor `overwrite`, ERR_CHECKPOINT where it cannot be continued
   */
  static async open(path: string, { resume, overwrite }: { resume: boolean; overwrite: boolean }, kind: RunDescription["kind"]): Promise<{ folder: RunFolder; continues: boolean }> {
    const folder = new RunFolder(path);
    const members = await memberFolders(path);
    const present = [...RUN_FILES.filter((name) => folder.has(name)), ...members];
    if (present.length === 0) return { folder, continues: false };
    if (overwrite) {
      for (const member of members) await new RunFolder(join(path, member)).#clear(true);
      await folder.#clear(false);
      return { folder, continues: false };
    }
    if (!resume) {
      throw new AstgnnError("ERR_RUN_EXISTS", `${path} already holds a run (${present.join(", ")}).`, { file: path, next: "Continue it with resume, replace it with overwrite, or name another folder." });
    }
    await folder.#refuseOtherKind(kind, members);
    if (folder.has("last.safetensors") || kind === "ensemble") return { folder, continues: true };
    const written = present.filter((name) => name !== "run.json" && name !== "metrics.jsonl");
    if (written.length > 0) {
      throw new AstgnnError("ERR_CHECKPOINT", `${path} has ${written.join(", ")} but no last.safetensors, so the run cannot be continued.`, { file: path, next: "Replace it with overwrite or name another folder." });
    }
    await folder.#clear(false);
    return { folder, continues: false };
  }

  file(name: RunFile): string {
    return join(this.path, name);
  }

  has(name: RunFile): boolean {
    return existsSync(this.file(name));
  }

  async writeDescription(description: RunDescription): Promise<void> {
    await writeFileAtomically(this.file("run.json"), `${JSON.stringify(description, null, 2)}\n`);
  }

  /** run.json, or undefined where it is missing or cut off. */
  async description(): Promise<RunDescription | undefined> {
    try {
      return JSON.parse(await readFile(this.file("run.json"), "utf8")) as RunDescription;
    } catch {
      return undefined;
    }
  }

  async appendEpoch(event: EpochEvent): Promise<void> {
    const path = this.file("metrics.jsonl");
    await appendFile(path, `${JSON.stringify(event)}\n`);
    const file = await open(path, "r+");
    await file.sync();
    await file.close();
  }

  /** Cuts metrics.jsonl back to the epochs of the checkpoint and returns them; seconds come from the file. */
  async cutEpochs(history: readonly EpochRecord[]): Promise<EpochEvent[]> {
    const seconds = new Map<number, number>();
    for (const line of (this.has("metrics.jsonl") ? await readFile(this.file("metrics.jsonl"), "utf8") : "").split("\n")) {
      try {
        const { epoch, seconds: taken } = JSON.parse(line) as EpochEvent;
        if (!seconds.has(epoch)) seconds.set(epoch, taken);
      } catch {
        // A line that a kill cut off: its epoch is in the checkpoint or will be trained again.
      }
    }
    const events = history.map((record) => ({ ...record, seconds: seconds.get(record.epoch) ?? NaN }));
    await writeFileAtomically(this.file("metrics.jsonl"), events.map((event) => `${JSON.stringify(event)}\n`).join(""));
    return events;
  }

  async #refuseOtherKind(kind: RunDescription["kind"], members: readonly string[]): Promise<void> {
    const found = (await this.description())?.kind ?? (members.length > 0 ? "ensemble" : kind);
    if (found === kind) return;
    throw new AstgnnError("ERR_CHECKPOINT", `${this.path} holds ${found === "ensemble" ? "an ensemble" : "a single run"}, which cannot be continued as ${kind === "ensemble" ? "an ensemble" : "a single run"}.`, {
      file: this.path,
      option: "seeds",
      next: found === "ensemble" ? "Give the same seeds as before." : "Leave seeds out.",
    });
  }

  async #clear(removeFolder: boolean): Promise<void> {
    for (const name of RUN_FILES) {
      await rm(this.file(name), { force: true });
      await rm(partialPath(this.file(name)), { force: true });
    }
    // Whatever else the user keeps there stays, and so does the folder then.
    if (removeFolder) await rmdir(this.path).catch(() => undefined);
  }
}

/**
 * Compares a run with its continuation.
 *
 * @throws AstgnnError ERR_CHECKPOINT naming the field that differs
 */
export function refuseOtherRun(stored: RunIdentity, now: RunIdentity, path: string): void {
  const current = JSON.parse(JSON.stringify(now)) as RunIdentity;
  const epochs = { stored: stored.recipe["epochs"] as number, now: current.recipe["epochs"] as number };
  if (epochs.stored !== epochs.now && (epochs.now < epochs.stored || current.recipe["schedule"] !== "constant")) {
    const rule = epochs.now < epochs.stored ? "A run can grow but not shrink." : "Epochs can grow only with schedule: \"constant\".";
    throw differs("training.epochs", epochs.stored, epochs.now, path, rule);
  }
  const without = (identity: RunIdentity) => {
    const { recipe, ...rest } = identity;
    return { ...rest, training: { ...recipe, epochs: 0 } };
  };
  const difference = firstDifference(without(stored), without(current), "");
  if (difference !== undefined) throw differs(...difference, path, "Resume with the options and data of the run, or name another folder.");
}

function differs(field: string, stored: unknown, now: unknown, path: string, next: string): AstgnnError {
  return new AstgnnError("ERR_CHECKPOINT", `The run in ${path} has ${field} ${JSON.stringify(stored)}, now it is ${JSON.stringify(now)}.`, { option: field, file: path, next });
}

function firstDifference(a: unknown, b: unknown, path: string): [field: string, stored: unknown, now: unknown] | undefined {
  if (a === b) return undefined;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object" || Array.isArray(a) !== Array.isArray(b)) return [path, a, b];
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
    const difference = firstDifference(left[key], right[key], path === "" ? key : `${path}.${key}`);
    if (difference !== undefined) return difference;
  }
  return undefined;
}

/** Folders `seed-<number>` of an ensemble. */
async function memberFolders(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory() && /^seed-\d+$/.test(entry.name)).map((entry) => entry.name);
}
