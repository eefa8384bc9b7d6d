import { afterAll, describe, expect, it } from "vitest";
import type { Dtype, NativeGraph, NativeModule, NativeTensor } from "../../lib/binding/types.js";
import { Comparison } from "./comparison.js";
import { bars, core, createModel, createPanel, device, dtypes, load, nativeState, nativeTensor, numbers, objective, readFixtures, relativeError, take, type Fixture } from "./fixture.js";

/** The same numbers whatever it is. */
const threads = Number(process.env["ASTGNN_PARITY_THREADS"] ?? 1);
const fixtures = readFixtures();
const comparison = new Comparison();
afterAll(() => console.log(`${comparison.summary("forward")}\n  (dense model calls in ${fixtures.filter(oneGraph).length} cases: the others have two graphs)`));

/** Rows of the fixture's batch, gathered in JavaScript: what the dense calls take. */
interface DenseBatch {
  offsets: Int32Array;
  /** [T, R, F] */
  sequences: Float64Array;
  groups: Int32Array | undefined;
  edges: { edgeOffsets: Int32Array; edgeTargets: Int32Array } | undefined;
}

function gather(fixture: Fixture): DenseBatch {
  const { layout, tensors } = fixture;
  const [, stocks, width] = tensors["features"]!.shape as [number, number, number];
  const features = tensors["features"]!.data as Float32Array;
  const rowOffsets = numbers(fixture, "row_offsets");
  const rowStocks = numbers(fixture, "row_stocks");
  const rows = layout.batch.flatMap((date) => Array.from({ length: rowOffsets[date + 1]! - rowOffsets[date]! }, (_, i) => ({ date, row: rowOffsets[date]! + i })));
  const offsets = Int32Array.from([0, ...layout.batch.map((_, b) => layout.batch.slice(0, b + 1).reduce((sum, date) => sum + rowOffsets[date + 1]! - rowOffsets[date]!, 0))]);
  const sequences = new Float64Array(layout.window * rows.length * width);
  for (let t = 0; t < layout.window; t++) {
    rows.forEach(({ date, row }, r) => {
      const at = ((date - layout.window + 1 + t) * stocks + rowStocks[row]!) * width;
      sequences.set(features.subarray(at, at + width), (t * rows.length + r) * width);
    });
  }
  const groups = tensors["groups"] === undefined ? undefined : Int32Array.from(rows, ({ row }) => numbers(fixture, "groups")[row]!);
  return { offsets, sequences, groups, edges: tensors["edges"] === undefined ? undefined : rowEdges(fixture, rows, rowStocks) };
}

/** CSR over the rows of the batch, in the order and with the duplicates of the edge list: the core has to sort them out. */
function rowEdges(fixture: Fixture, rows: { date: number; row: number }[], rowStocks: Float64Array): { edgeOffsets: Int32Array; edgeTargets: Int32Array } {
  const edges = numbers(fixture, "edges");
  const count = edges.length / 4;
  const rowOf = new Map(rows.map(({ date, row }, r) => [`${date} ${rowStocks[row]!}`, r]));
  const edgeOffsets = [0];
  const edgeTargets: number[] = [];
  for (const { date, row } of rows) {
    for (let e = 0; e < count; e++) {
      if (edges[e] !== rowStocks[row] || date < edges[2 * count + e]! || date > edges[3 * count + e]!) continue;
      const target = rowOf.get(`${date} ${edges[count + e]!}`);
      if (target !== undefined) edgeTargets.push(target);
    }
    edgeOffsets.push(edgeTargets.length);
  }
  return { edgeOffsets: Int32Array.from(edgeOffsets), edgeTargets: Int32Array.from(edgeTargets) };
}

function attentionGraph(fixture: Fixture, { offsets, groups, edges }: DenseBatch): NativeGraph {
  if (fixture.layout.graph === "edges") return { offsets, ...edges! };
  return fixture.layout.graph === "complete" ? { offsets } : { offsets, groups: groups! };
}

function similarityGraph(fixture: Fixture, { offsets, groups }: DenseBatch): NativeGraph {
  return fixture.config.similarityGraph === "groups" ? { offsets, groups: groups! } : { offsets };
}

/** A model's dense call has one graph for both purposes: where they differ there is nothing to test; the panel calls and the blocks alone cover it. */
function oneGraph(fixture: Fixture): boolean {
  return fixture.config.similarityGraph === "complete" || fixture.layout.graph === "groups" || fixture.layout.graph === "none";
}

const rowsOf = ({ offsets }: DenseBatch): number => offsets.at(-1)!;
const widthOf = (fixture: Fixture, name: string): number => fixture.tensors[name]!.shape.at(-1)!;

async function run(module: NativeModule, inputs: NativeTensor[], graph: NativeGraph): Promise<Float64Array[]> {
  const outputs = (await module.forward(inputs, graph)).map(take);
  for (const input of inputs) input.dispose();
  module.dispose();
  return outputs;
}

