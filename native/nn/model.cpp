#include <ATen/Functions.h>

#include "nn/modules.h"
#include "ops/device_segments.h"

namespace astgnn::nn {

Prediction::Prediction(const Config& config, int64_t in, at::Generator generator)
    : dropout(config.dropout) {
  const auto hidden_list = register_module("hidden", std::make_shared<torch::nn::Module>());
  const auto norm_list = register_module("norms", std::make_shared<torch::nn::Module>());
  for (int64_t size : config.prediction_hidden_sizes) {
    const auto name = std::to_string(hidden.size());
    hidden.push_back(
        hidden_list->register_module(name, std::make_shared<Linear>(in, size, true, generator)));
    norms.push_back(
        norm_list->register_module(name, std::make_shared<Norm>(config.norm, size, config.eps)));
    in = size;
  }
  output = register_module("output",
                           std::make_shared<Linear>(in, config.num_predictions, true, generator));
}

Tensor Prediction::forward(const Tensor& x, const Tensor& key) {
  auto y = x;
  for (size_t i = 0; i < hidden.size(); ++i) {
    y = norms[i]->forward(hidden[i]->forward(y), ops::Activation::kRelu, std::nullopt,
                          is_training() ? dropout : 0.0, key, ops::kHead + static_cast<int64_t>(i));
  }
  return output->forward(y);  // [R, P]
}

ASTGNNFactorModel::ASTGNNFactorModel(const Config& given, uint64_t seed) : config(given) {
  config.check();
  const auto generator = at::detail::createCPUGenerator(seed);
  factor_extractor =
      register_module("factor_extractor", std::make_shared<FactorExtractor>(config, generator));
  relational_embedding = register_module("relational_embedding",
                                         std::make_shared<RelationalEmbedding>(config, generator));
  const int64_t skip = config.relational_skip ? config.relational_width() : 0;
  prediction = register_module(
      "prediction", std::make_shared<Prediction>(config, config.tgc_output_size + skip, generator));
}

Batch ASTGNNFactorModel::with_segments(const Batch& batch) const {
  Batch made = batch;
  const Tensor& weight = prediction->output->weight;
  if (weight.device().is_cpu() || !batch.similarity_segments.empty()) return made;
  const auto send = [&](const std::optional<Tensor>& groups) {
    const int64_t dates = batch.graph.offsets.size(0) - 1;
    const int64_t most = batch.padded == 0 ? 0 : groups ? groups->size(0) : dates;
    return ops::segments_of({}, batch.graph.offsets, groups, weight, {most, batch.padded});
  };
  const auto similar = relational_embedding->groups(batch), &seen = batch.graph.groups;
  made.similarity_segments = send(similar);
  if (batch.graph.edge_offsets) return made;
  const bool same = similar && seen ? similar->is_same(*seen) : !similar && !seen;
  made.graph.segments = same ? made.similarity_segments : send(seen);
  return made;
}

Output ASTGNNFactorModel::forward(const Sequences& x, const Batch& given) {
  const Batch batch = with_segments(given);
  const auto [m, state] = factor_extractor->forward(x, batch);  // [R, K], [R, H]
  const auto current = [&]() -> Tensor {                        // [R, X]
    if (config.relational_input == "state") return state;
    const auto features = x.last(state.scalar_type());
    return config.relational_input == "features" ? features : at::cat({features, state}, 1);
  }();
  const auto [embedding, statistics] = relational_embedding->forward(current, m, batch);  // [R, E]
  const auto head = config.relational_skip ? at::cat({embedding, current}, 1) : embedding;
  return {prediction->forward(head, batch.key), m, embedding, state, statistics};
}

std::shared_ptr<ASTGNNFactorModel> make_like(
    const ASTGNNFactorModel& model, const std::vector<std::pair<std::string, Tensor>>& state) {
  auto made = std::make_shared<ASTGNNFactorModel>(model.config, /*seed=*/0);
  const Tensor& weight = model.prediction->output->weight;
  made->to(weight.device(), weight.scalar_type());
  made->eval();
  load_state_dict(*made, state);
  return made;
}

}  // namespace astgnn::nn
