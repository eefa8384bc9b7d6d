import { expect, test } from "vitest";
import { loadCore } from "../../lib/binding/load.js";
import { prepareCore, type NativeError } from "../../lib/binding/native-errors.js";
import type { NativeTensor } from "../../lib/binding/types.js";
import { AstgnnError } from "../../lib/errors.js";
import { schedule, tiny, tinyConfig, tinyOptions, tinyPanelData } from "./tiny.js";

const core = loadCore();
const any = (value: unknown): never => value as never;

function refused(call: () => unknown): AstgnnError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(AstgnnError);
    return error as AstgnnError;
  }
  throw new Error("nothing was thrown");
}

const { model, panel } = tiny(core);
const tensor = core.tensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
// Two rows on the first of two dates and one on the second.
const targetsInput = {
  dates: 2, stocks: 3, offsets: Int32Array.of(0, 2, 3), rowStocks: Int32Array.of(0, 2, 1), labels: new Float32Array(6), lagDays: 0, reach: [1], lastPriced: new Int32Array(3), sampleDates: Int32Array.of(0), transform: "none" as const,
};
// Features of the same in a file; the first stock never lives.
const packed = {
  file: import.meta.filename, offset: 0, dates: 2, stocks: 3, featureCount: 1, slots: 2, slot: Int32Array.of(-1, 0, 1), from: new Int32Array(3), last: Int32Array.of(-1, 1, 1), until: Int32Array.of(-1, 1, 1),
};
const cases: [string, () => unknown, string, RegExp][] = [
  ["a tensor of text", () => core.tensor(any("abc"), [3]), "ERR_OPTION", /Expected a typed array for data but received "abc" of type string/],
  ["a tensor of an unsupported array", () => core.tensor(any(new Uint16Array(3)), [3]), "ERR_OPTION", /Float32Array, Float64Array, Int32Array or BigInt64Array/],
  ["a shape that is no array", () => core.tensor(Float32Array.of(1), any(1)), "ERR_OPTION", /an array of whole numbers for shape/],
  ["a negative size", () => core.tensor(Float32Array.of(1), [-1]), "ERR_OPTION", /shape\[0\] but received -1/],
  ["a fractional size", () => core.tensor(Float32Array.of(1), [0.5]), "ERR_OPTION", /a whole number/],
  ["a shape that does not fit", () => core.tensor(Float32Array.of(1, 2, 3), [2, 2]), "ERR_SHAPE", /Expected 4 values for this shape but the array has 3/],
  ["a shape that overflows", () => core.tensor(Float32Array.of(1), [2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1]), "ERR_SHAPE", /2147483647 x 2147483647 x 2147483647 values for this shape are more than memory can hold/],
  ["a file's array of fewer bytes than 64 bits count, if they wrap around", () => core.mapTensor({ file: import.meta.filename, offset: 0, shape: [384773, 247385, 48448661] }), "ERR_SHAPE", /^384773 x 247385 x 48448661 x 4 values for this shape are more than memory can hold\.$/],
  ["slots of a file that hold a stock which never lives", () => core.mapFeatures({ ...packed, until: Int32Array.of(1, 1, 1) }), "ERR_DATA", /slots of the packed features contradict/],
  ["a label's row of a stock that is not there", () => core.sampleTargets({ ...targetsInput, rowStocks: Int32Array.of(0, 3, 1) }, 1), "ERR_SHAPE", /rowStocks that ascend on each date, below stocks/],
  ["a label's row twice", () => core.sampleTargets({ ...targetsInput, rowStocks: Int32Array.of(2, 2, 1) }, 1), "ERR_SHAPE", /rowStocks that ascend on each date/],
  ["exposures without those of a row", () => core.sampleTargets({ ...targetsInput, neutral: { exposures: core.mapFeatures(packed), clip: 0 } }, 1), "ERR_SHAPE", /exposures of every row/],
  ["loadings of fewer values than 64 bits count, if they wrap around", () => core.panelFeatures(any({ dates: 1, stocks: 2 ** 18, universe: new Uint8Array(2 ** 18), loadings: { count: 2 ** 16, refreshes: 2 ** 30, values: new Float32Array(0) } }), 1, () => {}), "ERR_SHAPE", /^1073741824 x 65536 x 262144 values for loadings are more than memory can hold\.$/],
  ["a model of nothing", () => core.createModel(any(undefined), "float32", 0), "ERR_OPTION", /Expected an object for config/],
  ["an unknown dtype", () => core.createModel(tinyConfig(), any("float16"), 0), "ERR_OPTION", /"float32" or "float64" for dtype/],
  ["a negative seed", () => core.createModel(tinyConfig(), "float32", -1), "ERR_OPTION", /for seed but received -1/],
  ["heads that do not divide", () => core.createModel(tinyConfig({ gatNumHeads: 3 }), "float32", 0), "ERR_", /heads/i],
  ["an unknown residual", () => core.createModel(tinyConfig({ gatResidual: any("plus") }), "float32", 0), "ERR_", /residual/i],
  ["a panel whose size overflows", () => core.createPanel({ ...tinyPanelData(), dates: 2 ** 30, stocks: 2 ** 30, featureCount: 2 ** 4, features: new Float32Array(0) }), "ERR_SHAPE", /^1073741824 x 1073741824 x 16 values for features are more than memory can hold\.$/],
  ["a panel with too few features", () => core.createPanel({ ...tinyPanelData(), features: new Float32Array(5) }), "ERR_SHAPE", /values for features but the array has 5/],
  ["row offsets that fall", () => core.createPanel({ ...tinyPanelData(), rowOffsets: new Int32Array(13).fill(9) }), "ERR_", /row_?\s?offsets/i],
  ["a row of a stock that is not there", () => core.createPanel({ ...tinyPanelData(), rowStocks: new Int32Array(63).fill(99) }), "ERR_", /stock/i],
  ["a row without a whole window", () => core.createPanel({ ...tinyPanelData(), window: 9 }), "ERR_", /window/i],
  ["edges without edges", () => core.createPanel({ ...tinyPanelData(), graph: "edges" }), "ERR_", /edge/i],
  ["a session on a panel", () => core.createSession(any(panel), panel, tinyOptions()), "ERR_OPTION", /Expected a NativeModule for model/],
  ["a session on a plain object", () => core.createSession(any({}), panel, tinyOptions()), "ERR_OPTION", /Expected a NativeModule for model/],
  ["a session with an unknown term", () => core.createSession(model, panel, any({ ...tinyOptions(), objective: [{ name: "sharpe" }] })), "ERR_OPTION", /"mse" or "ic"/],
  ["a prediction that the model has not", () => core.createSession(model, panel, tinyOptions({ objective: [{ ...tinyOptions().objective[0]!, predictions: [4] }] })), "ERR_OPTION", /prediction 4 is not in/],
  ["a date that is not there", () => core.predict(model, panel, { dates: Int32Array.of(12), riskFactors: false, threads: 1 }), "ERR_OPTION", /date indices from 0 to 11/],
  ["no threads", () => core.predict(model, panel, { dates: Int32Array.of(3), riskFactors: false, threads: 0 }), "ERR_OPTION", /for threads but received 0/],
  ["a model of another width", () => core.predict(core.createModel(tinyConfig({ sequentialInputSize: 5 }), "float32", 0), panel, { dates: Int32Array.of(3), riskFactors: false, threads: 1 }), "ERR_SHAPE", /takes 5 features/],
  ["a getter on a handle of another kind", () => Object.getOwnPropertyDescriptor(Object.getPrototypeOf(tensor), "shape")!.get!.call(panel), "ERR_OPTION", /NativeTensor/],
  ["a handle made by its constructor", () => (new (tensor.constructor as new () => NativeTensor)()).toTypedArray(), "ERR_OPTION", /NativeTensor/],
  ["a state of plain arrays", () => model.loadStateDict(any({ a: [1] })), "ERR_OPTION", /Expected a NativeTensor for a/],
  ["an incomplete state", () => model.loadStateDict({}), "ERR_SHAPE", /factor_extractor/],
  ["inputs that are no tensors", () => model.forward(any([1]), { offsets: Int32Array.of(0) }), "ERR_OPTION", /Expected a NativeTensor for inputs\[0\]/],
  ["an input of the wrong rank", () => model.forward([tensor], { offsets: Int32Array.of(0, 2) }), "ERR_SHAPE", /Expected 3 dimensions for inputs\[0\]/],
  ["offsets that do not cover the rows", () => model.forward([core.tensor(new Float32Array(24), [4, 2, 3])], { offsets: Int32Array.of(0, 1) }), "ERR_SHAPE", /rise from 0 to the number of rows/],
  ["an edge across dates", () => model.forward([core.tensor(new Float32Array(24), [4, 2, 3])], { offsets: Int32Array.of(0, 1, 2), edgeOffsets: Int32Array.of(0, 1, 1), edgeTargets: Int32Array.of(1) }), "ERR_SHAPE", /leaves its date/],
];

