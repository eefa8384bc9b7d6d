import { expect, it, vi } from "vitest";
import { optimise } from "../../lib/portfolio/optimise.js";

vi.mock("../../lib/binding/load.js", () => ({ loadCoreAway: async () => ({ hasSolver: false }) }));

const covariance = { tickers: ["A", "B"], values: Float64Array.of(1, 0, 0, 1) };

it("a core that was built without cargo says what to install, and still shares risk", async () => {
  await expect(optimise({ covariance, objective: "minimumVariance" })).rejects.toMatchObject({ code: "ERR_SOLVER_MISSING", next: expect.stringMatching(/cargo-web.*npm run build/) });
  expect((await optimise({ covariance, objective: "riskParity" })).weights).toEqual(Float64Array.of(0.5, 0.5));
});
