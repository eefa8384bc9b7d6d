// A user's first program, in small: prices, a dataset, a model, its training, its predictions. Prints one line of JSON.
import { ASTGNNFactorModel, evaluate, openPanel, simulateMarket, train, writeSimulatedMarket } from "astgnn";

await writeSimulatedMarket(simulateMarket({ stocks: 20, dates: 120 }), "prices.csv");
const panel = await openPanel("prices.csv");
const dataset = await panel.dataset({ features: ["signal", "news"], window: 4, label: { horizonDays: 1, lagDays: 0 }, split: { trainEnd: "2001-04-30", validEnd: "2001-05-25" } });
const model = new ASTGNNFactorModel({ sequentialInputSize: 2, gruHiddenSize: 8, gruNumLayers: 1, gatHiddenSize: 8, gatNumHeads: 2, residualHiddenSize: 8, numRiskFactors: 4, tgcHiddenSize: 8, tgcOutputSize: 8, predictionHiddenSizes: [8] });
const { bestEpoch, steps } = await train(model, dataset, { epochs: 2, threads: 1 });
const { predictions } = await model.predict(dataset.test);
const { ic } = evaluate(predictions, dataset.test.labels);
await model.save("model.safetensors");
const finite = predictions.data.filter(Number.isFinite);
console.log(JSON.stringify({ node: process.versions.node, bestEpoch, steps, ic, predictions: finite.length, sum: finite.reduce((sum, value) => sum + value, 0) }));
