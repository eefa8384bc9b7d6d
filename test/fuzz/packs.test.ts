import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterAll, beforeAll, describe, it } from "vitest";
import { labelExposures } from "../../lib/data/exposures.js";
import { ASTGNNFactorModel, openPack, pack, Panel, type Dataset } from "../../lib/index.js";
import { expectFinite, fuzz, FUZZ_TIMEOUT } from "./fuzz.js";
import type { Mutator } from "./mutate.js";
import { headerOf, signed } from "./signed-pack.js";

const folder = mkdtempSync(join(tmpdir(), "astgnn-fuzz-packs-"));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const split = { fractions: [0.6, 0.2, 0.2] } as const;
const stocks = ["A", "B", "C", "D", "E", "F"];
const dates = Array.from({ length: 40 }, (_, t) => new Date(Date.UTC(2020, 0, 1 + t)).toISOString().slice(0, 10));
let plain: Uint8Array;
let full: Uint8Array;
let models: Map<number, ASTGNNFactorModel>;

beforeAll(async () => {
  writeFileSync(at("groups.csv"), "ticker,group\nA,x\nB,y\nC,y\nD,x\nE,x\nF,y\n");
  writeFileSync(at("edges.csv"), "ticker,neighbor,from,to\nA,B,2020-01-02,2020-02-09\nB,C,,\n");
  const cells = dates.flatMap((date, t) => stocks.map((ticker, n) => ({ date, ticker, close: 10 + n + Math.sin(t * (n + 1)), size: (n + t) % 5 })));
  const panel = await Panel.from(
    { dates: cells.map(({ date }) => date), tickers: cells.map(({ ticker }) => ticker), columns: { close: cells.map(({ close }) => close), size: cells.map(({ size }) => size) } },
    { groups: { file: at("groups.csv") }, edges: { file: at("edges.csv") }, onWarning: () => {} },
  );
  const usual = { window: 2, label: { horizonDays: 1, lagDays: 0 }, maxDropped: 1 } as const;
  await pack(panel, { ...usual, features: ["size"], graph: "groups", out: at("plain.pack") });
  await pack(panel, { ...usual, features: ["size", "loadings"], loadings: { window: 20, count: 2 }, labelTransform: { neutralise: ["loadings", "groups", "size"] }, graph: "edges", processors: ["standardize", "fill"], split, out: at("full.pack") });
  [plain, full] = [readFileSync(at("plain.pack")), readFileSync(at("full.pack"))];
  models = new Map([1, 3].map((width) => [width, new ASTGNNFactorModel({ sequentialInputSize: width, gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4] })]));
});

/** Bytes changed and found out, a header changed, or numbers changed with their checksums. */
function changedPack(mutator: Mutator, seed: Uint8Array): Uint8Array {
  const header = headerOf(seed);
  switch (mutator.below(6)) {
    case 0:
      return mutator.bytes(seed);
    case 1:
    case 2: {
      const bytes = Uint8Array.from(seed);
      const section = header.sections[mutator.pick(Object.keys(header.sections))]!;
      const view = new DataView(bytes.buffer, section.offset);
      const length = section.shape.reduce((a, b) => a * b, 1);
      for (let changes = 1 + mutator.below(3); changes > 0 && length > 0; changes--) {
        const value = mutator.pick([-1, 0, 1, 2, 5, 6, 39, 40, 41, 2 ** 31 - 1, -(2 ** 31)]);
        if (section.type === "int32") view.setInt32(4 * mutator.below(length), value, true);
        else view.setFloat32(4 * mutator.below(length), mutator.pick([NaN, Infinity, -Infinity, 1e38, value]), true);
      }
      section.checksums.forEach((_, k) => (section.checksums[k] = crc32(bytes.subarray(section.offset + k * section.chunkBytes, section.offset + Math.min(4 * length, (k + 1) * section.chunkBytes)))));
      return signed(bytes, header);
    }
    case 3: {
      const { sections } = header;
      const name = mutator.pick(Object.keys(sections));
      return signed(seed, { ...header, sections: { ...sections, [name]: mutator.json(sections[name]) } });
    }
    default:
      return signed(seed, mutator.json(header));
  }
}

/** Everything of a dataset that is read from the file. */
async function look(dataset: Dataset): Promise<void> {
  for (const name of ["train", "valid", "test", "unlabelled"] as const) void dataset[name].labels;
  labelExposures(dataset)?.of(dataset.dates.length - 1);
  const model = models.get(dataset.featureNames.length);
  if (model === undefined) return;
  const { predictions, riskFactors } = await model.predict(dataset, { threads: 1, riskFactors: true });
  dataset.dates.forEach((date, t) => {
    const place = predictions.dates.indexOf(date);
    for (let r = dataset.rowOffsets[t]!; r < dataset.rowOffsets[t + 1]!; r++) {
      const cell = place * dataset.tickers.length + dataset.rowStocks[r]!;
      expectFinite([predictions.data[cell]!, ...riskFactors.data.subarray(3 * cell, 3 * cell + 3)], `the prediction of row ${r}`);
    }
  });
}

describe("fuzz: packed datasets", { timeout: FUZZ_TIMEOUT }, () => {
  it("packs", () =>
    fuzz("packs", 150, async (mutator) => {
      writeFileSync(at("fuzzed.pack"), changedPack(mutator, mutator.below(2) === 0 ? plain : full));
      const opened = await openPack(at("fuzzed.pack"), { verify: mutator.below(4) > 0 });
      using dataset = await opened.dataset({ split });
      await look(dataset);
    }));
});
