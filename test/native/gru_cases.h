// What every form of the GRU's kernels is tested with.
#pragma once

#include <ATen/Parallel.h>

#include "check.h"
#include "ops/ops.h"
#include "ops/precision.h"
#include "ops/reference.h"

namespace gru_cases {

using at::Tensor;
using namespace astgnn;

inline std::vector<Tensor> make_weights(int64_t features, int64_t hidden, int64_t layers,
                                        at::ScalarType dtype) {
  std::vector<Tensor> weights;
  for (int64_t l = 0; l < layers; ++l) {
    weights.push_back(at::randn({3 * hidden, l == 0 ? features : hidden}, dtype) * 0.4);
    weights.push_back(at::randn({3 * hidden, hidden}, dtype) * 0.4);
    weights.push_back(at::randn({3 * hidden}, dtype) * 0.4);
    weights.push_back(at::randn({3 * hidden}, dtype) * 0.4);
  }
  return weights;
}

inline std::vector<Tensor> leaves(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> out;
  for (const Tensor& each : tensors) out.push_back(each.detach().clone().requires_grad_(true));
  return out;
}

inline Tensor make_key(int64_t rows) {
  return at::cat({at::tensor({5, 9}, at::kLong).view({1, 2}),
                  at::stack({at::full({rows}, 70, at::kLong), at::arange(rows, at::kLong)}, 1)});
}

inline void compare_gradients(const Tensor& got, const std::vector<Tensor>& a,
                              const Tensor& expected, const std::vector<Tensor>& b,
                              double tolerance, const std::string& where) {
  const auto x = check::gradients(got, a), y = check::gradients(expected, b);
  for (size_t k = 0; k < a.size(); ++k)
    check::close(x[k], y[k], tolerance, "gradient " + std::to_string(k) + where);
}

// Largest of several errors, or bars for them.
struct Errors {
  double values = 0, gradients = 0;
};

// Sizes of real use, where a broken tile cannot hide: float32 against the float64 kernel, which the
// twin and central differences vouch for. spread: of the weights, times 1 / sqrt(H).
inline void accuracy(const std::string& kernels, const Errors& allowed, double spread = 1) {
  for (const int64_t rows : {1000, 3001}) {
    for (const int64_t hidden : {16, 40, 64, 256}) {
      if (hidden != 64 && rows != 1000) continue;
      const int64_t features = 21, window = hidden == 64 && rows == 1000 ? 20 : 4;
      const Tensor panel = at::randn({window + 3, rows, features}),
                   date = at::randint(window - 1, window + 3, {rows}, at::kLong),
                   stock = at::arange(rows, at::kLong), key = make_key(rows);
      const auto exact = leaves(make_weights(features, hidden, 2, at::kDouble));
      std::vector<Tensor> narrow;
      for (const Tensor& each : exact) {
        at::NoGradGuard no_grad;
        at::Tensor(each).mul_(spread * 2.5 / std::sqrt(static_cast<double>(hidden)));
        narrow.push_back(each.to(at::kFloat).requires_grad_(true));
        at::Tensor(each).copy_(narrow.back());
      }
      const Tensor got = ops::gru(panel, date, stock, window, narrow, 0.1, key),
                   expected = ops::gru(panel, date, stock, window, exact, 0.1, key);
      const std::string where = kernels + ", R " + std::to_string(rows) + ", H " +
                                std::to_string(hidden) + ", float32 against float64";
      double worst = 0;
      // Of random signs: a regular pattern over the rows would cancel in the sums over them.
      const Tensor signs = at::randn({rows, hidden}, at::kDouble);
      const auto a = check::gradients(got * signs.to(at::kFloat), narrow),
                 b = check::gradients(expected * signs, exact);
      for (size_t k = 0; k < a.size(); ++k) worst = std::max(worst, check::error(a[k], b[k]));
      std::printf("%s: values %.1e, gradients %.1e\n", where.c_str(), check::error(got, expected),
                  worst);
      check::close(got, expected, allowed.values, "values, " + where);
      check::that(worst <= allowed.gradients, "gradients, " + where);
    }
  }
}

// Odd sizes against the twin of the same dtype, from a panel and dense, with and without dropout.
inline void against_twin(at::ScalarType dtype, double tolerance) {
  const int64_t stocks = 160, features = 5, hidden = 6;
  for (const int64_t rows : {0, 1, 2, 31, 33, 151, 300}) {
    for (const int64_t window : {1, 2, 20}) {
      for (const int64_t layers : {1, 3}) {
        for (const double p : {0.0, 0.3}) {
          const std::string where = " at R " + std::to_string(rows) + ", T " +
                                    std::to_string(window) + ", layers " + std::to_string(layers) +
                                    ", p " + std::to_string(p) +
                                    (dtype == at::kFloat ? ", float32" : "");
          const Tensor panel = at::randn({30, stocks, features});
          const Tensor date = at::randint(window - 1, 30, {rows}, at::kLong),
                       stock = at::randint(0, stocks, {rows}, at::kLong);
          const Tensor key = make_key(rows);
          const auto weights = make_weights(features, hidden, layers, dtype);
          const auto a = leaves(weights), b = leaves(weights);
          const Tensor got = ops::gru(panel, date, stock, window, a, p, key);
          const Tensor expected = ops::reference::gru(panel, date, stock, window, b, p, key);
          check::close(got, expected, tolerance, "panel values" + where);
          if (rows > 0)
            compare_gradients(got, a, expected, b, tolerance, " of the panel form" + where);

          auto c = leaves(weights), d = leaves(weights);
          const Tensor x = at::randn({window, rows, features}, dtype);
          c.push_back(x.clone().requires_grad_(true));
          d.push_back(x.clone().requires_grad_(true));
          const auto only = [&](const std::vector<Tensor>& all) {
            return at::TensorList(all).slice(0, weights.size());
          };
          const Tensor dense = ops::gru_dense(c.back(), only(c), p, key),
                       dense_expected = ops::reference::gru_dense(d.back(), only(d), p, key);
          check::close(dense, dense_expected, tolerance, "dense values" + where);
          if (rows > 0)
            compare_gradients(dense, c, dense_expected, d, tolerance, " of the dense form" + where);
        }
      }
    }
  }
}

// Values and gradients, bit for bit.
inline void any_number_of_threads() {
  const int64_t stocks = 160, features = 5;
  const Tensor panel = at::randn({40, stocks, features}),
               date = at::randint(19, 40, {700}, at::kLong),
               stock = at::randint(0, stocks, {700}, at::kLong);
  for (const int64_t rows : {1, 100, 300, 700}) {
    std::vector<std::vector<Tensor>> runs;
    for (const int threads : {1, 2, 5}) {
      at::set_num_threads(threads);
      const auto a = leaves(make_weights(features, 64, 2, at::kFloat));
      at::NoGradGuard no_grad;
      for (const Tensor& each : a)
        at::Tensor(each).copy_(
            at::arange(each.numel()).view(each.sizes()).mul(0.37).sin().mul(0.2));
      at::AutoGradMode grad(true);
      const Tensor out = ops::gru(panel, date.slice(0, 0, rows), stock.slice(0, 0, rows), 20, a,
                                  0.2, make_key(rows));
      runs.push_back(check::gradients(out, a));
      runs.back().push_back(out.detach());
    }
    at::set_num_threads(2);
    for (size_t k = 0; k < runs[0].size(); ++k) {
      for (size_t run = 1; run < runs.size(); ++run)
        check::equal(runs[0][k], runs[run][k],
                     "tensor " + std::to_string(k) + " at R " + std::to_string(rows) +
                         " does not depend on the number of threads");
    }
  }
}

}  // namespace gru_cases
