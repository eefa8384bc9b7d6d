#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "nn/modules.h"

namespace astgnn::nn {

Tensor Sequences::last(at::ScalarType dtype) const {
  if (dense.defined()) return dense.select(0, dense.size(0) - 1).to(dtype);
  const int64_t stocks = panel.size(1), features = panel.size(2);
  return panel.view({-1, features}).index_select(0, date * stocks + stock).to(dtype);  // [R, F]
}

FactorExtractor::FactorExtractor(const Config& config, at::Generator generator)
    : dropout(config.dropout) {
  config.check();
  gat_sign = config.gat_residual == "none" ? 0.0 : config.gat_residual == "add" ? 1.0 : -1.0;
  const int64_t state = config.gru_hidden_size, attended = config.gat_hidden_size;
  gru = register_module("gru", std::make_shared<Gru>(config.sequential_input_size, state,
                                                     config.gru_num_layers, dropout, generator));
  gat = register_module(
      "gat", std::make_shared<GraphAttention>(state, attended, config.gat_num_heads,
                                              config.gat_negative_slope, dropout, generator));
  if (gat_sign != 0) {
    gat_shortcut = register_module("gat_shortcut",
                                   std::make_shared<Linear>(state, attended, false, generator));
  }
  residual = register_module("residual",
                             std::make_shared<ResidualBlock>(attended, config.residual_hidden_size,
                                                             config.norm, config.eps, generator));
  full_linear = register_module(
      "full_linear", std::make_shared<Linear>(config.residual_hidden_size, config.num_risk_factors,
                                              true, generator));
  full_norm = register_module("full_norm",
                              std::make_shared<Norm>("layer", config.num_risk_factors, config.eps));
}

Extracted FactorExtractor::forward(const Sequences& x, const Batch& batch) {
  if (x.dense.defined()) {
    const int64_t features = gru->weights[0].size(1);
    TORCH_CHECK(x.dense.dim() == 3 && x.dense.size(0) >= 1 && x.dense.size(2) == features,
                "sequences: expected shape [T, rows, ", features, "] with T >= 1 but got ",
                x.dense.sizes());
  }
  const auto h = ops::dropout(gru->forward(x, batch.key), is_training() ? dropout : 0.0, batch.key,
                              ops::kState);  // [R, H]
  auto attended = gat->forward(h, batch);    // [R, A * D]
  if (gat_shortcut) {
    attended = at::add(gat_shortcut->forward(h), attended, gat_sign);
  }
  const auto full = full_linear->forward(residual->forward(attended));  // [R, K]
  return {full_norm->forward(full, ops::Activation::kTanh), h};
}

}  // namespace astgnn::nn
