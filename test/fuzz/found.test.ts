import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { tableFromArrays, tableToIPC } from "@uwdata/flechette";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ASTGNNFactorModel, audit, averagePredictions, backtest, clusters, evaluate, evaluatePredictions, explainDay, loadRun, marketOf, openPack, openPanel, optimise, pack, pairedDifference, Panel, peers, readSafetensors, RiskModel, riskModel, sampleCovariances, similar, Tensor, train, writeSafetensors,
} from "../../lib/index.js";
import { writePlan, readPlan } from "../../lib/evaluate/sweep/plan-file.js";
import { loadingsOf } from "../../lib/model/loadings-file.js";
import { readEpochs } from "../../lib/run/epochs-file.js";
import { headerOf, signed } from "./signed-pack.js";

// What fuzzing has found, each as small as it gets.
const folder = mkdtempSync(join(tmpdir(), "astgnn-found-"));
const at = (name: string): string => join(folder, name);
const sizes = { sequentialInputSize: 2, gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4] };
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function safetensors(header: unknown): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

describe("damaged files of a model are refused", () => {
  let weights: Uint8Array;
  beforeAll(async () => {
    using model = new ASTGNNFactorModel(sizes);
    await model.save(at("model.safetensors"));
    weights = readFileSync(at("model.safetensors"));
  });

  it.each([null, [], "text", 1])("safetensors with metadata %j", (metadata) => {
    expect(() => readSafetensors(safetensors({ __metadata__: metadata }))).toThrow("its metadata are no JSON object");
  });

  it("safetensors with a metadata key that objects know", () => {
    const { metadata } = readSafetensors(new TextEncoder().encode(`${"%".padEnd(8, "\u0000")}{"__metadata__":{"__proto__":"x"}}   `));
    expect(Object.entries(metadata)).toEqual([["__proto__", "x"]]);
  });

  it.each([NaN, Infinity, -Infinity])("weights of %d", async (value) => {
    const { tensors, metadata } = readSafetensors(weights);
    (Object.values(tensors).find(({ dtype }) => dtype === "F32")!.data as Float32Array)[0] = value;
    writeFileSync(at("damaged.safetensors"), writeSafetensors(tensors, metadata));
    await expect(ASTGNNFactorModel.load(at("damaged.safetensors"))).rejects.toMatchObject({ code: "ERR_CHECKPOINT", message: expect.stringMatching(/damaged\.safetensors is damaged: tensor .* holds/) });
  });

  it.each([[null, "its content"], [{ kind: "walkForward" }, "folds"], [{ kind: "ensemble", members: ["../../elsewhere"] }, "members.0"], [{ kind: "run", panel: 1 }, "panel"], [{ kind: "run", source: { sql: 1 } }, "source"]])("run.json of %j", async (description, field) => {
    writeFileSync(at("run.json"), JSON.stringify(description));
    await expect(loadRun(folder)).rejects.toMatchObject({ code: "ERR_CHECKPOINT", message: expect.stringContaining(`run.json cannot be used: ${field}`) });
  });

  it("a plan that is null", async () => {
    const { file } = await writePlan(at("plan"), { flags: [], seeds: 0, space: {}, random: null, trials: [] });
    writeFileSync(file, "null");
    await expect(readPlan(file)).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringContaining("is no plan") });
  });
});

const dates = ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-06"];
const long = { dates: dates.flatMap((date) => [date, date]), tickers: dates.flatMap(() => ["A", "B"]) };
const quiet = { onWarning: () => {}, maxDropped: 0.9 };

