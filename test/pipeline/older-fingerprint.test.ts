import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { legacyFingerprint } from "../../lib/data/legacy-fingerprint.js";
import { digestedParts } from "../../lib/data/panel.js";
import { simulateMarket, SIMULATED_FEATURES, writeSimulatedMarket } from "../../lib/demo/simulate.js";
import { ASTGNNFactorModel, audit, evaluateRun, openPanel, train, type Panel } from "../../lib/index.js";
import { readTrainingState, writeTrainingState } from "../../lib/run/state.js";

const market = simulateMarket({ seed: 5, stocks: 31, dates: 80 });
const SMALL = { gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4], dropout: 0 };
const onWarning = (): void => {};

const folder = mkdtempSync(join(tmpdir(), "astgnn-older-"));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(out: string, options: { file?: string; features?: readonly string[]; epochs?: number; resume?: boolean } = {}): Promise<void> {
  const { file = at("prices.csv"), features = SIMULATED_FEATURES, epochs = 1, resume = false } = options;
  const panel = await openPanel(file, { onWarning });
  const dataset = await panel.dataset({ features: [...features], processors: ["zscore"], window: 3, maxDropped: 0.3, split: { trainEnd: market.dates[40]!, validEnd: market.dates[58]! } });
  using model = new ASTGNNFactorModel({ ...SMALL, sequentialInputSize: features.length, seed: 0 });
  await train(model, dataset, { epochs, threads: 1, out: at(out), resume, onWarning });
}

interface Stored {
  fingerprint: string;
  digests?: Record<string, string>;
}
const stored = (name: string): Stored => JSON.parse(readFileSync(join(at(name), "run.json"), "utf8")) as Stored;

/** Makes a run what it was before fingerprints had parts. */
async function makeOlder(name: string, panel: Panel): Promise<void> {
  const fingerprint = (await legacyFingerprint(panel, digestedParts(panel).replaced))!;
  const { digests: _, ...json } = stored(name);
  writeFileSync(join(at(name), "run.json"), JSON.stringify({ ...json, fingerprint }));
  const state = await readTrainingState(join(at(name), "last.safetensors"));
  await writeTrainingState(join(at(name), "last.safetensors"), { ...state, identity: { ...state.identity, fingerprint } });
}

beforeAll(async () => {
  await writeSimulatedMarket(market, at("prices.csv"));
  await run("runs/older");
  await makeOlder("runs/older", await openPanel(at("prices.csv"), { onWarning }));
});

it("a run whose fingerprint covers all columns is evaluated and audited with its data, and not with others", async () => {
  expect((await evaluateRun(at("runs/older"))).withoutPrices).toBeNull();
  expect((await audit(at("runs/older"))).checks.length).toBeGreaterThan(5);
  const changed = at("changed.csv");
  writeFileSync(changed, readFileSync(at("prices.csv"), "utf8").replace(/\n([^\n]+)\n/, "\n$11\n"));
  expect((await evaluateRun(at("runs/older"), { source: changed, onWarning })).withoutPrices).toMatch(/changed\.csv does not hold the data .*their fingerprints differ/);
  await expect(audit(at("runs/older"), { source: changed })).rejects.toMatchObject({ code: "ERR_DATA" });
});

it("it is resumed, and has a fingerprint of parts from then on", async () => {
  cpSync(at("runs/older"), at("runs/resumed"), { recursive: true });
  await run("runs/resumed", { epochs: 2, resume: true });
  await run("runs/straight", { epochs: 2 });
  expect(readFileSync(join(at("runs/resumed"), "model.safetensors")).equals(readFileSync(join(at("runs/straight"), "model.safetensors")))).toBe(true);
  expect(stored("runs/resumed").digests).toEqual(stored("runs/straight").digests);
  expect(stored("runs/resumed").fingerprint).toBe(stored("runs/straight").fingerprint);
});

it("it is a trial of newer runs on the same data, and they of it; so are runs with other columns", async () => {
  await run("runs/fewer", { features: SIMULATED_FEATURES.slice(1) });
  const names = async (name: string): Promise<string[]> => (await evaluateRun(at(name))).trials.map((path) => path.slice(at("runs/").length)).sort();
  expect(await names("runs/older")).toContain("fewer");
  expect(await names("runs/fewer")).toEqual(expect.arrayContaining(["older", "straight"]));
  const { digests, fingerprint } = stored("runs/fewer");
  const more = stored("runs/straight");
  expect(Object.keys(digests!).length).toBe(Object.keys(more.digests!).length - 1);
  expect(fingerprint).not.toBe(more.fingerprint);
});

it("a run says in which part data differ, and takes a panel with more or fewer columns for its own", async () => {
  const columns = ["close", ...SIMULATED_FEATURES.slice(1)];
  expect((await evaluateRun(at("runs/fewer"), { source: await openPanel(at("prices.csv"), { columns, onWarning }) })).withoutPrices).toBeNull();
  const lacking = await openPanel(at("prices.csv"), { columns: columns.slice(0, -1), onWarning });
  expect((await evaluateRun(at("runs/fewer"), { source: lacking, onWarning })).withoutPrices).toContain(`it has no column ${columns.at(-1)!}`);
  const other = { sql: `SELECT * REPLACE (${columns.at(-1)!} + 1 AS ${columns.at(-1)!}) FROM read_csv('${at("prices.csv")}')` };
  expect((await evaluateRun(at("runs/fewer"), { source: other, onWarning })).withoutPrices).toContain(`the column ${columns.at(-1)!} is not the same`);
});
