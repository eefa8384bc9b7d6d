#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cmath>

#include "nn/modules.h"

namespace astgnn::nn {
namespace {

// The groups the similarity is confined to, or none; a model that asks for groups must be given
// them.
std::optional<Tensor> groups_of(const std::string& similarity_graph,
                                const std::optional<Tensor>& given) {
  if (similarity_graph != "groups") return std::nullopt;
  TORCH_CHECK_VALUE(
      given && given->defined(),
      "similarity_graph \"groups\" needs a group for every row but the data has none; give "
      "the dataset a group column or a groups file, or use similarity_graph \"complete\"");
  return given;
}

}  // namespace

TimeGraphConvolution::TimeGraphConvolution(int64_t in, int64_t out, const std::string& mode,
                                           at::Generator generator) {
  TORCH_CHECK_VALUE(in >= 1 && out >= 1, "expected sizes >= 1 but got in_size ", in, ", out_size ",
                    out);
  TORCH_CHECK_VALUE(mode == "add" || mode == "subtract",
                    "mode: expected \"add\" or \"subtract\" but got \"", mode, "\"");
  sign = mode == "add" ? 1.0 : -1.0;
  const double bound = std::sqrt(6.0 / static_cast<double>(in + out));  // Xavier
  weight = register_parameter("weight", at::empty({in, out}).uniform_(-bound, bound, generator));
  bias = register_parameter("bias", at::zeros({out}));
}

SingleTimeGraphConvolution::SingleTimeGraphConvolution(int64_t in, int64_t out,
                                                       const std::string& mode,
                                                       const SimilarityOptions& similarity_options,
                                                       at::Generator generator)
    : TimeGraphConvolution(in, out, mode, std::move(generator)), options(similarity_options) {
  TORCH_CHECK_VALUE(options.scale > 0 && std::isfinite(options.scale),
                    "similarity_scale: expected a number > 0 but got ", options.scale);
  TORCH_CHECK_VALUE(options.top_k >= 0, "top_k: expected an integer >= 0 but got ", options.top_k);
  TORCH_CHECK_VALUE(options.graph == "complete" || options.graph == "groups",
                    "similarity_graph: expected \"complete\" or \"groups\" but got \"",
                    options.graph, "\"");
}

Tensor SingleTimeGraphConvolution::forward(const Tensor& x, const Tensor& m, const Batch& batch) {
  TORCH_CHECK(x.dim() == 2 && x.size(1) == weight.size(0), "x: expected shape [rows, ",
              weight.size(0), "] but got ", x.sizes());
  TORCH_CHECK(m.dim() == 2 && m.size(0) == x.size(0), "m: expected shape [", x.size(0),
              ", K] but got ", m.sizes());
  return std::get<0>(ops::relational_embedding(x, m, {weight}, {bias}, {sign}, batch.graph.offsets,
                                               groups_of(options.graph, batch.similarity_groups),
                                               at::scalar_tensor(options.scale, m.options()),
                                               options.exclude_self, options.top_k, /*p=*/0.0,
                                               batch.key));
}

Tensor SingleTimeGraphConvolution::similarity(const Tensor& m, const std::optional<Tensor>& group) {
  return ops::similarity(m, at::scalar_tensor(options.scale, m.options()), options.exclude_self,
                         options.top_k, groups_of(options.graph, group));
}

RelationalEmbedding::RelationalEmbedding(const Config& given, at::Generator generator)
    : config(given) {
  config.check();
  if (config.similarity_scale == "learned") {
    const double root = 1 / std::sqrt(static_cast<double>(config.num_risk_factors));
    log_scale = register_parameter("log_scale", at::scalar_tensor(std::log(root), at::kFloat));
  }
  const auto list = register_module("layers", std::make_shared<torch::nn::Module>());
  for (int64_t i = 0; i < config.num_tgc_layers; ++i) {
    const int64_t in = i == 0 ? config.relational_width() : config.tgc_hidden_size;
    const bool is_last = i + 1 == config.num_tgc_layers;
    layers.push_back(list->register_module(
        std::to_string(i), std::make_shared<TimeGraphConvolution>(
                               in, is_last ? config.tgc_output_size : config.tgc_hidden_size,
                               config.tgc_modes[i % config.tgc_modes.size()], generator)));
  }
}

Tensor RelationalEmbedding::scale() const {
  if (log_scale.defined()) return log_scale.exp();
  const double fixed = config.similarity_scale == "sqrtK"
                           ? 1 / std::sqrt(static_cast<double>(config.num_risk_factors))
                           : config.similarity_scale_value;
  return at::scalar_tensor(fixed, layers[0]->weight.options().requires_grad(false));
}

Embedded RelationalEmbedding::forward(const Tensor& x, const Tensor& m, const Batch& batch) {
  TORCH_CHECK(x.dim() == 2 && x.size(1) == config.relational_width(), "x: expected shape [rows, ",
              config.relational_width(), "] but got ", x.sizes());
  TORCH_CHECK(m.dim() == 2 && m.size(0) == x.size(0) && m.size(1) == config.num_risk_factors,
              "m: expected shape [", x.size(0), ", ", config.num_risk_factors, "] but got ",
              m.sizes());
  std::vector<Tensor> weights, biases;
  std::vector<double> signs;
  for (const auto& layer : layers) {
    weights.push_back(layer->weight);
    biases.push_back(layer->bias);
    signs.push_back(layer->sign);
  }
  auto [embedding, statistics] = ops::relational_embedding(
      x, m, weights, biases, signs, batch.graph.offsets, groups(batch), scale(),
      config.exclude_self, config.top_k, is_training() ? config.dropout : 0.0, batch.key,
      batch.similarity_segments);
  return {embedding, statistics};
}

// (I + A) values I + 0, less values: the layers' kernels, whatever the size of A.
Tensor RelationalEmbedding::peers(const Tensor& values, const Tensor& m, const Batch& batch) const {
  const auto weight = at::eye(values.size(1), values.options()),
             bias = at::zeros({values.size(1)}, values.options());
  const auto [both, statistics] = ops::relational_embedding(
      values, m, {weight}, {bias}, {1.0}, batch.graph.offsets, groups(batch), scale(),
      /*exclude_self=*/true, config.top_k, /*p=*/0.0, batch.key, batch.similarity_segments);
  return both - values;
}

std::optional<Tensor> RelationalEmbedding::groups(const Batch& batch) const {
  return groups_of(config.similarity_graph, batch.similarity_groups);
}

Tensor RelationalEmbedding::similarity(const Tensor& m, const std::optional<Tensor>& group) {
  return ops::similarity(m, scale(), config.exclude_self, config.top_k,
                         groups_of(config.similarity_graph, group));
}

Tensor RelationalEmbedding::similarity_rows(const Tensor& m, int64_t from, int64_t to,
                                            const Batch& batch) {
  return ops::similarity_rows(m, from, to, scale(), config.exclude_self, config.top_k,
                              groups(batch));
}

}  // namespace astgnn::nn
