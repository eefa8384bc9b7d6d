#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <cmath>

#include "nn/modules.h"

namespace astgnn::nn {
namespace {

// nn.Linear and nn.GRU: U(-1 / sqrt(fan), 1 / sqrt(fan)).
Tensor uniform_by_fan(at::IntArrayRef shape, int64_t fan, const at::Generator& generator) {
  const double bound = 1 / std::sqrt(static_cast<double>(fan));
  return at::empty(shape, at::kFloat).uniform_(-bound, bound, generator);
}

Tensor xavier_uniform(int64_t rows, int64_t columns, const at::Generator& generator) {
  const double bound = std::sqrt(6.0 / static_cast<double>(rows + columns));
  return at::empty({rows, columns}, at::kFloat).uniform_(-bound, bound, generator);
}

}  // namespace

Linear::Linear(int64_t in, int64_t out, bool with_bias, at::Generator generator) {
  weight = register_parameter("weight", uniform_by_fan({out, in}, in, generator));
  if (with_bias) bias = register_parameter("bias", uniform_by_fan({out}, in, generator));
}

Tensor Linear::forward(const Tensor& x) {
  TORCH_CHECK(x.dim() == 2 && x.size(1) == weight.size(1), "expected an input of shape [rows, ",
              weight.size(1), "] but got ", x.sizes());
  return at::linear(x, weight, bias);
}

Norm::Norm(const std::string& kind, int64_t width, double epsilon)
    : batch(kind == "batch"), eps(epsilon) {
  weight = register_parameter("weight", at::ones({width}));
  bias = register_parameter("bias", at::zeros({width}));
  if (!batch) return;
  running_mean = register_buffer("running_mean", at::zeros({width}));
  running_var = register_buffer("running_var", at::ones({width}));
  num_batches_tracked = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
}

void Norm::to(torch::Dtype dtype, bool non_blocking) {
  torch::nn::Module::to(dtype, non_blocking);
  if (batch) num_batches_tracked.set_data(num_batches_tracked.to(at::kLong));
}

void Norm::to(torch::Device device, torch::Dtype dtype, bool non_blocking) {
  torch::nn::Module::to(device, dtype, non_blocking);
  if (batch) num_batches_tracked.set_data(num_batches_tracked.to(at::kLong));
}

Tensor Norm::forward(const Tensor& x, ops::Activation activation,
                     const std::optional<Tensor>& residual, double p, const Tensor& key,
                     int64_t site) {
  if (!batch) return ops::norm_activation(x, weight, bias, eps, residual, activation, p, key, site);
  if (is_training()) {
    TORCH_CHECK(x.size(0) >= 2, "norm \"batch\" needs at least 2 rows per training step but got ",
                x.size(0), "; use norm \"layer\", or more dates per step");
    c10::NoGradGuard no_grad;
    num_batches_tracked.add_(1);
  }
  Tensor y = at::batch_norm(x, weight, bias, running_mean, running_var, is_training(), 0.1, eps,
                            /*cudnn_enabled=*/false);
  if (residual) y = y + *residual;
  if (activation == ops::Activation::kRelu) y = at::relu(y);
  if (activation == ops::Activation::kTanh) y = at::tanh(y);
  return ops::dropout(y, p, key, site);
}

Gru::Gru(int64_t in, int64_t hidden, int64_t layers, double dropout_between,
         at::Generator generator)
    : dropout(dropout_between) {
  for (int64_t layer = 0; layer < layers; ++layer) {
    const auto suffix = "_l" + std::to_string(layer);
    const auto add = [&](const char* name, at::IntArrayRef shape) {
      weights.push_back(
          register_parameter(name + suffix, uniform_by_fan(shape, hidden, generator)));
    };
    add("weight_ih", {3 * hidden, layer == 0 ? in : hidden});
    add("weight_hh", {3 * hidden, hidden});
    add("bias_ih", {3 * hidden});
    add("bias_hh", {3 * hidden});
  }
}

Tensor Gru::forward(const Sequences& x, const Tensor& key) {
  const double p = is_training() && weights.size() > 4 ? dropout : 0.0;
  if (x.dense.defined()) return ops::gru_dense(x.dense, weights, p, key);
  return ops::gru(x.panel, x.date, x.stock, x.window, weights, p, key);
}

GraphAttention::GraphAttention(int64_t in, int64_t out, int64_t head_count, double negative_slope,
                               double dropout_p, at::Generator generator)
    : heads(head_count), slope(negative_slope), dropout(dropout_p) {
  TORCH_CHECK_VALUE(in >= 1, "in_size: expected an integer >= 1 but got ", in);
  TORCH_CHECK_VALUE(heads >= 1 && out >= 1 && out % heads == 0,
                    "out_size: expected a positive multiple of heads (", heads, ") but got ", out);
  TORCH_CHECK_VALUE(slope >= 0 && slope < 1, "negative_slope: expected a number in [0, 1) but got ",
                    slope);
  TORCH_CHECK_VALUE(dropout >= 0 && dropout < 1, "dropout: expected a number in [0, 1) but got ",
                    dropout);
  linear = register_module("linear", std::make_shared<Linear>(in, out, false, generator));
  {
    c10::NoGradGuard no_grad;
    linear->weight.copy_(xavier_uniform(out, in, generator));
  }
  attention_source =
      register_parameter("attention_source", xavier_uniform(heads, out / heads, generator));
  attention_target =
      register_parameter("attention_target", xavier_uniform(heads, out / heads, generator));
}

Tensor GraphAttention::forward(const Tensor& h, const Batch& batch) {
  const auto v = linear->forward(h).view({h.size(0), heads, -1});  // [R, A, D]
  // a . (W h) = (a W) . h: two numbers per head from h, without a product as large as v.
  const auto weight = linear->weight.view({heads, -1, h.size(1)});  // [A, D, H]
  const auto vectors =
      at::matmul(at::stack({attention_source, attention_target}, 1), weight);  // [A, 2, H]
  const auto scores = at::linear(h, vectors.view({2 * heads, -1})).view({h.size(0), heads, 2});
  return ops::graph_attention(v, scores.select(2, 0), scores.select(2, 1), batch.graph, slope,
                              is_training() ? dropout : 0.0, batch.key);
}

Tensor GraphAttention::attention(const Tensor& h, const ops::Graph& graph) {
  const auto v = linear->forward(h).view({h.size(0), heads, -1});  // [N, A, D]
  return ops::attention((v * attention_source).sum(-1), (v * attention_target).sum(-1), graph,
                        slope);
}

ResidualBlock::ResidualBlock(int64_t in, int64_t out, const std::string& norm, double eps,
                             at::Generator generator) {
  linear1 = register_module("linear1", std::make_shared<Linear>(in, out, true, generator));
  norm1 = register_module("norm1", std::make_shared<Norm>(norm, out, eps));
  linear2 = register_module("linear2", std::make_shared<Linear>(out, out, true, generator));
  norm2 = register_module("norm2", std::make_shared<Norm>(norm, out, eps));
  if (in == out) return;
  shortcut = register_module("shortcut", std::make_shared<Linear>(in, out, true, generator));
  shortcut_norm = register_module("shortcut_norm", std::make_shared<Norm>(norm, out, eps));
}

Tensor ResidualBlock::forward(const Tensor& x) {
  const auto inner = norm1->forward(linear1->forward(x), ops::Activation::kRelu);
  return norm2->forward(linear2->forward(inner), ops::Activation::kRelu,
                        shortcut ? shortcut_norm->forward(shortcut->forward(x)) : x);
}

}  // namespace astgnn::nn
