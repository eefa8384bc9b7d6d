import { afterAll, describe, expect, it } from "vitest";
import { Comparison } from "./comparison.js";
import { compareStep, sessionOptions } from "./step.js";
import { bars, core, createModel, createPanel, dtypes, numbers, objective, readFixtures } from "./fixture.js";

const fixtures = readFixtures();
const comparison = new Comparison();
afterAll(() => console.log(comparison.summary("objectives and gradients")));

describe.each(fixtures)("$name", (fixture) => {
  describe.each(dtypes)("%s", (dtype) => {
    it.each(fixture.layout.objectives.map((record, i) => ({ i, record, names: record.terms.map(({ name }) => name).join(" + ") })))(
      "objective $i ($names) has the reference's terms, undefined dates and gradients",
      async ({ i, record }) => {
        const model = createModel(fixture, dtype);
        const panel = createPanel(fixture);
        const session = core.createSession(model, panel, sessionOptions({ objective: objective(record.terms) }));
        const result = await session.gradients(Int32Array.from(record.dates), 1);
        const expected = new Map(
          fixture.layout.parameters.flatMap((name) => {
            const stored = `objective.${i}.gradient.${name}`;
            return fixture.tensors[stored] === undefined ? [] : [[name, numbers(fixture, stored)] as const];
          }),
        );
        compareStep(comparison, `${dtype} step`, `${fixture.name} objective ${i}`, result, {
          record,
          predictions: numbers(fixture, `objective.${i}.predictions`),
          riskFactors: numbers(fixture, `objective.${i}.risk_factors`),
          ...(record.gradients ? { gradients: { expected, names: fixture.layout.parameters } } : {}),
        }, bars(fixture, dtype));
        expect(result.step.rows * fixture.config.numPredictions).toBe(numbers(fixture, `objective.${i}.predictions`).length);
        session.dispose();
        model.dispose();
        panel.dispose();
      },
    );
  });
});
