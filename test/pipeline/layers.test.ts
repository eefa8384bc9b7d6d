import { describe, expect, it } from "vitest";
import { FactorExtractor, GraphAttention, RelationalEmbedding, Tensor, TimeGraphConvolution } from "../../lib/index.js";

const [N, X, K, E] = [5, 3, 2, 4];
const values = (length: number, phase: number): Float64Array => Float64Array.from({ length }, (_, i) => Math.sin(3 * i + phase));
const numbers = (tensor: Tensor): number[] => [...(tensor.toTypedArray() as Float64Array)];
// Float64 rounding over sums of a dozen terms.
const near = (got: readonly number[], expected: readonly number[]): void => {
  expect(got).toHaveLength(expected.length);
  for (const [i, value] of got.entries()) expect(Math.abs(value - expected[i]!), `value ${i}`).toBeLessThan(1e-13);
};

/** A = row-softmax(ReLU(M Mᵀ)) over `allowed`, written out. */
function similarity(m: Float64Array, allowed: (i: number, j: number) => boolean): number[][] {
  return Array.from({ length: N }, (_, i) => {
    const row = Array.from({ length: N }, (_, j) => (allowed(i, j) ? Math.exp(Math.max(0, m[i * K]! * m[j * K]! + m[i * K + 1]! * m[j * K + 1]!)) : 0));
    const total = row.reduce((sum, value) => sum + value, 0);
    return row.map((value) => (total === 0 ? 0 : value / total));
  });
}

/** (I + sign A) X W + b. */
function convolution(a: number[][], x: Float64Array, w: Float64Array, b: Float64Array, sign: number): number[] {
  const y = Array.from({ length: N }, (_, i) => Array.from({ length: E }, (_, e) => Array.from({ length: X }, (_, k) => x[i * X + k]! * w[k * E + e]!).reduce((sum, value) => sum + value)));
  return y.flatMap((row, i) => row.map((value, e) => value + sign * a[i]!.reduce((sum, weight, j) => sum + weight * y[j]![e]!, 0) + b[e]!));
}

describe("TimeGraphConvolution", () => {
  const [x, m, w, b] = [values(N * X, 1), values(N * K, 2), values(X * E, 3), values(E, 4)];

  it.each([["add", 1], ["subtract", -1]] as const)("%s is the formula of its documentation", async (mode, sign) => {
    using tgc = new TimeGraphConvolution(X, E, { mode, dtype: "float64" });
    const state = { weight: Tensor.from(w, [X, E]), bias: Tensor.from(b, [E]) };
    tgc.loadStateDict(state);
    using xs = Tensor.from(x, [N, X]);
    using ms = Tensor.from(m, [N, K]);
    using z = await tgc.forward(xs, ms);
    expect(z.shape).toEqual([N, E]);
    near(numbers(z), convolution(similarity(m, () => true), x, w, b, sign));
    expect(Object.keys(tgc.stateDict()).sort()).toEqual(["bias", "weight"]);
    for (const tensor of Object.values(state)) tensor.dispose();
  });

  it("links rows of one date and one group only, and nobody to itself where asked", async () => {
    const groups = [0, 1, 0, 0, 1];
    const allowed = (i: number, j: number): boolean => i !== j && groups[i] === groups[j] && i < 3 === j < 3;
    using tgc = new TimeGraphConvolution(X, E, { dtype: "float64", similarityGraph: "groups", excludeSelf: true });
    const state = { weight: Tensor.from(w, [X, E]), bias: Tensor.from(b, [E]) };
    tgc.loadStateDict(state);
    using xs = Tensor.from(x, [N, X]);
    using ms = Tensor.from(m, [N, K]);
    using z = await tgc.forward(xs, ms, { offsets: [0, 3, 5], groups });
    near(numbers(z), convolution(similarity(m, allowed), x, w, b, 1));
    using a = await tgc.similarity(ms, groups);
    near(numbers(a), similarity(m, (i, j) => i !== j && groups[i] === groups[j]).flat());
  });

  it("names what does not fit", async () => {
    expect(() => new TimeGraphConvolution(0, 4)).toThrow(/a whole number from 1 for inSize but received 0/);
    expect(() => new TimeGraphConvolution(3, 4, { similarityScale: 0 })).toThrow(/similarityScale/);
    expect(() => new TimeGraphConvolution(3, 4, { modes: "add" } as never)).toThrow(/Did you mean mode\?/);
    using tgc = new TimeGraphConvolution(X, E);
    using xs = Tensor.from(new Float32Array(N * X), [N, X]);
    await expect(tgc.forward(xs, undefined as never)).rejects.toThrow(/a Tensor for m but received nothing/);
    using wrong = Tensor.from(new Float32Array(N * 2), [N, 2]);
    await expect(tgc.forward(wrong, xs)).rejects.toMatchObject({ code: "ERR_SHAPE" });
    expect(() => tgc.loadStateDict({ weight: xs })).toThrow(expect.objectContaining({ code: "ERR_SHAPE" }));
    await expect(tgc.forward(xs, xs, { offsets: [0, 2.5] })).rejects.toThrow(/whole numbers.*for offsets/);
  });
});

