// A small test harness: named checks that are counted, tensor comparison, and a central-difference
// gradient check in float64.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <vector>

#include "ops/cpu/isa/kernels.h"

namespace check {

inline int passed = 0;
inline int failed = 0;
inline bool on_device = false;  // the ops are the CUDA library's
inline bool emulated = false;   // its kernels run one thread after the other: small sizes only

inline void that(bool condition, const std::string& behaviour) {
  if (condition) {
    ++passed;
  } else {
    ++failed;
    std::fprintf(stderr, "FAILED: %s\n", behaviour.c_str());
  }
}

// body once for every instruction set that this machine has; the others are named.
inline void each_instruction_set(const std::function<void(const std::string& name)>& body) {
  if (on_device) return body(emulated ? "emulated CUDA" : "CUDA");
  for (const char* name : {"scalar", "avx2", "avx512"}) {
    if (astgnn::ops::use_kernels(name)) {
      body(name);
    } else {
      std::printf("not tested: this machine has no %s\n", name);
    }
  }
}

// max|a - b| / max|b| as in the parity fixtures; max|a - b| where b is all 0. NaN (or one shape
// against another) counts as infinite, unless both have NaN at the same places.
inline double error(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined() || !b.defined() || a.sizes() != b.sizes()) return INFINITY;
  if (b.numel() == 0) return 0;
  const at::Tensor x = a.detach().to(at::kDouble), y = b.detach().to(at::kDouble);
  if (!at::equal(x.isnan(), y.isnan())) return INFINITY;
  const double largest = y.nan_to_num().abs().max().item<double>();
  const double difference = (x.nan_to_num() - y.nan_to_num()).abs().max().item<double>();
  return largest > 0 ? difference / largest : difference;
}

inline void close(const at::Tensor& a, const at::Tensor& b, double tolerance,
                  const std::string& behaviour) {
  const double e = error(a, b);
  char text[48];
  std::snprintf(text, sizeof text, " (error %.2e, allowed %.0e)", e, tolerance);
  that(e <= tolerance, behaviour + text);
}

inline void equal(const at::Tensor& a, const at::Tensor& b, const std::string& behaviour) {
  that(a.defined() && b.defined() && a.sizes() == b.sizes() && at::equal(a, b),
       behaviour + " (bit for bit)");
}

inline void near(double a, double b, double tolerance, const std::string& behaviour) {
  that(std::abs(a - b) <= tolerance,
       behaviour + " (" + std::to_string(a) + " against " + std::to_string(b) + ")");
}

inline void throws(const std::function<void()>& call, const std::string& words,
                   const std::string& behaviour) {
  try {
    call();
  } catch (const std::exception& failure) {
    that(std::string(failure.what()).find(words) != std::string::npos,
         behaviour + ": message was " + std::string(failure.what()).substr(0, 200));
    return;
  }
  that(false, behaviour + ": nothing was thrown");
}

// Gradients of sum(outputs * fixed random cotangents) by autograd, for those inputs that require
// one (undefined where it got none).
inline std::vector<at::Tensor> gradients(const at::Tensor& output,
                                         const std::vector<at::Tensor>& inputs) {
  at::Tensor cotangent = at::arange(output.numel(), at::kDouble)
                             .add_(1)
                             .mul_(0.7)
                             .sin_()
                             .to(output.scalar_type())
                             .view(output.sizes());
  return torch::autograd::grad({output}, inputs, {cotangent}, /*retain_graph=*/false,
                               /*create_graph=*/false, /*allow_unused=*/true);
}

// Compares autograd with central differences, entry by entry (at most `entries` of each input,
// evenly spread), in float64. With step 1e-6 truncation is about 1e-12 and rounding 1e-10 of the
// function's size, so 1e-7 of the largest entry is a real bar.
inline void gradient(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& function,
                     std::vector<at::Tensor> inputs, const std::string& behaviour,
                     double tolerance = 1e-7, double step = 1e-6, int64_t entries = 40) {
  for (at::Tensor& input : inputs)
    input = input.detach().clone().to(at::kDouble).requires_grad_(true);
  const at::Tensor output = function(inputs);
  const at::Tensor cotangent =
      at::arange(output.numel(), at::kDouble).add_(1).mul_(0.7).sin_().view(output.sizes());
  const std::vector<at::Tensor> analytic = gradients(output, inputs);
  for (size_t k = 0; k < inputs.size(); ++k) {
    const at::Tensor got =
        analytic[k].defined() ? analytic[k].contiguous() : at::zeros_like(inputs[k]);
    at::NoGradGuard no_grad;
    double* x = inputs[k].data_ptr<double>();
    const int64_t count = inputs[k].numel(), stride = std::max<int64_t>(1, count / entries);
    double worst = 0;
    const double largest = count ? got.abs().max().item<double>() : 0;
    for (int64_t i = 0; i < count; i += stride) {
      const double kept = x[i];
      x[i] = kept + step;
      const double above = (function(inputs) * cotangent).sum().item<double>();
      x[i] = kept - step;
      const double below = (function(inputs) * cotangent).sum().item<double>();
      x[i] = kept;
      const double difference = std::abs((above - below) / (2 * step) - got.data_ptr<double>()[i]);
      worst = difference <= worst ? worst : difference;  // keeps NaN
    }
    char text[96];
    std::snprintf(text, sizeof text, ": input %zu, worst %.2e of largest %.2e", k, worst, largest);
    that(worst <= tolerance * std::max(1.0, largest), behaviour + text);
  }
}

// To be returned from main.
inline int finish() {
  std::printf("%d checks: %d passed, %d failed\n", passed + failed, passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace check