describe("a state of a training that is not whole", () => {
  it.each([["state", "position", undefined], ["state", "steps", -1], ["state", "threads", 1.5], ["identity", "recipe", undefined]])("with %s %s %j is refused", async (part, field, value) => {
    const panel = await Panel.from({ ...long, columns: { close: long.dates.map((_, i) => 10 + i), size: long.dates.map((_, i) => i % 3) } }, quiet);
    using dataset = await panel.dataset({ features: ["close", "size"], window: 1, label: { horizonDays: 1, lagDays: 0 }, split: { fractions: [1, 0, 0] }, maxDropped: 0.9 });
    using model = new ASTGNNFactorModel(sizes);
    const out = at(`run-${field}`);
    await train(model, dataset, { epochs: 1, threads: 1, onWarning: () => {}, out });
    const { tensors, metadata } = readSafetensors(readFileSync(join(out, "last.safetensors")));
    writeFileSync(join(out, "last.safetensors"), writeSafetensors(tensors, { ...metadata, [part]: JSON.stringify({ ...(JSON.parse(metadata[part]!) as object), [field]: value }) }));
    using again = new ASTGNNFactorModel(sizes);
    await expect(train(again, dataset, { epochs: 1, threads: 1, out, resume: true })).rejects.toMatchObject({ code: "ERR_CHECKPOINT", message: expect.stringContaining(`last.safetensors cannot be used: ${field}`) });
  });
});

describe("damaged data are refused", () => {
  const table = { date: long.dates, ticker: long.tickers, close: long.dates.map((_, i) => 10.5 + i) };
  const arrow = tableToIPC(tableFromArrays(table), { format: "file" })!;

  it("an Arrow file whose metadata claim more than there is, at any byte", async () => {
    let refused = 0;
    for (let k = 1; 8 * k + 8 <= arrow.length; k++) {
      const at32 = 8 * k + 4 * (k % 2);
      const bytes = Uint8Array.from(arrow);
      new DataView(bytes.buffer).setInt32(at32, 0x7ffffff0, true);
      await openPanel({ arrow: bytes }, quiet).catch((error: { code: string }) => {
        expect(error.code, `byte ${at32}`).toBe("ERR_DATA");
        refused++;
      });
    }
    expect(refused).toBeGreaterThan(50);
  });

  it("tickers of which none is there", async () => {
    await expect(Panel.from({ ...long, tickers: long.tickers.map(() => null) as unknown as string[], columns: { close: table.close } }, { ...quiet, maxDropped: 1 })).rejects.toMatchObject({ code: expect.stringMatching(/ERR_(DATA|OPTION)/) });
  });

  it("a return that no 32-bit number holds is a missing label, and counted", async () => {
    const close = Float64Array.from(long.dates, (_, i) => (i === 2 ? 1e-300 : 10 + i));
    const panel = await Panel.from({ ...long, columns: { close } }, quiet);
    using dataset = await panel.dataset({ features: ["close"], window: 1, label: { horizonDays: 1, lagDays: 0 }, split: { fractions: [1, 0, 0] }, maxDropped: 0.9 });
    expect(dataset.labels.filter((value) => Math.abs(value) === Infinity)).toHaveLength(0);
    expect(dataset.ledger.entries).toContainEqual(expect.objectContaining({ reason: "overflowing_label", count: 1 }));
  });
});