/** What the TGC sees: features of the last date, GRU state or both, [R, X]. */
function relationalInput(fixture: Fixture, batch: DenseBatch): Float64Array {
  const rows = rowsOf(batch);
  const width = widthOf(fixture, "features");
  const last = batch.sequences.subarray((fixture.layout.window - 1) * rows * width);
  const state = numbers(fixture, "forward.state");
  const { relationalInput: kind } = fixture.config;
  if (kind !== "both") return kind === "features" ? last : state;
  const hidden = fixture.config.gruHiddenSize;
  const both = new Float64Array(rows * (width + hidden));
  for (let r = 0; r < rows; r++) {
    both.set(last.subarray(r * width, (r + 1) * width), r * (width + hidden));
    both.set(state.subarray(r * hidden, (r + 1) * hidden), r * (width + hidden) + width);
  }
  return both;
}

/** Rows lo to hi of a packed tensor of the fixture. */
function part(fixture: Fixture, name: string, lo: number, hi: number): Float64Array {
  const width = widthOf(fixture, name);
  return numbers(fixture, name).slice(lo * width, hi * width);
}

/** The graph of one date of the batch. */
function dateGraph(graph: NativeGraph, lo: number, hi: number): NativeGraph {
  const { groups, edgeOffsets, edgeTargets } = graph;
  return {
    offsets: Int32Array.from([0, hi - lo]),
    ...(groups === undefined ? {} : { groups: groups.slice(lo, hi) }),
    ...(edgeOffsets === undefined
      ? {}
      : {
          edgeOffsets: edgeOffsets.slice(lo, hi + 1).map((offset) => offset - edgeOffsets[lo]!),
          edgeTargets: edgeTargets!.slice(edgeOffsets[lo], edgeOffsets[hi]).map((target) => target - lo),
        }),
  };
}

const column = (values: ArrayLike<number>, width: number, k: number): number[] => Array.from({ length: values.length / width }, (_, i) => values[i * width + k]!);

