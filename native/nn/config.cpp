#include "nn/config.h"

#include <c10/util/Exception.h>

#include <cmath>
#include <initializer_list>

namespace astgnn::nn {
namespace {

// Dropout sites leave room for this many layers of one kind (ops.h, enum Site).
constexpr int64_t kMaxLayers = 64;

void check_size(const char* name, int64_t value, int64_t minimum = 1) {
  TORCH_CHECK_VALUE(value >= minimum, name, ": expected an integer >= ", minimum, " but got ",
                    value);
}

void check_layers(const char* name, int64_t count, int64_t minimum) {
  TORCH_CHECK_VALUE(count >= minimum && count <= kMaxLayers, name, ": expected ", minimum, " to ",
                    kMaxLayers, " layers but got ", count);
}

void check_name(const char* name, const std::string& value,
                std::initializer_list<const char*> legal) {
  std::string listed;
  for (const char* entry : legal) {
    if (value == entry) return;
    listed += (listed.empty() ? "\"" : " or \"") + std::string(entry) + "\"";
  }
  TORCH_CHECK_VALUE(false, name, ": expected ", listed, " but got \"", value, "\"");
}

}  // namespace

void Config::check() const {
  check_size("sequential_input_size", sequential_input_size);
  check_size("gru_hidden_size", gru_hidden_size);
  check_layers("gru_num_layers", gru_num_layers, 1);
  check_size("gat_num_heads", gat_num_heads);
  check_size("gat_hidden_size", gat_hidden_size);
  TORCH_CHECK_VALUE(gat_hidden_size % gat_num_heads == 0,
                    "gat_hidden_size: expected a multiple of gat_num_heads (", gat_num_heads,
                    ") but got ", gat_hidden_size);
  TORCH_CHECK_VALUE(gat_negative_slope >= 0 && gat_negative_slope < 1,
                    "gat_negative_slope: expected a number in [0, 1) but got ", gat_negative_slope);
  check_name("gat_residual", gat_residual, {"add", "subtract", "none"});
  check_size("residual_hidden_size", residual_hidden_size);
  check_size("num_risk_factors", num_risk_factors, 2);
  check_name("relational_input", relational_input, {"features", "state", "both"});
  check_size("tgc_hidden_size", tgc_hidden_size);
  check_size("tgc_output_size", tgc_output_size);
  check_layers("num_tgc_layers", num_tgc_layers, 1);
  TORCH_CHECK_VALUE(!tgc_modes.empty(), "tgc_modes: expected at least one mode but got none");
  for (const auto& mode : tgc_modes) check_name("tgc_modes", mode, {"add", "subtract"});
  check_name("similarity_scale", similarity_scale, {"number", "sqrtK", "learned"});
  TORCH_CHECK_VALUE(similarity_scale != "number" ||
                        (similarity_scale_value > 0 && std::isfinite(similarity_scale_value)),
                    "similarity_scale: expected a number > 0 but got ", similarity_scale_value);
  check_size("top_k", top_k, 0);
  check_name("similarity_graph", similarity_graph, {"complete", "groups"});
  check_layers("prediction_hidden_sizes", static_cast<int64_t>(prediction_hidden_sizes.size()), 0);
  for (int64_t size : prediction_hidden_sizes) check_size("prediction_hidden_sizes", size);
  check_size("num_predictions", num_predictions);
  check_name("norm", norm, {"layer", "batch"});
  TORCH_CHECK_VALUE(dropout >= 0 && dropout < 1, "dropout: expected a number in [0, 1) but got ",
                    dropout);
  TORCH_CHECK_VALUE(eps > 0 && std::isfinite(eps), "eps: expected a number > 0 but got ", eps);
}

int64_t Config::relational_width() const {
  if (relational_input == "features") return sequential_input_size;
  if (relational_input == "state") return gru_hidden_size;
  return sequential_input_size + gru_hidden_size;
}

}  // namespace astgnn::nn
