// The modules: names and order of the state dict, initialisation from their own seed, options
// refused, invariances of the forward.
#include <ATen/ATen.h>

#include "check.h"
#include "nn/modules.h"
#include "small_panel.h"

namespace {

using at::Tensor;
using namespace astgnn;

nn::Config small_config() {
  nn::Config config;
  config.sequential_input_size = 5;
  config.gru_hidden_size = 6;
  config.gat_hidden_size = 8;
  config.gat_num_heads = 2;
  config.residual_hidden_size = 8;
  config.num_risk_factors = 4;
  config.tgc_hidden_size = 6;
  config.tgc_output_size = 5;
  config.prediction_hidden_sizes = {7};
  return config;
}

void names() {
  nn::Config config = small_config();
  config.gru_num_layers = 1;
  config.num_tgc_layers = 1;
  config.norm = "batch";
  config.similarity_scale = "learned";
  nn::ASTGNNFactorModel model(config, 0);
  std::string got;
  for (const auto& [name, tensor] : nn::state_dict(model)) got += name + " ";
  std::string expected;
  for (const char* name : {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"})
    expected += std::string("factor_extractor.gru.") + name + " ";
  for (const char* name : {"attention_source", "attention_target", "linear.weight"})
    expected += std::string("factor_extractor.gat.") + name + " ";
  expected += "factor_extractor.gat_shortcut.weight ";
  const auto affine = [&](const std::string& prefix) {
    expected += prefix + ".weight " + prefix + ".bias ";
  };
  const auto batch_norm = [&](const std::string& prefix) {
    affine(prefix);
    for (const char* name : {".running_mean", ".running_var", ".num_batches_tracked"})
      expected += prefix + name + " ";
  };
  affine("factor_extractor.residual.linear1");
  batch_norm("factor_extractor.residual.norm1");
  affine("factor_extractor.residual.linear2");
  batch_norm("factor_extractor.residual.norm2");
  affine("factor_extractor.full_linear");
  affine("factor_extractor.full_norm");
  expected += "relational_embedding.log_scale ";
  affine("relational_embedding.layers.0");
  affine("prediction.hidden.0");
  batch_norm("prediction.norms.0");
  affine("prediction.output");
  check::that(got == expected, "names and their order are the reference's: " + got);
  check::that(model.relational_embedding->log_scale.dim() == 0, "log_scale is 0-d");
  model.to(at::kDouble);
  check::that(model.relational_embedding->layers[0]->weight.scalar_type() == at::kDouble,
              "to(float64) converts weights");
  check::that(
      model.factor_extractor->residual->norm1->num_batches_tracked.scalar_type() == at::kLong,
      "and leaves counters whole numbers");
}

void initialisation() {
  const nn::Config config = small_config();
  at::manual_seed(1);
  const Tensor untouched = at::randn({4});
  at::manual_seed(1);
  nn::ASTGNNFactorModel a(config, 7), b(config, 7), c(config, 8);
  check::equal(at::randn({4}), untouched, "a model's seed leaves the global generator alone");
  bool same = true, other = false;
  const auto left = nn::state_dict(a), right = nn::state_dict(b), third = nn::state_dict(c);
  for (size_t i = 0; i < left.size(); ++i) {
    same = same && at::equal(left[i].second, right[i].second);
    other = other || !at::equal(left[i].second, third[i].second);
  }
  check::that(same && other, "the same seed gives the same weights, another seed others");
  const auto within = [](const Tensor& w, double bound, const char* what) {
    const double largest = w.abs().max().item<double>();
    check::that(largest <= bound && largest > 0.6 * bound, std::string(what) + " fills its range");
  };
  within(a.factor_extractor->gru->weights[0], 1 / std::sqrt(6.0), "gru.weight_ih_l0");
  within(a.factor_extractor->residual->linear1->weight, 1 / std::sqrt(8.0), "linear1.weight");
  within(a.factor_extractor->gat->linear->weight, std::sqrt(6.0 / 14), "gat.linear.weight");
  within(a.factor_extractor->gat->attention_source, std::sqrt(6.0 / 6), "attention_source");
  within(a.relational_embedding->layers[0]->weight, std::sqrt(6.0 / 11), "layers.0.weight");
  check::that(a.relational_embedding->layers[0]->bias.eq(0).all().item<bool>(),
              "a TGC's bias starts at 0");
}

void scales() {
  nn::Config config = small_config();
  config.similarity_scale_value = 2.5;
  nn::ASTGNNFactorModel fixed(config, 0);
  config.similarity_scale = "sqrtK";
  nn::ASTGNNFactorModel root(config, 0);
  config.similarity_scale = "learned";
  nn::ASTGNNFactorModel learned(config, 0);
  check::near(fixed.relational_embedding->scale().item<double>(), 2.5, 0, "a number is the scale");
  check::near(root.relational_embedding->scale().item<double>(), 0.5, 1e-7, "sqrtK is 1 / sqrt(K)");
  check::near(learned.relational_embedding->scale().item<double>(), 0.5, 1e-7,
              "learned starts at 1 / sqrt(K)");
  check::that(learned.relational_embedding->scale().requires_grad() &&
                  !root.relational_embedding->scale().requires_grad(),
              "only the learned scale has a gradient");
}

void refusals() {
  const auto refuses = [](const char* field, const std::function<void(nn::Config&)>& spoil) {
    nn::Config config = small_config();
    spoil(config);
    check::throws([&] { config.check(); }, field,
                  std::string("a bad ") + field + " is refused by name");
  };
  refuses("sequential_input_size", [](nn::Config& c) { c.sequential_input_size = 0; });
  refuses("gru_num_layers", [](nn::Config& c) { c.gru_num_layers = 0; });
  refuses("gat_hidden_size", [](nn::Config& c) { c.gat_num_heads = 3; });
  refuses("gat_negative_slope", [](nn::Config& c) { c.gat_negative_slope = 1; });
  refuses("gat_residual", [](nn::Config& c) { c.gat_residual = "sum"; });
  refuses("num_risk_factors", [](nn::Config& c) { c.num_risk_factors = 1; });
  refuses("relational_input", [](nn::Config& c) { c.relational_input = "all"; });
  refuses("num_tgc_layers", [](nn::Config& c) { c.num_tgc_layers = 0; });
  refuses("tgc_modes", [](nn::Config& c) { c.tgc_modes = {"plus"}; });
  refuses("tgc_modes", [](nn::Config& c) { c.tgc_modes = {}; });
  refuses("similarity_scale", [](nn::Config& c) { c.similarity_scale_value = 0; });
  refuses("similarity_scale", [](nn::Config& c) { c.similarity_scale_value = NAN; });
  refuses("top_k", [](nn::Config& c) { c.top_k = -1; });
  refuses("similarity_graph", [](nn::Config& c) { c.similarity_graph = "edges"; });
  refuses("prediction_hidden_sizes", [](nn::Config& c) { c.prediction_hidden_sizes = {8, 0}; });
  refuses("norm", [](nn::Config& c) { c.norm = "group"; });
  refuses("dropout", [](nn::Config& c) { c.dropout = 1; });
  refuses("eps", [](nn::Config& c) { c.eps = 0; });

  nn::ASTGNNFactorModel model(small_config(), 0);
  auto state = nn::state_dict(model);
  const Tensor before = state[0].second.detach().clone();
  auto missing = state;
  missing.pop_back();
  check::throws([&] { nn::load_state_dict(model, missing); }, "prediction.output.bias",
                "a missing entry is named");
  auto unexpected = state;
  unexpected.emplace_back("prediction.extra", at::zeros({1}));
  check::throws([&] { nn::load_state_dict(model, unexpected); }, "prediction.extra",
                "an unexpected entry is named");
  auto misshapen = state;
  misshapen[0].second = at::zeros_like(before);
  misshapen.back().second = at::zeros({3});
  check::throws([&] { nn::load_state_dict(model, misshapen); }, "prediction.output.bias",
                "a misshapen entry is named");
  check::equal(state[0].second, before, "a refused state changes nothing");
}

void forwards() {
  at::NoGradGuard no_grad;
  auto panel = small_panel(3, 5);
  panel.prepare();
  nn::Config config = small_config();
  config.relational_input = "both";
  config.relational_skip = true;
  nn::ASTGNNFactorModel model(config, 3);
  model.to(at::kDouble);
  const std::vector<int64_t> dates{7, 2, 6, 4};
  const auto whole = train::pack(panel, dates, at::kDouble, 0, 1);
  // In training mode with dropout: a date's masks do not depend on what shares its step.
  for (const bool training : {false, true}) {
    model.train(training);
    const std::string where = training ? " in training" : " in evaluation";
    const auto together = model.forward(whole.sequences, whole.batch);
    for (size_t d : {0, 1, 3}) {
      const auto single = train::pack(panel, dates[d], at::kDouble, 0, 1);
      const auto alone = model.forward(single.sequences, single.batch);
      check::close(together.predictions.slice(0, whole.offsets[d], whole.offsets[d + 1]),
                   alone.predictions, 1e-12,
                   "a date's predictions do not depend on the batch" + where);
    }
    const auto again = model.forward(whole.sequences, whole.batch);
    check::equal(again.predictions, together.predictions, "a repeat is the same" + where);
  }
  // The dense way in gives the same as the panel.
  model.eval();
  nn::Sequences dense;
  std::vector<Tensor> steps;
  for (int64_t t = 0; t < 3; ++t) {
    steps.push_back(panel.features.index({whole.sequences.date - 2 + t, whole.sequences.stock})
                        .to(at::kDouble));
  }
  dense.dense = at::stack(steps);
  check::close(model.forward(dense, whole.batch).predictions,
               model.forward(whole.sequences, whole.batch).predictions, 1e-12,
               "dense sequences give the same as the panel's windows");

  nn::SimilarityOptions options;
  options.exclude_self = true;
  const auto generator = at::detail::createCPUGenerator(1);
  nn::SingleTimeGraphConvolution layer(5, 3, "subtract", options, generator);
  layer.to(at::kDouble);
  const Tensor x = at::randn({6, 5}, at::kDouble), m = at::randn({6, 4}, at::kDouble);
  nn::Batch batch;
  batch.graph.offsets = at::tensor({0, 6}, at::kLong);
  const Tensor a = layer.similarity(m, std::nullopt), y = x.mm(layer.weight);
  check::close(layer.forward(x, m, batch), y - a.mm(y) + layer.bias, 1e-12,
               "a TGC alone is (I - A) X W + b");
  options.graph = "groups";
  nn::SingleTimeGraphConvolution grouped(5, 3, "add", options, generator);
  check::throws([&] { grouped.forward(x.to(at::kFloat), m.to(at::kFloat), batch); }, "group column",
                "groups asked for and absent is an error with a way out");
}

void batch_norm() {
  at::NoGradGuard no_grad;
  nn::Norm norm("batch", 3, 1e-5);
  norm.train();
  const Tensor x = at::randn({9, 3});
  norm.forward(x);
  check::close(norm.running_mean, 0.1 * x.mean(0), 1e-5,
               "running statistics move by a tenth in training");
  check::that(norm.num_batches_tracked.item<int64_t>() == 1, "and the counter by one");
  norm.eval();
  const Tensor before = norm.running_mean.clone();
  check::that(norm.forward(x.slice(0, 0, 1)).isfinite().all().item<bool>(),
              "one row is fine in evaluation");
  check::equal(norm.running_mean, before, "evaluation moves nothing");
  norm.train();
  check::throws([&] { norm.forward(x.slice(0, 0, 1)); }, "at least 2 rows",
                "one row in training is an error");
}

}  // namespace

int main() {
  at::manual_seed(7);
  names();
  initialisation();
  scales();
  refusals();
  forwards();
  batch_norm();
  return check::finish();
}