describe.each(fixtures)("$name", (fixture) => {
  const batch = gather(fixture);
  const rows = rowsOf(batch);
  const { config } = fixture;
  const expected = (name: string): Float64Array => numbers(fixture, `forward.${name}`);

  describe.each(dtypes)("%s", (dtype: Dtype) => {
    const bar = bars(fixture, dtype).value;
    const compare = (kind: string, a: ArrayLike<number>, b: ArrayLike<number>): void => comparison.values(`${dtype} ${kind}`, fixture.name, a, b, bar);
    const tensor = (values: ArrayLike<number>, ...shape: number[]): NativeTensor => nativeTensor(values, shape, dtype);
    const sequences = (): NativeTensor => tensor(batch.sequences, fixture.layout.window, rows, widthOf(fixture, "features"));

    it("predicts from the panel what the reference predicts, with its graph statistics and every loss date by date", async () => {
      const model = createModel(fixture, dtype);
      const panel = createPanel(fixture);
      const dates = Int32Array.from(fixture.layout.batch);
      const result = await core.predict(model, panel, { dates, riskFactors: true, objective: objective(fixture.layout.loss_terms), threads }).done;
      compare("predictions", result.predictions, expected("predictions"));
      compare("M", result.riskFactors!, expected("risk_factors"));
      ["effective neighbours", "self weight", "empty rows"].forEach((kind, k) => compare(kind, column(result.statistics, 3, k), column(expected("statistics"), 3, k)));
      fixture.layout.loss_terms.forEach(({ name }, k) => {
        const width = fixture.layout.loss_terms.length;
        compare(`loss ${name}`, column(result.terms, width, k), column(expected("terms"), width, k));
      });
      model.dispose();
      panel.dispose();
    });

    if (oneGraph(fixture)) it("computes every block's values on sequences of the user's own", async () => {
      const graph = { ...attentionGraph(fixture, batch), ...similarityGraph(fixture, batch) };
      const [predictions, m, embedding, state] = (await run(createModel(fixture, dtype), [sequences()], graph)) as [Float64Array, Float64Array, Float64Array, Float64Array];
      compare("GRU state", state, expected("state"));
      compare("M, dense", m, expected("risk_factors"));
      compare("embedding", embedding, expected("embedding"));
      compare("predictions, dense", predictions, expected("predictions"));
    });

    it("computes M with the factor extractor alone", async () => {
      const extractor = load(core.createFactorExtractor(config, dtype, 1, device), nativeState(fixture, dtype, "factor_extractor."));
      const [m, state] = (await run(extractor, [sequences()], attentionGraph(fixture, batch))) as [Float64Array, Float64Array];
      compare("factor extractor M", m, expected("risk_factors"));
      compare("factor extractor state", state, expected("state"));
    });

    it("computes the graph attention alone", async () => {
      const options = { inSize: config.gruHiddenSize, outSize: config.gatHiddenSize, heads: config.gatNumHeads, negativeSlope: config.gatNegativeSlope };
      const gat = load(core.createGraphAttention(options, dtype, 1, device), nativeState(fixture, dtype, "factor_extractor.gat."));
      const [out] = await run(gat, [tensor(expected("state"), rows, config.gruHiddenSize)], attentionGraph(fixture, batch));
      compare("graph attention", out!, expected("gat"));
    });

    it("computes the relational embedding and a single graph convolution alone", async () => {
      const x = relationalInput(fixture, batch);
      const inputs = (): NativeTensor[] => [tensor(x, rows, x.length / rows), tensor(expected("risk_factors"), rows, config.numRiskFactors)];
      const embedding = load(core.createRelationalEmbedding(config, dtype, 1, device), nativeState(fixture, dtype, "relational_embedding."));
      const [z] = await run(embedding, inputs(), similarityGraph(fixture, batch));
      compare("relational embedding", z!, expected("embedding"));

      const { similarityScale, numRiskFactors, excludeSelf, topK, similarityGraph: kind } = config;
      const scale = similarityScale === "learned" ? Math.exp(numbers(fixture, "state.relational_embedding.log_scale")[0]!) : similarityScale === "sqrtK" ? numRiskFactors ** -0.5 : similarityScale;
      const options = { inSize: x.length / rows, outSize: widthOf(fixture, "forward.tgc"), mode: config.tgcModes[0]!, similarityScale: scale, excludeSelf, topK, similarityGraph: kind };
      const layer = load(core.createTimeGraphConvolution(options, dtype, 1, device), nativeState(fixture, dtype, "relational_embedding.layers.0."));
      const [first] = await run(layer, inputs(), similarityGraph(fixture, batch));
      compare("graph convolution", first!, expected("tgc"));
    });

    it("shows the attention and the similarity of a date as the reference writes them out", async () => {
      const model = createModel(fixture, dtype);
      for (let b = 0; b < fixture.layout.batch.length; b++) {
        if (fixture.tensors[`forward.similarity.${b}`] === undefined) continue;
        const [lo, hi] = [batch.offsets[b]!, batch.offsets[b + 1]!];
        const m = tensor(part(fixture, "forward.risk_factors", lo, hi), hi - lo, config.numRiskFactors);
        const h = tensor(part(fixture, "forward.state", lo, hi), hi - lo, config.gruHiddenSize);
        const groups = config.similarityGraph === "groups" ? batch.groups!.slice(lo, hi) : undefined;
        compare("A", take(await model.similarity(m, groups)), expected(`similarity.${b}`));
        compare("attention", take(await model.attention(h, dateGraph(attentionGraph(fixture, batch), lo, hi))), expected(`attention.${b}`));
        m.dispose();
        h.dispose();
      }
      model.dispose();
    });
  });
});

it("has every odd size, graph and option in the repository's own set", () => {
  // Another set may be as small as one case; the set in the repository may not lose its corners.
  if (process.env["ASTGNN_PARITY_FIXTURES"] !== undefined) return;
  const sizes = fixtures.flatMap((fixture) => Array.from(gather(fixture).offsets.slice(1), (end, b) => end - gather(fixture).offsets[b]!));
  for (const size of [0, 1, 2, 3, 31, 33, 151]) expect(sizes, `a date with ${size} rows`).toContain(size);
  expect(new Set(fixtures.map(({ layout }) => layout.graph)).size).toBe(4);
  for (const name of ["gatResidual", "norm", "relationalInput", "similarityScale", "excludeSelf", "similarityGraph", "relationalSkip", "topK"] as const) {
    const values = new Set(fixtures.map(({ config }) => config[name]));
    expect(values.size, name).toBeGreaterThanOrEqual({ gatResidual: 3, norm: 2, relationalInput: 3, similarityScale: 4, excludeSelf: 2, similarityGraph: 2, relationalSkip: 2, topK: 4 }[name]);
  }
});

it("notices a weight that is off by one part in a million", async () => {
  const fixture = fixtures.find(({ config }) => config.norm === "layer") ?? fixtures[0]!;
  const state = nativeState(fixture, "float64");
  const name = "prediction.output.weight";
  const { shape } = fixture.tensors[`state.${name}`]!;
  state[name] = nativeTensor(numbers(fixture, `state.${name}`).map((value) => value * (1 + 1e-6)), shape, "float64");
  const model = load(core.createModel(fixture.config, "float64", 1, device), state);
  const panel = createPanel(fixture);
  const { predictions } = await core.predict(model, panel, { dates: Int32Array.from(fixture.layout.batch), riskFactors: false, threads }).done;
  expect(relativeError(predictions, numbers(fixture, "forward.predictions"))).toBeGreaterThan(bars(fixture, "float64").value);
  model.dispose();
  panel.dispose();
});