describe("a packed dataset whose header was signed anew", () => {
  const file = at("market.pack");
  let whole: Uint8Array;
  beforeAll(async () => {
    const panel = await Panel.from({ ...long, columns: { close: long.dates.map((_, i) => 10 + i), size: long.dates.map((_, i) => i % 3) } }, quiet);
    await pack(panel, { features: ["size"], window: 1, label: { horizonDays: 1, lagDays: 0 }, maxDropped: 0.9, out: file });
    whole = readFileSync(file);
  });
  const opened = async (change: (header: ReturnType<typeof headerOf>) => unknown): Promise<unknown> => {
    writeFileSync(file, signed(whole, change(headerOf(whole))));
    return (await openPack(file, { verify: false })).dataset({ split: { fractions: [1, 0, 0] } });
  };

  it("as it was is read", async () => {
    await expect(opened((header) => header)).resolves.toBeDefined();
  });

  it.each([
    ["no fields", () => undefined],
    ["no fields", () => null],
    ["no usable dates", (header) => ({ ...header, dates: {} })],
    ["no usable tickers.0", (header) => ({ ...header, tickers: [1, "B"] })],
    ["dates that do not ascend", (header) => ({ ...header, dates: dates.toReversed() })],
    ["a ticker twice", (header) => ({ ...header, tickers: ["A", "A"] })],
    ["no usable description", ({ description: _, ...header }) => header],
    ["no usable label", (header) => ({ ...header, label: null })],
    ["no usable sourceFiles", (header) => ({ ...header, sourceFiles: "prices.csv" })],
    ["no usable ledger.entries", (header) => ({ ...header, ledger: {} })],
    ["no usable sections.features.shape", ({ sections, ...header }) => ({ ...header, sections: { ...sections, features: { ...sections["features"], shape: "4 x 2 x 1" } } })],
    ["no usable sections.labels.chunkBytes", ({ sections, ...header }) => ({ ...header, sections: { ...sections, labels: { ...sections["labels"], chunkBytes: 0 } } })],
    ["no section rowStocks", ({ sections: { rowStocks: _, ...sections }, ...header }) => ({ ...header, sections })],
    ["sections.targets of float32 [4, 3, 1] where float32 [4, 2, 1] belongs", ({ sections, ...header }) => ({ ...header, sections: { ...sections, targets: { ...sections["targets"], shape: [4, 3, 1] } } })],
    ["sections.slot of 8 bytes from byte 1099511627776, of ", ({ sections, ...header }) => ({ ...header, sections: { ...sections, slot: { ...sections["rowStocks"], shape: [2], offset: 2 ** 40 }, from: { ...sections["rowStocks"], shape: [2] }, last: { ...sections["rowStocks"], shape: [2] }, until: { ...sections["rowStocks"], shape: [2] } } })],
    ["loadings in one place", (header) => ({ ...header, loadings: { dates: [], count: 1, chain: "" } })],
    ["exposures in one place", (header) => ({ ...header, exposureSlots: 2 })],
    ["no edges for its graph", (header) => ({ ...header, description: { ...(header["description"] as object), graph: "edges" } })],
  ] satisfies [string, (header: ReturnType<typeof headerOf>) => unknown][])("with %s is refused", async (what, change) => {
    await expect(opened(change)).rejects.toMatchObject({ code: "ERR_DATA", file, message: expect.stringContaining(`market.pack cannot be used: its header has ${what}`) as string });
  });

  it.each(["rowOffsets", "rowStocks"])("with %s of two thousand million is refused before a loop goes there", async (name) => {
    const bytes = Buffer.from(whole);
    bytes.writeInt32LE(2 ** 31 - 1, headerOf(whole).sections[name]!.offset + 4);
    writeFileSync(file, bytes);
    await expect(openPack(file, { verify: false }).then((opened) => opened.dataset({ split: { fractions: [1, 0, 0] } }))).rejects.toMatchObject({ code: "ERR_DATA", message: expect.stringContaining("its rows are not those of 2 stocks and 4 dates") as string });
  });

  it("with a source that never ends is not compared with it", async () => {
    await expect(opened((header) => ({ ...header, sourceFiles: [{ file: "/dev/zero", bytes: 0, modified: 0, sha256: "" }] }))).resolves.toBeDefined();
  });
});

