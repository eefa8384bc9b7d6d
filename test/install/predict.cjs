// The same user with a CommonJS program: loads the model that train.mjs saved and predicts. Prints one line of JSON.
const { ASTGNNFactorModel, openPanel } = require("astgnn");

async function main() {
  const panel = await openPanel("prices.csv");
  const dataset = await panel.dataset({ features: ["signal", "news"], window: 4, label: { horizonDays: 1, lagDays: 0 }, split: { trainEnd: "2001-04-30", validEnd: "2001-05-25" } });
  const model = await ASTGNNFactorModel.load("model.safetensors");
  const { predictions } = await model.predict(dataset.test);
  const finite = predictions.data.filter(Number.isFinite);
  const isSameClass = (await import("astgnn")).ASTGNNFactorModel === ASTGNNFactorModel;
  console.log(JSON.stringify({ predictions: finite.length, sum: finite.reduce((sum, value) => sum + value, 0), isSameClass }));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
