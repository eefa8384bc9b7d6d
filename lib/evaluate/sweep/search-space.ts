import { AstgnnError, invalidOption, show } from "../../errors.js";
import { below, randomBits, type RandomBits } from "../../metrics/random.js";

/** What a trial sets, by the name of a flag of `astgnn train` without its dashes. */
export type Settings = Readonly<Record<string, unknown>>;

/** The values of one flag: a list, or a range to draw from, both ends included. */
type Choices = readonly unknown[] | { readonly uniform: Range } | { readonly log: Range } | { readonly integer: Range };
type Range = readonly [low: number, high: number];

/** The flags that trials differ in. */
export type SearchSpace = Readonly<Record<string, Choices>>;

/** Draws in a row that may give nothing new. */
const PATIENCE = 1000;

/** @throws AstgnnError ERR_OPTION naming the flag whose values are no list and no range */
export function parseSearchSpace(value: unknown): SearchSpace {
  if (typeof value !== "object" || value === null || Array.isArray(value) || Object.keys(value).length === 0) {
    throw invalidOption("vary", 'an object of flags and their values, {"loss":["ic","mse"]},', value);
  }
  for (const [flag, choices] of Object.entries(value as Record<string, unknown>)) {
    if (Array.isArray(choices) ? choices.length > 0 : isRange(choices)) continue;
    throw invalidOption(`vary.${flag}`, 'a list of values, or {"uniform":[low,high]}, {"log":[low,high]} or {"integer":[low,high]} with low < high (log: above 0),', choices);
  }
  return value as SearchSpace;
}

function isRange(choices: unknown): boolean {
  if (typeof choices !== "object" || choices === null) return false;
  const [[kind, range] = [], ...others] = Object.entries(choices);
  if (others.length > 0 || !["uniform", "log", "integer"].includes(kind!) || !Array.isArray(range) || range.length !== 2) return false;
  const [low, high] = range as unknown[];
  if (!Number.isFinite(low) || !Number.isFinite(high) || (low as number) >= (high as number)) return false;
  return kind === "log" ? (low as number) > 0 : kind === "uniform" || (Number.isSafeInteger(low) && Number.isSafeInteger(high));
}

/** Every combination, the last flag changing fastest. @throws AstgnnError ERR_OPTION where a flag has a range */
export function gridOf(space: SearchSpace): Settings[] {
  let settings: Settings[] = [{}];
  for (const [flag, choices] of Object.entries(space)) {
    if (!isList(choices)) throw new AstgnnError("ERR_OPTION", `A grid needs lists, and vary.${flag} is the range ${show(choices)}.`, { option: `vary.${flag}`, next: "List its values, or draw trials with random." });
    settings = settings.flatMap((before) => choices.map((value) => ({ ...before, [flag]: value })));
  }
  return settings;
}

/**
 * Independent draws of every flag, none twice; the same for the same seed.
 *
 * @throws AstgnnError ERR_OPTION where the space holds fewer
 */
export function drawFrom(space: SearchSpace, count: number, seed: number): Settings[] {
  const random = randomBits(seed, 0);
  const found = new Map<string, Settings>();
  for (let failures = 0; found.size < count; failures++) {
    if (failures === PATIENCE) throw new AstgnnError("ERR_OPTION", `${count} trials are to be drawn, and ${found.size} different ones were found.`, { option: "random", next: "Ask for fewer, or leave random out to try every combination." });
    const settings = Object.fromEntries(Object.entries(space).map(([flag, choices]) => [flag, draw(choices, random)]));
    const key = JSON.stringify(settings);
    if (found.has(key)) continue;
    found.set(key, settings);
    failures = -1;
  }
  return [...found.values()];
}

function draw(choices: Choices, random: RandomBits): unknown {
  if (isList(choices)) return choices[below(random, choices.length)];
  const share = (random() + 0.5) / 2 ** 32;
  if ("integer" in choices) return choices.integer[0] + Math.floor(share * (choices.integer[1] - choices.integer[0] + 1));
  const [low, high] = "log" in choices ? choices.log : choices.uniform;
  return short("log" in choices ? low * (high / low) ** share : low + (high - low) * share);
}

/** Four digits: what a person reads is what is used. */
function short(value: number): number {
  return Number(value.toPrecision(4));
}

function isList(choices: Choices): choices is readonly unknown[] {
  return Array.isArray(choices);
}
