import type { Dataset, DatasetDescription } from "../data/types.js";
import { AstgnnError, nearest, show } from "../errors.js";
import { requireObject } from "../options.js";
import { requireDataset } from "../data/given.js";
import { needsGroups, type ModelConfig } from "./config.js";

/** Differences that a message names; the rest is counted. */
const NAMED = 8;

/**
 * Checks that a dataset has what an architecture takes.
 *
 * @throws AstgnnError ERR_DATA for another number of features, or where groups are needed and there are none
 */
export function checkShape(config: ModelConfig, dataset: Dataset): void {
  const names = dataset.featureNames;
  if (names.length !== config.sequentialInputSize) {
    throw new AstgnnError("ERR_DATA", `The model takes ${config.sequentialInputSize} features per stock (sequentialInputSize) but the dataset has ${names.length}.`, {
      next: "Make the model with sequentialInputSize: dataset.featureNames.length.",
    });
  }
  if (needsGroups(config) && dataset.groups === undefined) {
    throw new AstgnnError("ERR_DATA", 'The model links stocks of one group only (similarityGraph: "groups") but the dataset has no groups.', {
      option: "similarityGraph",
      next: "Give the dataset a group column or file, or make the model with similarityGraph: \"complete\".",
    });
  }
}

/**
 * Checks that a dataset was prepared as the data that a model was trained on: features and their order, window, processors and their
 * fitted statistics, graph, label and its transform. Which dates and stocks it has is free.
 *
 * @param purpose what the model is wanted for: the way out differs
 * @throws AstgnnError ERR_DATA naming every field that differs, with both values
 */
export function checkPreparation(description: DatasetDescription, dataset: Dataset, purpose: "predict" | "train"): void {
  const next = purpose === "predict"
    ? "Build it with await panel.dataset({ description: model.dataset })."
    : "Build it with await panel.dataset({ description: model.dataset, split }), or pass fineTune: true to train on it as it is.";
  checkFeatureNames(description.featureNames, dataset.featureNames, next);
  if (description.window !== dataset.window) {
    throw new AstgnnError("ERR_DATA", `The model was trained on windows of ${description.window} dates but the dataset has ${dataset.window}.`, { option: "window", next });
  }
  const differences = differencesOf(description, dataset.describe());
  if (differences.length === 0) return;
  const named = differences.slice(0, NAMED).map(({ field, model, data }) => `${field} is ${valueText(data)}, the model's ${valueText(model)}`);
  const more = differences.length > NAMED ? `; and ${differences.length - NAMED} more` : "";
  throw new AstgnnError("ERR_DATA", `The dataset was prepared otherwise than the data that the model was trained on: ${named.join("; ")}${more}.`, { option: differences[0]!.field, next });
}

/**
 * Checks that a dataset has what a model takes and, where the model was trained, that it was prepared as the data of its training.
 *
 * @throws AstgnnError ERR_DATA, ERR_OPTION for what is no model or no dataset
 */
export function checkDataset(model: { readonly config: ModelConfig; readonly dataset: DatasetDescription | undefined }, dataset: Dataset): void {
  requireObject(model, "model", "an ASTGNNFactorModel", "config", "parameterCount");
  requireDataset(dataset);
  if (model.dataset !== undefined) checkPreparation(model.dataset, dataset, "predict");
  checkShape(model.config, dataset);
}

interface Difference {
  readonly field: string;
  readonly model: unknown;
  readonly data: unknown;
}

/** Field by field. `maxDropped` says what is refused, not how the rest is prepared; a field that the model's version did not have is left out. */
function differencesOf(model: DatasetDescription, data: DatasetDescription): Difference[] {
  const fields = Object.keys(model).filter((field) => field !== "maxDropped") as (keyof DatasetDescription)[];
  return fields.flatMap((field) => compare(model[field], data[field], field));
}

function compare(model: unknown, data: unknown, field: string): Difference[] {
  if (Object.is(model, data)) return [];
  const isNested = (value: unknown): value is object => value !== null && typeof value === "object";
  if (!isNested(model) || !isNested(data) || Array.isArray(model) !== Array.isArray(data)) return [{ field, model, data }];
  const [left, right] = [model as Record<string, unknown>, data as Record<string, unknown>];
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].flatMap((key) =>
    compare(left[key], right[key], Array.isArray(model) ? `${field}[${key}]` : `${field}.${key}`),
  );
}

function valueText(value: unknown): string {
  return value === undefined ? "none" : show(value);
}

function checkFeatureNames(expected: readonly string[], found: readonly string[], next: string): void {
  const missing = expected.filter((name) => !found.includes(name));
  if (missing.length > 0) {
    const near = nearest(missing[0]!, found);
    throw new AstgnnError("ERR_DATA", `The dataset lacks ${missing.length} of the ${expected.length} features the model was trained on: ${missing.join(", ")}.`, {
      column: missing[0]!,
      next: near === undefined ? next : `Is ${near} meant to be ${missing[0]}? ${next}`,
    });
  }
  const at = expected.findIndex((name, f) => name !== found[f]);
  if (at >= 0 || found.length !== expected.length) {
    throw new AstgnnError("ERR_DATA", `The dataset's features are ${found.join(", ")} but the model was trained on ${expected.join(", ")}, in this order.`, { option: "features", next });
  }
}
