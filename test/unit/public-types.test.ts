import { describe, expect, it } from "vitest";
import type { z } from "zod";
import type {
  ClustersOptions, DatasetDescription, DatasetOptions, DemonstrationOptions, EvaluateOptions, GraphAttentionOptions, InitialisationOptions, Label, ModelOptions, PanelOptions, PanelValues, PeersOptions, PredictOptions, RowMask, RunPeersOptions, SimulationOptions, SplitOptions, TimeGraphConvolutionOptions, TrainOptions,
} from "../../lib/index.js";
import { evaluate, simulateMarket } from "../../lib/index.js";
import type { DescriptionSchema } from "../../lib/data/dataset-options.js";
import { resolveModelOptions } from "../../lib/model/config.js";
import { resolveTrainOptions } from "../../lib/train/options.js";

/** The optional properties of T that a program under exactOptionalPropertyTypes cannot set to undefined. */
type Refusing<T> = T extends unknown ? RefusingOne<T> : never;
type RefusingOne<T> = { [K in keyof T]-?: object extends Pick<T, K> ? (undefined extends Required<T>[K] ? never : K) : never }[keyof T];
/** Compiles only where nothing is refused; what is refused stands in the compiler's message. */
type Accepts<T extends [never]> = T;

/** Without readonly, which zod does not say. */
type Mutable<T> = T extends object ? { -readonly [K in keyof T]: Mutable<T[K]> } : T;

describe("Options under exactOptionalPropertyTypes", () => {
  it("take undefined for what is left out, in their types", () => {
    type All = [
      Accepts<[Refusing<DatasetOptions>]>, Accepts<[Refusing<Label>]>, Accepts<[Refusing<SplitOptions>]>, Accepts<[Refusing<DemonstrationOptions>]>, Accepts<[Refusing<EvaluateOptions>]>, Accepts<[Refusing<GraphAttentionOptions>]>, Accepts<[Refusing<InitialisationOptions>]>, Accepts<[Refusing<ModelOptions>]>,
      Accepts<[Refusing<PanelOptions>]>, Accepts<[Refusing<PredictOptions>]>, Accepts<[Refusing<RowMask>]>, Accepts<[Refusing<SimulationOptions>]>, Accepts<[Refusing<TimeGraphConvolutionOptions>]>, Accepts<[Refusing<TrainOptions>]>,
      Accepts<[Refusing<PeersOptions>]>, Accepts<[Refusing<ClustersOptions>]>, Accepts<[Refusing<RunPeersOptions>]>,
    ];
    // @ts-expect-error: the check itself refuses an option without undefined
    type Narrow = Accepts<[Refusing<{ seed?: number }>]>;
    expect<[All, Narrow] | undefined>(undefined).toBeUndefined();
  });

  it("take it when they are read, as if they were not there", () => {
    const undefinedFor = (names: readonly string[]): Record<string, undefined> => Object.fromEntries(names.map((name) => [name, undefined]));
    const model = resolveModelOptions({});
    expect(resolveModelOptions(undefinedFor([...Object.keys(model.config), "seed", "dtype", "device"]))).toEqual(model);
    const recipe = resolveTrainOptions({});
    expect(resolveTrainOptions(undefinedFor([...Object.keys(recipe).filter((name) => name !== "threadsAreGiven" && name !== "reductionIs"), "seeds", "out", "signal", "onStart", "onStep", "onEpoch", "onWarning", "threads"]))).toEqual(recipe);
    const market = simulateMarket({ stocks: 4, dates: 5 });
    expect(simulateMarket({ ...undefinedFor(Object.keys(market.options)), stocks: 4, dates: 5 })).toEqual(market);
  });
});

it("PanelValues has a shape of two or three numbers", () => {
  const values: PanelValues = { data: Float32Array.of(1, 2), shape: [1, 2], dates: ["2020-01-02"], tickers: ["A", "B"] };
  const [dates, stocks]: readonly number[] & { 0: number; 1: number } = values.shape;
  expect([dates, stocks, evaluate(values, values).dates]).toEqual([1, 2, 1]);
  // @ts-expect-error: not one
  const wrong: PanelValues["shape"] = [1];
  expect(wrong).toHaveLength(1);
});

it("a description has the types of what is read back from a checkpoint", () => {
  const stored = {} as z.output<typeof DescriptionSchema>;
  const description: DatasetDescription = stored;
  const readable: z.input<typeof DescriptionSchema> = description as Mutable<DatasetDescription>;
  expect(readable).toBe(stored);
});
