// The reference's Config: names, defaults and legal values are its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace astgnn::nn {

struct Config {
  int64_t sequential_input_size = 21;
  int64_t gru_hidden_size = 64;
  int64_t gru_num_layers = 2;
  int64_t gat_hidden_size = 128;  // all heads together
  int64_t gat_num_heads = 4;
  double gat_negative_slope = 0.2;
  std::string gat_residual = "add";  // "add" | "subtract" | "none"
  int64_t residual_hidden_size = 128;
  int64_t num_risk_factors = 32;
  std::string relational_input = "features";  // "features" | "state" | "both"
  int64_t tgc_hidden_size = 128;
  int64_t tgc_output_size = 64;
  int64_t num_tgc_layers = 2;
  std::vector<std::string> tgc_modes = {"add", "subtract"};
  std::string similarity_scale = "number";  // "number" | "sqrtK" | "learned"
  double similarity_scale_value = 1.0;      // where similarity_scale is "number"
  bool exclude_self = false;
  int64_t top_k = 0;
  std::string similarity_graph = "complete";  // "complete" | "groups"
  bool relational_skip = false;
  std::vector<int64_t> prediction_hidden_sizes = {128, 64};
  int64_t num_predictions = 1;
  std::string norm = "layer";  // "layer" | "batch"
  double dropout = 0.1;
  double eps = 1e-5;

  // Throws c10::Error (TORCH_CHECK) naming the field.
  void check() const;
  int64_t relational_width() const;  // X: width of the TGC's input
};

}  // namespace astgnn::nn