describe("arguments of the wrong type are refused by name", () => {
  const nothing = undefined as never;
  const odd = Object.create(null) as never;
  it.each<[string, (panel: Panel, model: ASTGNNFactorModel) => unknown, RegExp]>([
    ["predict of no dataset", (_, model) => model.predict({ dataset: nothing, dates: [] }), /a dataset of panel.dataset for dataset/],
    ["predict of dates that are no text", (_, model) => model.predict({ dataset: odd, dates: [] }), /a dataset of panel.dataset/],
    ["neighbours of nothing", (_, model) => model.neighbours(nothing, "2020-01-01", "A"), /a dataset of panel.dataset/],
    ["peers of nothing", (_, model) => peers(model, nothing, { date: "2020-01-01", ticker: "A" }), /a dataset of panel.dataset/],
    ["clusters of no model", () => clusters(null as never, nothing, { date: "2020-01-01" }), /an ASTGNNFactorModel for model/],
    ["explainDay of no model", () => explainDay(odd, nothing), /Expected a model, an ensemble or a loaded run/],
    ["a device that is an object", (_, model) => model.to(odd), /"auto", "cpu", "cuda"/],
    ["attention with mask null", (_, model) => model.attention(Tensor.from([0, 0, 0, 0], [1, 4]), null as never), /for mask/],
    ["columns to read that are none", (panel) => panel.read(odd), /a list of column names/],
    ["a column that is a symbol", (panel) => panel.values(Symbol("x") as never), /a column name for column/],
    ["append with a share that is an object", (panel) => panel.append({ dates: "2021-01-01", tickers: ["A"], columns: { close: [1] } }, { maxDropped: odd }), /a share from 0 to 1/],
    ["append with a listener that is none", (panel) => panel.append({ dates: "2021-01-01", tickers: ["A"], columns: { close: [1] } }, { onWarning: 1 as never }), /a function for onWarning/],
    ["append of a column that is null", (panel) => panel.append({ dates: "2021-01-01", tickers: ["A"], columns: { close: null as never } }), /1 values, one per ticker, for rows.columns.close/],
    ["openPanel of a number", () => openPanel(1 as never), /a path, a list of paths or/],
    ["marketOf no panel", () => marketOf(odd, { dates: [], tickers: [] }), /a panel of openPanel/],
    ["backtest of no panel", () => backtest({ weights: "x.csv" }, nothing), /a panel of openPanel/],
    ["backtest of weights null", (panel) => backtest({ weights: null as never }, panel), /source/],
    ["backtest held longer than there are dates", (panel) => backtest({ predictions: { data: new Float64Array(2), shape: [1, 2], dates: ["2020-01-01"], tickers: ["A", "B"] }, horizonDays: 2 ** 31 }, panel), /for horizonDays/],
    ["riskModel of no source", (panel) => riskModel(5n as never, panel), /a run folder, names of exposures/],
    ["RiskModel of no names", () => new RiskModel(5 as never), /names of exposures/],
    ["RiskModel.update of nothing", () => new RiskModel(["a"]).update(odd), /a date as YYYY-MM-DD for date/],
    ["RiskModel.read of a list", () => RiskModel.read([] as never), /a Uint8Array for bytes/],
    ["sampleCovariances of half a date", () => sampleCovariances({ tickers: ["A", "B"], returns: [0.1] }, ["lw"]), /whole dates of 2 returns/],
    ["sampleCovariances of infinite returns", () => sampleCovariances({ tickers: ["A"], returns: [0.1, Infinity] }, ["lw"]), /returns that are finite/],
    ["optimise with tickers that are text", () => optimise({ covariance: { tickers: "AB", values: new Float64Array(4) } as never, objective: "riskParity" }), /covariance.tickers/],
    ["pairedDifference of nothing", () => pairedDifference(odd, odd), /what evaluate returned for a/],
    ["averagePredictions of an object", () => averagePredictions(odd), /a list of predictions/],
    ["evaluate with dates that are none", () => evaluate({ data: new Float64Array(1), shape: [1, 1], dates: [odd], tickers: ["A"] }, nothing), /Expected \{ data, shape, dates, tickers \} for predictions/],
    ["evaluatePredictions with draws that no memory holds", () => evaluatePredictions({ sql: "SELECT 1" }, { sql: "SELECT 1" }, { bootstrapDraws: 2 ** 40 }), /from 1 to 1000000 for bootstrapDraws/],
    ["audit without options", (panel) => audit(panel, "x" as never), /those of panel.dataset/],
    ["similar without options", () => similar("runs/none", null as never), /\{ date, ticker \} for options/],
    ["loadRun of a number", () => loadRun(1 as never), /the folder of a run/],
    ["openPack of a symbol", () => openPack(Symbol("x") as never), /a path for file/],
    ["writeSafetensors of a dtype that there is not", () => writeSafetensors({ a: { dtype: "F8" as never, shape: [1], data: new Float32Array(1) } }), /for tensors.a.dtype/],
  ])("%s", async (_, call, message) => {
    const panel = await Panel.from({ ...long, columns: { close: long.dates.map((_, i) => 10 + i) } }, quiet);
    using model = new ASTGNNFactorModel(sizes);
    await expect((async () => call(panel, model))()).rejects.toMatchObject({ name: "AstgnnError", code: expect.stringMatching(/ERR_(OPTION|SHAPE)/) as string, message: expect.stringMatching(message) as string });
  });
});

