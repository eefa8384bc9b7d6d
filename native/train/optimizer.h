// Clip by the global norm, AdamW, moving average of the weights; parameters in registration order.
#pragma once

#include <string>
#include <vector>

#include "nn/modules.h"

namespace astgnn::train {

using at::Tensor;

struct OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  double clip_norm = 1;  // 0: none
  double ema = 0.998;    // decay; used only where there is an averaged module
};

class Optimizer {
 public:
  // averaged: a module of the same kind that holds the EMA (null: none). Starts as a copy of the
  // weights.
  Optimizer(torch::nn::Module& module, torch::nn::Module* averaged,
            const OptimizerOptions& options);
  // Counts an update and says what it depends on besides gradients: [3] double on the CPU.
  Tensor next(double learning_rate);
  // Uses and clears .grad of each parameter (undefined = zero); returns the norm before clipping
  // (0-d) without waiting for the device. `stop` (float 0-d, 0 or 1) is set where the norm is not
  // finite; where it is set, nothing changes. `numbers` are what `next` gave, on the CPU or, for an
  // update that is captured and has others each time, where the weights are (and the learning rate
  // in float32, as LibTorch reads it there). On the CPU one pass over all weights (ops/cpu/adamw.h).
  Tensor apply(const Tensor& numbers, Tensor& stop);
  // The same by LibTorch's ops, on any device: what the pass is tested against. Scales gradients in
  // place.
  Tensor apply_by_ops(const Tensor& numbers, Tensor& stop);
  void clear_gradients();

  int64_t updates = 0;
  std::vector<Tensor> exp_avg, exp_avg_sq;
  std::vector<std::string> names;

 private:
  std::vector<Tensor> gradients() const;
  void average(const Tensor& share, const Tensor& stop);
  void copy_buffers(const Tensor& stop);
  // Looked up at each use: Module::to and load_state_dict keep these handles valid, but a list of
  // our own would be a second truth.
  std::vector<Tensor> parameters() const;

  torch::nn::Module& module_;
  torch::nn::Module* averaged_;
  OptimizerOptions options_;
};

}  // namespace astgnn::train
