// A model of narrow layers for the small panel's five features.
#pragma once

#include "nn/modules.h"

inline astgnn::nn::Config small_config() {
  astgnn::nn::Config config;
  config.sequential_input_size = 5;
  config.gru_hidden_size = 6;
  config.gat_hidden_size = 8;
  config.gat_num_heads = 2;
  config.residual_hidden_size = 8;
  config.num_risk_factors = 3;
  config.tgc_hidden_size = 6;
  config.tgc_output_size = 5;
  config.prediction_hidden_sizes = {7};
  config.num_predictions = 1;
  config.dropout = 0.2;
  return config;
}

inline std::shared_ptr<astgnn::nn::ASTGNNFactorModel> small_model(const std::string& norm = "layer",
                                                                  int64_t predictions = 1) {
  astgnn::nn::Config config = small_config();
  config.num_predictions = predictions;
  config.norm = norm;
  return std::make_shared<astgnn::nn::ASTGNNFactorModel>(config, 2);
}