describe("a risk model", () => {
  const tickers = ["A", "B", "C", "D", "E"];
  const model = (count: number, options: object = { residuals: false }): RiskModel => {
    const risk = new RiskModel(["a"], [], options);
    for (let t = 0; t < count; t++) {
      const date = new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10);
      risk.update({ date, tickers, exposures: tickers.map((_, n) => Math.sin(n + (t % 3))), returns: tickers.map((_, n) => 0.01 * Math.sin(7 * t * (n + 1))), sizes: [1, 2, 3, 4, 5] });
    }
    return risk;
  };

  it("with dates for its factors and none for specific volatilities says so, where these were NaN", () => {
    const [few, enough] = [model(40), model(61)];
    expect(() => few.form()).toThrow(expect.objectContaining({ code: "ERR_DATA", date: "2020-02-09", message: expect.stringContaining("from a stock with 60 returns on") as string }) as Error);
    expect(RiskModel.read(few.write()).date).toBe("2020-02-09");
    expect(enough.form().specificVariance.every((value) => value > 0)).toBe(true);
  });

  it("with size buckets without measure is refused: an array of them ended the process", () => {
    expect(() => new RiskModel(["a"], [], { sizeBuckets: 2 ** 31 })).toThrow(/a whole number from 1 to 1000 for sizeBuckets/);
  });

  it.each<[string, (file: ReturnType<typeof readSafetensors>) => void, RegExp]>([
    ["lists that are none", ({ metadata }) => (metadata["slots"] = "{}"), /its slots are no list of names/],
    ["no options", ({ metadata }) => delete metadata["options"], /its options are no JSON/],
    ["options that are none", ({ metadata }) => (metadata["options"] = '{"shrinkage":"x"}'), /shrinkage/],
    ["a date that is none", ({ metadata }) => (metadata["date"] = "soon"), /soon is no date/],
    ["no specific variance", ({ tensors }) => delete tensors["specific_variance"], /exposures and no covariance/],
    ["a state of another length", ({ tensors }) => (tensors["state.covariance.correlation"] = { dtype: "F64", shape: [2], data: new Float64Array(2) }), /state.covariance.correlation has 2 numbers/],
    ["a state of another type", ({ tensors }) => (tensors["state.specific.residuals"] = { dtype: "F64", shape: [2], data: new Float64Array(2) }), /state.specific.residuals is of another type/],
    ["sums that are NaN", ({ tensors }) => tensors["state.covariance.volatility"]!.data.fill(NaN as never), /state.covariance.volatility holds NaN/],
  ])("from a file with %s is refused", (_, change, message) => {
    const file = readSafetensors(model(61).write());
    change(file);
    expect(() => RiskModel.read(writeSafetensors(file.tensors, file.metadata)).form()).toThrow(expect.objectContaining({ code: "ERR_CHECKPOINT", message: expect.stringMatching(message) as string }) as Error);
  });
});

describe("what stands beside a model", () => {
  it("epochs are read without the line that a kill cut off, and without what is no epoch", async () => {
    const epoch = { epoch: 1, train: { loss: 1, terms: { ic: -0.1 } }, valid: { loss: null, terms: {} } };
    writeFileSync(at("metrics.jsonl"), [epoch, { ...epoch, valid: null }, { epoch: "2" }, null].map((line) => JSON.stringify(line)).join("\n") + '\n{"epoch":2,"tra');
    expect(await readEpochs(at("metrics.jsonl"))).toEqual([epoch]);
    expect(await readEpochs(at("nowhere.jsonl"))).toEqual([]);
  });

  it.each(["", "{}", "[1]"])("loadings with dates %j are refused", (dates) => {
    const tensors = { loadings: { dtype: "F32" as const, shape: [1, 1, 1], data: new Float32Array(1) } };
    expect(() => loadingsOf({ tensors, metadata: { chain: "x", dates, tickers: '["A"]' } }, "a.safetensors", "x")).toThrow(/its dates are no list of names/);
  });
});