test.each(cases)("refuses %s", (_, call, code, message) => {
  const error = refused(call);
  expect(error.code.startsWith(code)).toBe(true);
  expect(error.message).toMatch(message);
  expect(error.message).not.toMatch(/frame #|c10::|Exception raised/);
});

test("V8 itself refuses a method on a foreign this", () => {
  expect(() => tensor.toTypedArray.call(any({}))).toThrow(TypeError);
  expect(() => tensor.toTypedArray.call(any(model))).toThrow(TypeError);
});

test("a detached buffer counts as empty", () => {
  const data = Float32Array.of(1, 2);
  structuredClone(data, { transfer: [data.buffer as ArrayBuffer] });
  expect(refused(() => core.tensor(data, [2])).code).toBe("ERR_SHAPE");
});

test("a buffer detached after the call changes nothing", async () => {
  const data = tinyPanelData();
  const held = core.createPanel(data);
  const features = data.features as Float32Array;
  structuredClone(features, { transfer: [features.buffer as ArrayBuffer] });
  const options = { dates: Int32Array.of(5), riskFactors: false, threads: 1 };
  expect((await core.predict(model, held, options).done).predictions).toEqual((await core.predict(model, panel, options).done).predictions);
});

test("use after dispose is an error, dispose twice is not", () => {
  const gone = core.tensor(Float32Array.of(1), [1]);
  gone.dispose();
  gone.dispose();
  expect(gone.disposed).toBe(true);
  expect(refused(() => gone.toTypedArray()).code).toBe("ERR_DISPOSED");
  expect(refused(() => gone.shape).code).toBe("ERR_DISPOSED");
});

test("a session outlives the disposal of its model and panel until its job is done", async () => {
  const { model, panel } = tiny(core);
  const session = core.createSession(model, panel, tinyOptions());
  const job = session.run(schedule(20), 1, () => {});
  model.dispose();
  panel.dispose();
  session.dispose();
  await job.done;
});

test("a model in training is busy for everything that would touch its weights", async () => {
  const { model, panel } = tiny(core);
  const session = core.createSession(model, panel, tinyOptions());
  const second = core.createSession(model, panel, tinyOptions());
  const job = session.run(schedule(50), 1, () => {});
  expect(refused(() => model.stateDict()).code).toBe("ERR_BUSY");
  expect(refused(() => model.loadStateDict({})).code).toBe("ERR_BUSY");
  expect(refused(() => second.run(schedule(1), 1, () => {})).code).toBe("ERR_BUSY");
  await job.done;
  expect(Object.keys(model.stateDict()).length).toBeGreaterThan(10);
});

test("a job that cannot start leaves its model free", async () => {
  const wide = core.createModel(tinyConfig({ numPredictions: 2 ** 20, predictionHiddenSizes: [1] }), "float64", 0);
  // 28 million rows of a million predictions: 235 TB.
  const dates = new Int32Array(4_000_000).fill(5);
  expect(refused(() => core.predict(wide, panel, { dates, riskFactors: false, threads: 1 })).code).toBe("ERR_OUT_OF_MEMORY");
  expect(wide.stateDict()["prediction.output.bias"]!.shape).toEqual([2 ** 20]);
});

test("an error factory that throws leaves no promise pending", async () => {
  const { model, panel } = tiny(core);
  const session = core.createSession(model, panel, tinyOptions());
  core.setErrorFactory(() => {
    throw new Error("from the factory");
  });
  try {
    const job = session.run(schedule(100_000), 1, () => {});
    job.cancel();
    await expect(job.done).rejects.toMatchObject({ code: "ERR_ABORTED", message: "The job was cancelled." });
    expect(() => core.tensor(any("abc"), [3])).toThrow(/Expected a typed array for data/);
  } finally {
    prepareCore(core);
  }
});

test("cancel stops within one step and the promise is rejected with the caller's stack", async () => {
  const { model, panel } = tiny(core);
  const session = core.createSession(model, panel, tinyOptions());
  let seen = 0;
  const job = session.run(schedule(100_000), 1, () => {
    if (++seen === 3) job.cancel();
  });
  const error = await job.done.catch((reason: unknown) => reason as AstgnnError);
  expect(error).toBeInstanceOf(AstgnnError);
  expect((error as AstgnnError).code).toBe("ERR_ABORTED");
  expect((error as AstgnnError).stack).toContain("abuse.test");
  expect(session.steps).toBeLessThan(100_000);
});

test("a throwing step callback does not end the process or the job", async () => {
  const { model, panel } = tiny(core);
  const session = core.createSession(model, panel, tinyOptions());
  await session.run(schedule(5), 1, () => {
    throw new Error("from the callback");
  }).done;
  expect(session.steps).toBe(5);
});

test("a loss that is not finite stops at its step, names date and term and leaves the weights", async () => {
  const { model, panel } = tiny(core);
  model.loadStateDict({ ...model.stateDict(), "prediction.output.bias": core.tensor(Float32Array.of(NaN), [1]) });
  const before = model.stateDict()["prediction.output.weight"]!.toTypedArray();
  const session = core.createSession(model, panel, tinyOptions());
  const error = await session.run(schedule(3), 1, () => {}).done.catch((reason: unknown) => reason as NativeError);
  expect(error).toMatchObject({ code: "ERR_NOT_FINITE", step: 1, dateIndex: 3, term: "ic" });
  expect(model.stateDict()["prediction.output.weight"]!.toTypedArray()).toEqual(before);
  expect(session.steps).toBe(0);
});
