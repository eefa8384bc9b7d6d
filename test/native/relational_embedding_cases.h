// What every form of the relational embedding is tested with.
#pragma once

#include <ATen/Parallel.h>

#include "check.h"
#include "ops/reference.h"

namespace relational_embedding_cases {

using at::Tensor;
using namespace astgnn;

struct Options {
  std::vector<int64_t> offsets;
  std::optional<Tensor> groups;
  bool exclude_self = false;
  int64_t top_k = 0;
  double scale = 1, p = 0;
  int64_t layers = 2;
  std::vector<int64_t> widths = {4, 7, 5, 3};  // of x, then of each layer
  int64_t factors = 6;
};

inline Tensor make_key(int64_t rows) {
  return at::cat({at::tensor({5, 9}, at::kLong).view({1, 2}),
                  at::stack({at::full({rows}, 40, at::kLong), at::arange(rows, at::kLong)}, 1)});
}

// x, m, scale, then weights, then biases.
inline std::vector<Tensor> draw(const Options& o, at::ScalarType dtype) {
  const int64_t rows = o.offsets.back();
  std::vector<Tensor> inputs = {at::randn({rows, o.widths[0]}, dtype),
                                at::randn({rows, o.factors}, dtype).tanh(),
                                at::scalar_tensor(o.scale, dtype)};
  for (int64_t l = 0; l < o.layers; ++l)
    inputs.push_back(at::randn({o.widths[l], o.widths[l + 1]}, dtype));
  for (int64_t l = 0; l < o.layers; ++l) inputs.push_back(at::randn({o.widths[l + 1]}, dtype));
  return inputs;
}

// As the reference: a device's segments are its own making.
inline constexpr auto kEmbed = [](const auto&... arguments) {
  return ops::relational_embedding(arguments...);
};

template <class Op>
std::tuple<Tensor, Tensor> call(Op&& op, const std::vector<Tensor>& in, const Options& o) {
  const at::TensorList all(in);
  std::vector<double> signs;
  for (int64_t l = 0; l < o.layers; ++l) signs.push_back(l % 2 ? -1 : 1);
  return op(in[0], in[1], all.slice(3, o.layers), all.slice(3 + o.layers), signs,
            at::tensor(o.offsets, at::kLong), o.groups, in[2], o.exclude_self, o.top_k, o.p,
            make_key(o.offsets.back()));
}

inline std::vector<Tensor> leaves(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> out;
  for (const Tensor& each : tensors) out.push_back(each.detach().clone().requires_grad_(true));
  return out;
}

inline const std::vector<std::string> kResults = {"z", "dx", "dm", "dscale", "dw1", "dw2"};

// Errors of kResults against the reference in float64: ours in float32, and the reference's.
struct Errors {
  std::vector<double> own, reference;
};

// The first layer's bias keeps ReLU out of the way: a value next to its kink would flip, whatever
// the kernel. What it adds to each stock cancels again in the second layer, which costs M's
// gradient digits where A is nearly uniform, here and in the reference.
inline Errors errors_against_float64(Options o, double sigma) {
  const int64_t n = o.offsets.back();
  o.widths = {64, 128, 64};
  o.factors = 32;
  std::vector<Tensor> inputs = draw(o, at::kFloat);
  inputs[1] = (at::randn({n, o.factors}, at::kFloat) * sigma).tanh();
  for (const int layer : {3, 4}) inputs[layer].mul_(0.05);
  inputs[5].fill_(2);
  const Tensor cotangent = at::randn({n, 64}, at::kFloat);
  const auto results = [&](auto&& op, at::ScalarType dtype) {
    std::vector<Tensor> in;
    for (const Tensor& each : inputs) in.push_back(each.to(dtype));
    in = leaves(in);
    const Tensor z = std::get<0>(call(op, in, o));
    std::vector<Tensor> out = torch::autograd::grad({z}, in, {cotangent.to(dtype)});
    out.insert(out.begin(), z.detach());
    return out;
  };
  const auto exact = results(ops::reference::relational_embedding, at::kDouble),
             plain = results(ops::reference::relational_embedding, at::kFloat),
             ours = results(kEmbed, at::kFloat);
  // A sum whose terms cancel: against the sum of their sizes.
  const double share =
      (exact[3].abs() / (exact[2] * inputs[1]).abs().sum().mul(0.5)).item<double>();
  Errors errors;
  for (size_t k = 0; k < kResults.size(); ++k) {
    const double scale = kResults[k] == "dscale" ? share : 1;
    errors.own.push_back(scale * check::error(ours[k], exact[k]));
    errors.reference.push_back(scale * check::error(plain[k], exact[k]));
  }
  return errors;
}

inline void print(const std::string& where, const Errors& errors) {
  std::printf("%s, error (reference in float32):", where.c_str());
  for (size_t k = 0; k < kResults.size(); ++k)
    std::printf(" %s %.1e (%.1e)", kResults[k].c_str(), errors.own[k], errors.reference[k]);
  std::printf("\n");
}

}  // namespace relational_embedding_cases
