// What a step sets on a module for as long as it takes.
#pragma once

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>
#include <torch/nn/module.h>

#include <vector>

namespace astgnn::train {

// Sets dropout and batch statistics for a scope. The job in hand alone writes a module's flag once
// it is made; a scope within a scope of the same mode writes nothing, so that several threads may
// open one.
class TrainingMode {
 public:
  TrainingMode(torch::nn::Module& module, bool training)
      : module_(module), before_(module.is_training()), changes_(before_ != training) {
    if (changes_) module_.train(training);
  }
  ~TrainingMode() {
    if (changes_) module_.train(before_);
  }
  TrainingMode(const TrainingMode&) = delete;
  TrainingMode& operator=(const TrainingMode&) = delete;

 private:
  torch::nn::Module& module_;
  bool before_, changes_;
};

// A forward in training mode moves the running statistics before anyone knows whether the step
// stands; unless it does, they go back.
class BufferGuard {
 public:
  explicit BufferGuard(const torch::nn::Module& module) : buffers_(module.buffers()) {
    for (const auto& buffer : buffers_) copies_.push_back(buffer.clone());
  }
  ~BufferGuard() {
    c10::NoGradGuard no_grad;
    for (size_t i = 0; i < copies_.size(); ++i) buffers_[i].copy_(copies_[i]);
  }
  void keep_changes() { copies_.clear(); }
  // Of a step that the device may have stopped: float 0-d, 0 or 1.
  void keep_changes_unless(const Tensor& stop) {
    c10::NoGradGuard no_grad;
    for (size_t i = 0; i < copies_.size(); ++i)
      buffers_[i].copy_(at::where(stop.to(at::kBool), copies_[i], buffers_[i]));
    copies_.clear();
  }
  BufferGuard(const BufferGuard&) = delete;
  BufferGuard& operator=(const BufferGuard&) = delete;

 private:
  std::vector<Tensor> buffers_, copies_;
};

}  // namespace astgnn::train
