import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { ASTGNNFactorModel, openPanel, train, type DatasetOptions, type Panel } from "../../lib/index.js";
import { loadCore } from "../../lib/binding/load.js";
import { csv, Folder, priceRows, weekdays } from "../unit/data-tables.js";

const folder = new Folder();
afterAll(() => folder.remove());

const DAYS = 300;
const days = weekdays(DAYS);
const split = { trainEnd: days[200]!, validEnd: days[250]! };
const options = { window: 3, split, maxDropped: 1 } as const satisfies DatasetOptions;
const file = folder.write("prices.csv", csv(priceRows({ days: DAYS, stocks: 8 })));
const open = (): Promise<Panel> => openPanel(file, { onWarning: () => undefined });
let panel: Panel;

beforeAll(async () => {
  panel = await open();
});
afterEach(() => void vi.restoreAllMocks());

describe("panel.dataset", () => {
  it("tells how many dates are done, up to all of them", async () => {
    const told: number[] = [];
    using dataset = await (await open()).dataset({ ...options, threads: 1, onProgress: ({ dates, of }) => void told.push(dates / of) });
    expect(told.length).toBeGreaterThan(3);
    expect(told).toEqual([...told].sort((a, b) => a - b));
    expect(told.at(-1)).toBe(1);
    expect(dataset.options).not.toHaveProperty("threads");
  });

  it("stops where its signal says so, with name AbortError, and works the next time", async () => {
    const reason = new Error("enough");
    const other = await open();
    const stop = new AbortController();
    const stopped = other.dataset({ ...options, threads: 1, signal: stop.signal, onProgress: () => stop.abort(reason) });
    await expect(stopped).rejects.toMatchObject({ name: "AbortError", code: "ERR_ABORTED", cause: reason });
    await expect(other.dataset({ ...options, signal: AbortSignal.abort(reason) })).rejects.toMatchObject({ name: "AbortError", cause: reason });
    using dataset = await other.dataset(options);
    expect(dataset.train.dates.length).toBeGreaterThan(0);
  });

  it("rejects with what onProgress throws", async () => {
    const told = (await open()).dataset({ ...options, threads: 1, onProgress: () => { throw new RangeError("no more"); } });
    await expect(told).rejects.toThrow(new RangeError("no more"));
  });

  it("makes features once for datasets that have the same, whatever their window, label and split", async () => {
    const made = vi.spyOn(loadCore(), "panelFeatures");
    const other = await open();
    const [first, second] = await Promise.all([other.dataset(options), other.dataset({ ...options, window: 5, label: { horizonDays: 5 }, split: { fractions: [0.5, 0.2, 0.3] } })]);
    expect(made).toHaveBeenCalledTimes(1);
    expect(second.features).toEqual(first.features);
    const fitted = await other.dataset({ ...options, processors: ["standardize", "fill"] });
    const refitted = await other.dataset({ ...options, processors: ["standardize", "fill"], split: { trainEnd: days[180]!, validEnd: days[250]! } });
    expect(made).toHaveBeenCalledTimes(3);
    expect(refitted.describe().processors).not.toEqual(fitted.describe().processors);
    for (const dataset of [first, second, fitted, refitted]) dataset.dispose();
  });

  it("keeps the newest features for the next dataset, and frees others with their last dataset", async () => {
    const other = await open();
    const made = vi.spyOn(loadCore(), "panelFeatures");
    (await other.dataset(options)).dispose();
    const again = await other.dataset(options);
    expect(made).toHaveBeenCalledTimes(1);
    (await other.dataset({ ...options, processors: ["zscore", "fill"] })).dispose();
    const shared = await other.dataset(options);
    expect(made).toHaveBeenCalledTimes(2);
    again.dispose();
    expect(shared.features.length).toBe(DAYS * 8 * 20);
    shared.dispose();
    (await other.dataset({ ...options, processors: ["zscore", "fill"] })).dispose();
    (await other.dataset(options)).dispose();
    expect(made).toHaveBeenCalledTimes(4);
  });
});

describe("a disposed dataset", () => {
  it("is used no more, and one that shares its features is as before", async () => {
    using model = new ASTGNNFactorModel({ sequentialInputSize: 20, gruHiddenSize: 4, gatHiddenSize: 8, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 4, predictionHiddenSizes: [8] });
    const gone = await panel.dataset(options);
    using kept = await panel.dataset(options);
    const before = (await model.predict(kept.test)).predictions.data;
    // A copy: the core's features stay.
    gone.features.fill(0);
    gone.dispose();
    gone.dispose();
    expect(gone.disposed).toBe(true);
    expect(() => gone.features).toThrowError(expect.objectContaining({ code: "ERR_DISPOSED" }));
    await expect(model.predict(gone.test)).rejects.toMatchObject({ code: "ERR_DISPOSED" });
    await expect(train(model, gone, { epochs: 1 })).rejects.toMatchObject({ code: "ERR_DISPOSED" });
    expect((await model.predict(kept.test)).predictions.data).toEqual(before);
  });

  it("lets a prediction under way end", async () => {
    using model = new ASTGNNFactorModel({ sequentialInputSize: 20 });
    const dataset = await panel.dataset(options);
    const expected = (await model.predict(dataset.test)).predictions.data;
    const predicting = model.predict(dataset.test);
    dataset.dispose();
    expect((await predicting).predictions.data).toEqual(expected);
  });
});
