import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { simulateMarket, SIMULATED_FEATURES, writeSimulatedMarket } from "../../lib/demo/simulate.js";
import { ASTGNNFactorModel, audit, Panel, train, type Audit, type FindingCode } from "../../lib/index.js";
import { astgnn } from "./cli-capture.js";

const market = simulateMarket({ seed: 3, stocks: 48, dates: 300 });
const N = market.tickers.length;
/** Business days, so that a pause of more than three days is none that the run knew. */
const dates: string[] = [];
for (let day = Date.UTC(2015, 0, 5); dates.length < market.dates.length; day += 86_400_000) if (new Date(day).getUTCDay() % 6 !== 0) dates.push(new Date(day).toISOString().slice(0, 10));
/** Dates that the run knew. */
const KNOWN = 260;

let folder: string;
let run: string;

type Plant = (name: string, cell: number) => number;
const asIs: Plant = (name, cell) => market.columns.get(name)![cell]!;

/** The market up to a date, with values planted, and rows where `isRow` says so. */
function panelOf(count: number, plant: Plant = asIs, isRow = (_: number): boolean => true, keep = (_: number): boolean => true): Promise<Panel> {
  const kept = Array.from({ length: count }, (_, t) => t).filter(keep);
  const cells = kept.flatMap((t) => Array.from({ length: N }, (_, n) => t * N + n));
  const columns = Object.fromEntries([...market.columns.keys()].map((name) => [name, Float64Array.from(cells, (cell) => (market.listed[cell] === 1 && isRow(cell) ? plant(name, cell) : NaN))]));
  return Panel.from({ dates: kept.map((t) => dates[t]!), tickers: market.tickers, columns }, { onWarning: () => {}, maxDropped: 1 });
}

const isNew = (cell: number): boolean => cell >= KNOWN * N;
const checked = async (panel: Promise<Panel>, asOf = dates.at(-1)!): Promise<Audit> => audit(run, { source: await panel, asOf });
const codes = ({ findings }: Audit): FindingCode[] => findings.map(({ code }) => code);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "astgnn-live-"));
  run = join(folder, "run");
  const dataset = await (await panelOf(KNOWN)).dataset({ features: SIMULATED_FEATURES, window: 4, processors: ["zscore", "fill"], label: { horizonDays: 1, lagDays: 1 }, split: { trainEnd: dates[180]!, validEnd: dates[220]! }, maxDropped: 1 });
  using model = new ASTGNNFactorModel({ sequentialInputSize: dataset.featureNames.length, gruHiddenSize: 4, gruNumLayers: 1, gatHiddenSize: 4, gatNumHeads: 2, residualHiddenSize: 4, numRiskFactors: 3, tgcHiddenSize: 4, tgcOutputSize: 4, predictionHiddenSizes: [4] });
  await train(model, dataset, { epochs: 1, threads: 1, out: run, onWarning: () => {} });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("A live check", () => {
  it("finds nothing in dates that go on as before", async () => {
    const result = await checked(panelOf(dates.length));
    expect(result).toMatchObject({ passed: true, findings: [], live: true });
    expect(result.checks).toHaveLength(4);
  });

  it("finds data that end before the date up to which they should reach", async () => {
    const week = new Date(Date.parse(dates.at(-1)!) + 7 * 86_400_000).toISOString().slice(0, 10);
    expect((await checked(panelOf(dates.length), week)).findings).toMatchObject([{ code: "stale_data", severity: "warn", value: 7, threshold: 3, dates: [dates.at(-1)] }]);
    expect(await checked(panelOf(dates.length), "2031-01-01")).toMatchObject({ passed: false, findings: [{ code: "stale_data", severity: "fail" }] });
  });

  it("finds a pause that is longer than any that the run knew", async () => {
    const result = await checked(panelOf(dates.length, asIs, () => true, (t) => t < KNOWN + 5 || t > KNOWN + 7));
    expect(result.findings).toMatchObject([{ code: "missing_dates", severity: "warn", threshold: 3, dates: [dates[KNOWN + 8]] }]);
  });

  it("names a feature whose distribution moved: another unit, or missing", async () => {
    const [moved, lost] = SIMULATED_FEATURES as readonly [string, string];
    const unit = await checked(panelOf(dates.length, (name, cell) => (name === moved && isNew(cell) ? 100 : 1) * asIs(name, cell)));
    expect(unit.findings.filter(({ code }) => code === "feature_moved")).toMatchObject([{ columns: [moved], threshold: expect.any(Number) }]);
    const missing = await checked(panelOf(dates.length, (name, cell) => (name === lost && isNew(cell) ? NaN : asIs(name, cell))));
    expect(missing.findings.filter(({ code }) => code === "feature_moved")).toMatchObject([{ severity: "fail", columns: [lost] }]);
  });

  it("finds a universe that lost stocks, and names them", async () => {
    const result = await checked(panelOf(dates.length, asIs, (cell) => !isNew(cell) || cell % N >= 20));
    expect(codes(result)).toContain("universe_shrank");
    const found = result.findings.find(({ code }) => code === "universe_shrank")!;
    expect(found).toMatchObject({ severity: "fail", threshold: 0.3 });
    expect(found.tickers!.every((ticker) => market.tickers.indexOf(ticker) < 20)).toBe(true);
  });

  it("finds scores that stopped moving because rows repeat", async () => {
    const last = (cell: number): number => (KNOWN - 1) * N + (cell % N);
    const result = await checked(panelOf(dates.length, (name, cell) => asIs(name, isNew(cell) ? last(cell) : cell), (cell) => !isNew(cell) || market.listed[last(cell)] === 1));
    expect(result.passed).toBe(false);
    expect(result.findings.find(({ code }) => code === "scores_stopped")).toMatchObject({ severity: "fail", dates: expect.arrayContaining([dates.at(-1)]) });
  });

  it("refuses other data of the dates that the run knew, as before", async () => {
    await expect(checked(panelOf(KNOWN, (name, cell) => 2 * asIs(name, cell)))).rejects.toThrow(/does not hold the data that the run in .* was trained on/);
  });

  it("is what astgnn audit --run DIR --data NEW prints, and leaves the report of the run alone", async () => {
    const file = join(folder, "new.csv");
    await writeSimulatedMarket({ ...market, dates }, file);
    const { code, out, err } = await astgnn("audit", "--run", run, "--data", file, "--as-of", "2031-01-01");
    expect({ code, err }).toEqual({ code: 1, err: "" });
    expect(out).toContain("fail  stale_data: The newest date is");
    expect(out).toContain("in 4 checks (stale and missing dates, features whose distribution moved");
  });
});