describe("GraphAttention", () => {
  it("averages over who may be seen, itself always; rows of alpha sum to 1", async () => {
    using gat = new GraphAttention(X, 4, { heads: 2, dtype: "float64", seed: 1 });
    using h = Tensor.from(values(N * X, 5), [N, X]);
    const edges = { offsets: [0, 1, 1, 2, 2, 2], targets: [3, 0] };
    using alpha = await gat.attention(h, { edges });
    expect(alpha.shape).toEqual([2, N, N]);
    const a = numbers(alpha);
    for (let head = 0; head < 2; head++) {
      for (let i = 0; i < N; i++) {
        const row = a.slice((head * N + i) * N, (head * N + i + 1) * N);
        near([row.reduce((sum, value) => sum + value)], [1]);
        expect(row.flatMap((value, j) => (value > 0 ? [j] : []))).toEqual([[0, 3], [1], [0, 2], [3], [4]][i]);
      }
    }
    using out = await gat.forward(h, { edges });
    const { "linear.weight": weight } = gat.stateDict();
    const w = numbers(weight!);
    const hs = numbers(h);
    const v = (j: number, c: number): number => [0, 1, 2].reduce((sum, k) => sum + hs[j * X + k]! * w[c * X + k]!, 0);
    near(numbers(out), Array.from({ length: N * 4 }, (_, at) => {
      const [i, c] = [Math.floor(at / 4), at % 4];
      return Array.from({ length: N }, (_, j) => a[(Math.floor(c / 2) * N + i) * N + j]! * v(j, c)).reduce((sum, value) => sum + value);
    }));
  });

  it("drops values in training only, anew on every forward", async () => {
    using gat = new GraphAttention(X, 8, { heads: 2, dropout: 0.5 });
    using h = Tensor.from(new Float32Array(values(N * X, 5)), [N, X]);
    const run = async (): Promise<number[]> => {
      using out = await gat.forward(h);
      return numbers(out);
    };
    expect(gat.training).toBe(false);
    expect(await run()).toEqual(await run());
    gat.train();
    const [first, second] = [await run(), await run()];
    expect(first).not.toEqual(second);
    expect(await (async () => (gat.eval(), run()))()).not.toEqual(first);
  });

  it("refuses heads that do not divide its width", () => {
    expect(() => new GraphAttention(3, 8, { heads: 3 })).toThrow(/a divisor of outSize \(8\) for heads but received 3/);
  });
});

describe("FactorExtractor and RelationalEmbedding", () => {
  it("have the documented shapes, entries of M in (-1, 1), and the same weights for the same seed", async () => {
    const options = { sequentialInputSize: X, numRiskFactors: K, tgcOutputSize: 6, seed: 3 } as const;
    using extractor = new FactorExtractor(options);
    using twin = new FactorExtractor(options);
    using sequences = Tensor.from(new Float32Array(values(4 * N * X, 6)), [4, N, X]);
    const { riskFactors, state } = await extractor.forward(sequences, { offsets: [0, 2, 5] });
    expect([riskFactors.shape, state.shape]).toEqual([[N, K], [N, 64]]);
    expect(numbers(riskFactors).every((value) => Math.abs(value) < 1)).toBe(true);
    expect(numbers((await twin.forward(sequences, { offsets: [0, 2, 5] })).riskFactors)).toEqual(numbers(riskFactors));
    using embedding = new RelationalEmbedding(options);
    using x = Tensor.from(new Float32Array(values(N * X, 7)), [N, X]);
    using z = await embedding.forward(x, riskFactors);
    expect(z.shape).toEqual([N, 6]);
    using a = await embedding.similarity(riskFactors);
    expect(a.shape).toEqual([N, N]);
    riskFactors.dispose();
    state.dispose();
  });
});

describe("Tensor", () => {
  it("copies in and out and keeps the type of its array", () => {
    const source = new Float64Array([1, 2, 3, 4, 5, 6]);
    using tensor = Tensor.from(source, [2, 3]);
    source[0] = 99;
    expect(tensor.toTypedArray()).toEqual(new Float64Array([1, 2, 3, 4, 5, 6]));
    expect([tensor.shape, tensor.dtype, tensor.device]).toEqual([[2, 3], "float64", "cpu"]);
    using scalar = Tensor.from([7], []);
    expect([scalar.shape, scalar.dtype]).toEqual([[], "float32"]);
    using whole = Tensor.from(new BigInt64Array([1n]), [1]);
    expect(whole.toTypedArray()).toEqual(new BigInt64Array([1n]));
  });

  it("refuses data and shapes that do not agree, and use after dispose", () => {
    expect(() => Tensor.from([1, 2, 3], [2, 2])).toThrow(/shape \[2, 2\] has 4 values but 3 were given/);
    expect(() => Tensor.from([1], [-1])).toThrow(/whole numbers from 0 for shape/);
    expect(() => Tensor.from("1" as never, [1])).toThrow(/numbers: an array/);
    const tensor = Tensor.from([1], [1]);
    tensor.dispose();
    tensor.dispose();
    expect(tensor.disposed).toBe(true);
    for (const use of [() => tensor.shape, () => tensor.toTypedArray(), () => tensor.dtype]) expect(use).toThrow(expect.objectContaining({ code: "ERR_DISPOSED" }));
  });
});
