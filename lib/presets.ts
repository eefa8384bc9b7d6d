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

/**
 * The presets, by name. `peers`: A finds who moves with whom, and the head uses it. docs/peers.md has what it does on real prices.
 *
 * @example
 * console.log(presets.peers.model); // what preset: "peers" means for a model
 */
export const presets = {
  peers: {
    dataset: {
      features: ["ohlcv", "loadings", "style"],
      loadings: { window: 480, halfLife: 300, count: 40 },
      window: 1,
      labelTransform: { transform: "rank", neutralise: ["loadings"] },
    },
    model: { numRiskFactors: 64, similarityScale: 1, excludeSelf: true, relationalInput: "state", relationalSkip: true },
    training: { loss: { terms: [{ name: "ic" }, { name: "coMovement", weight: 4 }] }, epochs: 2 },
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
