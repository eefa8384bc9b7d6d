import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { AstgnnError } from "../errors.js";
import type { FactorForm } from "../risk/factor-form.js";
import { readRisk, RISK_FILE } from "../risk/risk-file.js";

/** The risk model that `astgnn risk` or {@link RiskModel.save} stored: a folder with risk.safetensors, or the file itself. */
export interface StoredRisk {
  readonly risk: string;
  /** YYYY-MM-DD; refused where the stored model is of another date. Default: the date it is of. */
  readonly date?: string | undefined;
}

/** @throws AstgnnError ERR_DATA where there is no file, or it is of another date; ERR_CHECKPOINT where it is no risk model */
export async function readStoredRisk({ risk, date }: StoredRisk): Promise<{ form: FactorForm; file: string }> {
  const folder = await stat(risk).catch(() => undefined);
  const file = folder?.isDirectory() === true ? join(risk, RISK_FILE) : risk;
  const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new AstgnnError("ERR_DATA", `There is no risk model at ${file}: ${cause.message}.`, { file, option: "risk", cause, next: "Run astgnn risk --run on that folder first, which stores one." });
  });
  const { form } = readRisk(bytes);
  if (form === undefined) throw new AstgnnError("ERR_DATA", `The risk model in ${file} has too few dates for a covariance.`, { file, option: "risk", next: "Update it with more dates." });
  if (date !== undefined && form.date !== date) {
    throw new AstgnnError("ERR_DATA", `The risk model in ${file} is of ${form.date}, not of ${date}.`, { file, option: "date", date, next: `Leave the date out, or make the covariance of another date: optimise({ covariance: (await riskModel(run, panel, { date: "${date}" })).form() }).` });
  }
  return { form, file };
}
