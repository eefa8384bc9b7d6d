import { invalidOption } from "./errors.js";

/** Options that belong together, by the call that takes them. */
export interface Preset {
  /** Of `panel.dataset`. */
  readonly dataset: Readonly<Record<string, unknown>>;
  /** Of `new ASTGNNFactorModel`. */
  readonly model: Readonly<Record<string, unknown>>;
  /** Of `train`. */
  readonly training: Readonly<Record<string, unknown>>;
}

/** What a stock did over two years, in inputs that look back by themselves; docs/peers.md has why. */
const INPUTS = { features: ["ohlcv", "loadings", "style"], loadings: { window: 480, halfLife: 300, count: 40 }, window: 1 } as const;
const OWN_PART = { labelTransform: { transform: "rank", neutralise: ["loadings"] } } as const;
/** An A that is sharp from the first step, room in M for the loadings, and a convolution of what peers did, not only of what the state kept of it. */
const GRAPH = { numRiskFactors: 64, similarityScale: 1, excludeSelf: true, relationalInput: "both", relationalSkip: true } as const;
const CO_MOVEMENT = { name: "coMovement", weight: 4 } as const;

/**
 * The presets, by name. `peers`: A finds who moves with whom, and the head uses it. `alpha`: three factor units of what similar stocks do not share. `momentum`:
 * what similar stocks did, for markets where one follows the other. docs/peers.md and docs/recipes.md have what they do.
 *
 * @example
 * console.log(presets.peers.model); // what preset: "peers" means for a model
 */
export const presets = {
  peers: {
    dataset: { ...INPUTS, ...OWN_PART },
    model: GRAPH,
    training: { loss: { terms: [{ name: "ic" }, CO_MOVEMENT] }, epochs: 2 },
  },
  alpha: {
    dataset: { ...INPUTS, ...OWN_PART },
    model: { ...GRAPH, relationalInput: "state", tgcModes: ["subtract"], numPredictions: 3 },
    training: {
      loss: { terms: [...([0, 1, 2] as const).map((prediction) => ({ name: "ic", prediction, horizon: 0 }) as const), { name: "decorrelation" }, CO_MOVEMENT] },
      epochs: 3,
    },
  },
  momentum: {
    dataset: INPUTS,
    model: { ...GRAPH, tgcModes: ["add"] },
    training: { loss: { terms: [{ name: "ic" }, CO_MOVEMENT] }, epochs: 3 },
  },
} as const satisfies Readonly<Record<string, Preset>>;

/** Name of a preset. */
export type PresetName = keyof typeof presets;

/**
 * What was written, over the options of the preset that it names. An option that is written counts, whole; of `loadings` and `labelTransform`, which are objects
 * of options, each property by itself. The result names no preset.
 *
 * @throws AstgnnError ERR_OPTION for a preset that there is not
 */
export function withPreset(part: keyof Preset, written: unknown): unknown {
  if (!isObject(written) || !("preset" in written)) return written;
  const { preset, ...own } = written;
  if (preset === undefined) return own;
  if (typeof preset !== "string" || !Object.hasOwn(presets, preset)) {
    throw invalidOption("preset", Object.keys(presets).map((name) => `"${name}"`).join(" or "), preset);
  }
  return overlaid(presets[preset as PresetName][part], own);
}

function overlaid(usual: Readonly<Record<string, unknown>>, own: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const all: Record<string, unknown> = { ...usual };
  for (const [name, value] of Object.entries(own)) {
    const before = usual[name];
    if (value === undefined && before !== undefined) continue;
    // A loss with other terms is another loss; the options of a set of features are separate options.
    all[name] = isObject(value) && isObject(before) && !("terms" in before) ? overlaid(before, value) : value;
  }
  return all;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
