import { expect, it } from "vitest";
import type { Demonstration } from "../../lib/demo/demonstrate.js";
import { astgnn } from "./cli-capture.js";

// One epoch is too short for the claim; what is tested is that everything is trained, named as simulated, compared date by date, and looked at.
it("demo trains with and without the graph on both simulated markets and prints what it claims", async () => {
  const { code, out, err } = await astgnn("demo", "--epochs", "1", "--seed", "3", "--json");
  expect([code, err]).toEqual([0, ""]);
  const { simulated, planted, null: absent, graph } = JSON.parse(out) as Demonstration;
  expect(simulated).toBe(true);
  for (const market of [planted, absent]) {
    expect(market.dates).toBe(240);
    expect(market.seeds).toEqual([{ seed: 3, withGraph: market.withGraph.mean, withoutGraph: market.withoutGraph.mean }]);
    expect(market.difference.mean).toBeCloseTo(market.withGraph.mean - market.withoutGraph.mean, 12);
    expect(market.difference.t).toBeCloseTo(market.difference.mean / market.difference.standardError, 12);
    // The planted signal is there without any graph: 0.04 to 0.05 of IC, with a standard error near 0.01.
    expect(market.withoutGraph.mean).toBeGreaterThan(0);
    expect(market.withGraph.standardError).toBeGreaterThan(0.004);
    expect(market.withGraph.standardError).toBeLessThan(0.02);
  }
  // Three stocks of three industries, each with others and not with itself.
  expect(new Set(graph.stocks.map(({ industry }) => industry)).size).toBe(3);
  for (const { ticker, peers } of graph.stocks) {
    expect(peers).toHaveLength(5);
    expect(peers.map((peer) => peer.ticker)).not.toContain(ticker);
  }
  // By chance it would be within .05 of 0.
  expect(graph.adjustedRand).toBeGreaterThan(0.1);
  expect(planted.holds).toBe(planted.difference.t >= 3);
  expect(absent.holds).toBe(Math.abs(absent.difference.t) <= 2);
}, 600_000);
