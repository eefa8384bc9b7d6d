import { describe, expect, it } from "vitest";
import { AstgnnError } from "../../lib/errors.js";
import { configNames, fromReferenceConfig, resolveConfig, resolveModelOptions, toReferenceConfig, type ModelOptions } from "../../lib/model/config.js";

describe("model options", () => {
  it("default to the reference's Config", () => {
    expect(toReferenceConfig(resolveConfig())).toEqual({
      sequential_input_size: 21, gru_hidden_size: 64, gru_num_layers: 2, gat_hidden_size: 128, gat_num_heads: 4, gat_negative_slope: 0.2,
      gat_residual: "add", residual_hidden_size: 128, num_risk_factors: 32, relational_input: "features", tgc_hidden_size: 128,
      tgc_output_size: 64, num_tgc_layers: 2, tgc_modes: ["add", "subtract"], similarity_scale: 1, exclude_self: false, top_k: 0,
      similarity_graph: "complete", relational_skip: false, prediction_hidden_sizes: [128, 64], num_predictions: 1, norm: "layer", dropout: 0.1, eps: 1e-5,
    });
    expect(resolveModelOptions()).toMatchObject({ seed: 0, dtype: "float32" });
  });

  it("survive the way to the reference's JSON and back", () => {
    const written: ModelOptions = { similarityScale: "learned", tgcModes: ["subtract"], predictionHiddenSizes: [], topK: 3, numRiskFactors: 2, gatNumHeads: 8, dropout: 0 };
    const config = resolveConfig(written);
    expect(fromReferenceConfig(JSON.parse(JSON.stringify(toReferenceConfig(config))))).toEqual(config);
    expect(config).toMatchObject(written);
  });

  it("take the reference's defaults for names that a JSON leaves out, and refuse names it does not know", () => {
    expect(fromReferenceConfig({ num_risk_factors: 8 })).toEqual(resolveConfig({ numRiskFactors: 8 }));
    expect(() => fromReferenceConfig({ numRiskFactors: 8 })).toThrow(/unknown name "numRiskFactors"/);
    expect(() => fromReferenceConfig({ num_risk_factors: 1 })).toThrow(/not usable.*numRiskFactors/);
    expect(() => fromReferenceConfig([])).toThrow(/not a JSON object/);
  });

  const refused: [ModelOptions | Record<string, unknown>, RegExp][] = [
    [{ similarityScale: 0 }, /a number above 0, "sqrtK" or "learned" for similarityScale but received 0/],
    [{ similarityScale: -1 }, /similarityScale/],
    [{ similarityScale: "sqrt" }, /similarityScale but received "sqrt"/],
    [{ similarityScale: NaN }, /similarityScale/],
    [{ gatNegativeSlope: 1 }, /a number from 0 to below 1 for gatNegativeSlope but received 1/],
    [{ gatNegativeSlope: -0.1 }, /gatNegativeSlope/],
    [{ numRiskFactors: 1 }, /a whole number from 2 for numRiskFactors but received 1/],
    [{ gatHiddenSize: 30 }, /a divisor of gatHiddenSize \(30\) for gatNumHeads but received 4/],
    [{ gatNumHeads: 3 }, /a divisor of gatHiddenSize \(128\)/],
    [{ dropout: 1 }, /dropout but received 1/],
    [{ dropout: -0.1 }, /dropout/],
    [{ eps: 0 }, /a number above 0 for eps/],
    [{ topK: -1 }, /a whole number from 0 for topK/],
    [{ topK: 1.5 }, /topK/],
    [{ numPredictions: 0 }, /numPredictions/],
    [{ gruHiddenSize: "64" }, /gruHiddenSize but received "64" of type string/],
    [{ tgcModes: [] }, /tgcModes/],
    [{ tgcModes: ["multiply"] }, /"add" or "subtract"/],
    [{ gatResidual: "plus" }, /"add", "subtract" or "none" for gatResidual but received "plus"/],
    [{ similarityGraph: "edges" }, /"complete" or "groups" for similarityGraph/],
    [{ norm: "instance" }, /"layer" or "batch" for norm/],
    [{ predictionHiddenSizes: [64, 0] }, /a whole number from 1/],
    [{ excludeSelf: 1 }, /true or false for excludeSelf/],
    [{ numRiskFactor: 8 }, /Unknown option numRiskFactor of the model\. Did you mean numRiskFactors\?/],
    [{ seed: -1 }, /a whole number from 0 to 4294967295 for seed/],
    [{ dtype: "float16" }, /"float32" or "float64" for dtype/],
  ];
  it.each(refused)("%j is refused", (options, message) => {
    const attempt = (): unknown => resolveModelOptions(options as ModelOptions);
    expect(attempt).toThrow(message);
    try {
      attempt();
    } catch (error) {
      expect(error).toBeInstanceOf(AstgnnError);
      expect((error as AstgnnError).code).toBe("ERR_OPTION");
    }
  });

  it("are 24, as many as the reference has", () => {
    expect(configNames).toHaveLength(24);
  });
});
