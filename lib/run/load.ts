import { existsSync } from "node:fs";
import { join } from "node:path";
import { AstgnnError } from "../errors.js";
import type { InitialisationOptions } from "../model/config.js";
import { ASTGNNFactorModel } from "../model/model.js";
import { readDescription } from "./description.js";
import { Ensemble } from "./ensemble.js";
import { awaitReplacement } from "./replacement.js";

/**
 * Loads the model of a run folder, or every member of an ensemble's.
 *
 * @param options `device`: as for a new model.
 * @example
 * using scorer = await loadRun("runs/first");
 * const { predictions } = await scorer.predict(dataset.test);
 * @throws AstgnnError ERR_CHECKPOINT where the folder holds no run, or a run without a model yet
 */
export async function loadRun(folder: string, options: Pick<InitialisationOptions, "device"> = {}): Promise<ASTGNNFactorModel | Ensemble> {
  await awaitReplacement(folder);
  const description = await readDescription(folder);
  if (description.kind !== "ensemble") return loadMember(folder, options);
  const members: ASTGNNFactorModel[] = [];
  try {
    for (const name of description.members ?? []) members.push(await loadMember(join(folder, name), options));
    return new Ensemble(members);
  } catch (error) {
    for (const member of members) member.dispose();
    throw error;
  }
}

async function loadMember(folder: string, options: Pick<InitialisationOptions, "device">): Promise<ASTGNNFactorModel> {
  const path = join(folder, "model.safetensors");
  if (!existsSync(path)) {
    throw new AstgnnError("ERR_CHECKPOINT", `The run in ${folder} has no model yet: it was stopped before the end of its first epoch.`, { file: path, next: "Continue it with resume." });
  }
  return ASTGNNFactorModel.load(path, options);
}
