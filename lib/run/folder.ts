import { mkdir, open, readFile, rm, rmdir } from "node:fs/promises";
import { constants, existsSync } from "node:fs";
import { basename, join } from "node:path";
import { legacyFingerprintOf } from "../data/legacy-fingerprint.js";
import type { Dataset } from "../data/types.js";
import { AstgnnError } from "../errors.js";
import { writeFileAtomically, writing } from "../model/atomic-write.js";
import type { RunDescription } from "./description.js";
import { lockRunFolder, memberFolders, removeRunFiles, RUN_FILES, type RunFile } from "./files.js";
import type { EpochEvent, EpochRecord } from "./records.js";
import { completeReplacement, isReplacement, replacementPath, replaceRun } from "./replacement.js";
import type { RunIdentity } from "./state.js";

/**
 * Runs `body` with the run folder `path`, made and locked, and whether it holds a run to continue; without a path with neither. A run that
 * replaces another is built in the folder's `.replacement` and takes the other's place when `body` is done.
 *
 * @throws AstgnnError as {@link lockRunFolder} and {@link RunFolder.open}
 */
export async function inRunFolder<V>(
  path: string | undefined, mode: { resume: boolean; overwrite: boolean }, kind: RunDescription["kind"], body: (folder?: RunFolder, continues?: boolean) => Promise<V>,
): Promise<V> {
  if (path === undefined) return body();
  return lockRunFolder(path, async () => {
    const { folder, continues } = await RunFolder.open(path, mode, kind);
    try {
      const result = await body(folder, continues);
      if (folder.path !== path) await replaceRun(path);
      return result;
    } catch (error) {
      // A replacement that has not come to its first checkpoint leaves nothing.
      if (folder.path !== path) await rmdir(folder.path).catch(() => undefined);
      throw error;
    }
  });
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
    await completeReplacement(path);
    const folder = new RunFolder(path);
    const replacement = new RunFolder(replacementPath(path));
    const present = await folder.#present();
    if ((await folder.description() as { kind?: string } | undefined)?.kind === "walkForward") {
      throw new AstgnnError("ERR_RUN_EXISTS", `${path} holds a walk-forward.`, { file: path, next: "Name another folder, or remove it." });
    }
    // The first thing that a run writes is its state, an ensemble its run.json.
    const isReplaced = replacement.has("last.safetensors") || replacement.has("run.json");
    if (overwrite || !isReplaced) await rm(replacement.path, { recursive: true, force: true });
    if (present.length === 0 && (overwrite || !isReplaced)) return { folder, continues: false };
    if (overwrite) {
      // A training in a member's folder is refused now and not only when the files are to be moved.
      for (const member of await memberFolders(path)) await lockRunFolder(join(path, member), async () => undefined);
      await mkdir(replacement.path);
      return { folder: replacement, continues: false };
    }
    if (!resume) {
      const found = present.length === 0 ? basename(replacement.path) : present.join(", ");
      throw new AstgnnError("ERR_RUN_EXISTS", `${path} already holds a run (${found}).`, { file: path, next: "Continue it with resume, replace it with overwrite, or name another folder." });
    }
    return isReplaced ? replacement.#resume(kind) : folder.#resume(kind);
  }

  async #resume(kind: RunDescription["kind"]): Promise<{ folder: RunFolder; continues: boolean }> {
    const present = await this.#present();
    await this.#refuseOtherKind(kind, await memberFolders(this.path));
    if (this.has("last.safetensors") || kind === "ensemble") return { folder: this, continues: true };
    const written = present.filter((name) => name !== "run.json" && name !== "metrics.jsonl");
    if (written.length > 0) {
      throw new AstgnnError("ERR_CHECKPOINT", `${this.path} has ${written.join(", ")} but no last.safetensors, so the run cannot be continued.`, { file: this.path, next: "Replace it with overwrite or name another folder." });
    }
    await removeRunFiles(this.path);
    return { folder: this, continues: false };
  }

  async #present(): Promise<string[]> {
    return [...RUN_FILES.filter((name) => this.has(name)), ...(await memberFolders(this.path))];
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
    await writing(path, async () => {
      const file = await open(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW);
      try {
        await file.appendFile(`${JSON.stringify(event)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
    });
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
      next: `${found === "ensemble" ? "Give the same seeds as before." : "Leave seeds out."}${orKeep(this.path)}`,
    });
  }
}

/** What a recipe that says nothing of it was trained with. */
export const BEFORE_REDUCTION = { reduction: "fast" } as const;

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
    return { ...rest, training: { ...BEFORE_REDUCTION, ...recipe, epochs: 0 } };
  };
  refuseDifference(without(stored), without(current), path);
}

/** The identity of a stored run with the fingerprint as it is made now, where that of an older version says that the data are those of the dataset. */
export async function withFingerprintOf(dataset: Dataset, stored: RunIdentity): Promise<RunIdentity> {
  const { fingerprint } = dataset;
  return stored.fingerprint !== fingerprint && (await legacyFingerprintOf(dataset)) === stored.fingerprint ? { ...stored, fingerprint } : stored;
}

/**
 * Compares what a folder says of itself with what is to be done in it, both JSON-safe.
 *
 * @throws AstgnnError ERR_CHECKPOINT naming the first field that differs
 */
export function refuseDifference(stored: object, now: object, path: string): void {
  const difference = firstDifference(stored, now, "");
  if (difference === undefined) return;
  if (isUnknownToRun(difference)) throw begunByOlderVersion(difference[0], path);
  throw differs(...difference, path, "Resume with the options and data of the run, or name another folder.");
}

/** Configuration, recipe and dataset options are stored whole: one that is missing came later. */
function isUnknownToRun([field, stored]: Difference): boolean {
  return stored === undefined && /^(config|training|dataset|split)\.[^.]+$/.test(field);
}

function begunByOlderVersion(field: string, path: string): AstgnnError {
  return new AstgnnError("ERR_CHECKPOINT", `The run in ${path} was begun by an older version, which did not know ${field}.`, {
    option: field,
    file: path,
    next: "Finish it with that version, or train on from its weights: ASTGNNFactorModel.load(\"model.safetensors\"), then train into another folder.",
  });
}

function differs(field: string, stored: unknown, now: unknown, path: string, next: string): AstgnnError {
  return new AstgnnError("ERR_CHECKPOINT", `The run in ${path} has ${field} ${JSON.stringify(stored)}, now it is ${JSON.stringify(now)}.`, { option: field, file: path, next: `${next}${orKeep(path)}` });
}

/** A further way out for a run that cannot be continued and was to replace another; empty for any other run. */
export function orKeep(path: string): string {
  return isReplacement(path) ? " It is an overwrite that was interrupted: remove its folder to continue the run that it was to replace." : "";
}

/** Where two JSON values differ first: a dotted path and both values there. */
export type Difference = [field: string, stored: unknown, now: unknown];

/** The first difference of two JSON values, or undefined. */
export function firstDifference(a: unknown, b: unknown, path: string): Difference | undefined {
  if (a === b) return undefined;
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object" || Array.isArray(a) !== Array.isArray(b)) return [path, a, b];
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  for (const key of new Set([...Object.keys(left), ...Object.keys(right)])) {
    const difference = firstDifference(left[key], right[key], path === "" ? key : `${path}.${key}`);
    if (difference !== undefined) return difference;
  }
  return undefined;
}
