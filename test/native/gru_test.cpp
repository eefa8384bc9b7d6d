// GRU: equal to the reference step by step, from a panel and dense, in values and all gradients;
// blocks and threads leave no trace.
#include <ATen/Parallel.h>

#include "check.h"
#include "ops/reference.h"

namespace {

using at::Tensor;
using namespace astgnn;

std::vector<Tensor> make_weights(int64_t features, int64_t hidden, int64_t layers,
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

std::vector<Tensor> leaves(const std::vector<Tensor>& tensors) {
  std::vector<Tensor> out;
  for (const Tensor& each : tensors) out.push_back(each.detach().clone().requires_grad_(true));
  return out;
}

Tensor make_key(int64_t rows) {
  return at::cat({at::tensor({5, 9}, at::kLong).view({1, 2}),
                  at::stack({at::full({rows}, 70, at::kLong), at::arange(rows, at::kLong)}, 1)});
}

void compare_gradients(const Tensor& got, const std::vector<Tensor>& a, const Tensor& expected,
                       const std::vector<Tensor>& b, double tolerance, const std::string& where) {
  const auto x = check::gradients(got, a), y = check::gradients(expected, b);
  for (size_t k = 0; k < a.size(); ++k)
    check::close(x[k], y[k], tolerance, "gradient " + std::to_string(k) + where);
}

// Sizes of real use, where a broken tile cannot hide: float32 against the float64 kernel, which the
// twin and central differences vouch for.
void accuracy(const std::string& isa) {
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
        at::Tensor(each).mul_(2.5 / std::sqrt(static_cast<double>(hidden)));
        narrow.push_back(each.to(at::kFloat).requires_grad_(true));
        at::Tensor(each).copy_(narrow.back());
      }
      const Tensor got = ops::gru(panel, date, stock, window, narrow, 0.1, key),
                   expected = ops::gru(panel, date, stock, window, exact, 0.1, key);
      const std::string where = isa + ", R " + std::to_string(rows) + ", H " +
                                std::to_string(hidden) + ", float32 against float64";
      double worst = 0;
      const auto a = check::gradients(got, narrow), b = check::gradients(expected, exact);
      for (size_t k = 0; k < a.size(); ++k) worst = std::max(worst, check::error(a[k], b[k]));
      std::printf("%s: values %.1e, gradients %.1e\n", where.c_str(), check::error(got, expected),
                  worst);
      check::close(got, expected, 2e-6, "values, " + where);
      check::that(worst <= 3e-6 * std::max(1.0, hidden / 64.0), "gradients, " + where);
    }
  }
}

void behaviour() {
  const int64_t stocks = 160, features = 5, hidden = 6;
  for (const auto dtype : {at::kDouble, at::kFloat}) {
    // float32: sums of up to 151 * 20 products in another order.
    const double tolerance = dtype == at::kDouble ? 1e-10 : 2e-5;
    for (const int64_t rows : {0, 1, 2, 31, 33, 151, 300}) {
      for (const int64_t window : {1, 2, 20}) {
        for (const int64_t layers : {1, 3}) {
          for (const double p : {0.0, 0.3}) {
            const std::string where = " at R " + std::to_string(rows) + ", T " +
                                      std::to_string(window) + ", layers " +
                                      std::to_string(layers) + ", p " + std::to_string(p) +
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
              compare_gradients(dense, c, dense_expected, d, tolerance,
                                " of the dense form" + where);
          }
        }
      }
    }
  }

  // Against PyTorch's own GRU.
  const auto weights = make_weights(features, hidden, 2, at::kDouble);
  const Tensor x = at::randn({7, 33, features}, at::kDouble);
  const Tensor theirs = std::get<0>(at::gru(x, at::zeros({2, 33, hidden}, at::kDouble), weights,
                                            true, 2, 0.0, false, false, false))
                            .select(0, 6);
  check::close(ops::gru_dense(x, weights, 0, Tensor()), theirs, 1e-12, "equal to at::gru");
  const Tensor strided = at::randn({features, 33, 7}, at::kDouble).permute({2, 1, 0});
  check::equal(ops::gru_dense(strided, weights, 0, Tensor()),
               ops::gru_dense(strided.contiguous(), weights, 0, Tensor()),
               "a non-contiguous input");

  auto inputs = make_weights(3, 4, 2, at::kDouble);
  inputs.push_back(at::randn({4, 3, 3}, at::kDouble));
  const Tensor key = make_key(3);
  check::gradient(
      [&](const std::vector<Tensor>& in) {
        return ops::gru_dense(in.back(), at::TensorList(in).slice(0, 8), 0.3, key);
      },
      inputs, "central differences with dropout");

  // Threads: values and gradients, bit for bit.
  const Tensor panel = at::randn({40, stocks, features}),
               date = at::randint(19, 40, {700}, at::kLong),
               stock = at::randint(0, stocks, {700}, at::kLong);
  for (const int64_t rows : {1, 100, 700}) {
    std::vector<std::vector<Tensor>> runs;
    for (const int threads : {1, 2}) {
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
    for (size_t k = 0; k < runs[0].size(); ++k) {
      check::equal(runs[0][k], runs[1][k],
                   "tensor " + std::to_string(k) + " at R " + std::to_string(rows) +
                       " does not depend on the number of threads");
    }
  }
  const auto wide = make_weights(features, 64, 2, at::kDouble);
  const Tensor alone =
      ops::gru(panel, date.slice(0, 0, 33), stock.slice(0, 0, 33), 20, wide, 0, Tensor());
  check::close(ops::gru(panel, date, stock, 20, wide, 0, Tensor()).slice(0, 0, 33), alone, 1e-13,
               "a row does not depend on what shares its batch");

  check::throws(
      [&] {
        ops::gru(panel, at::full({1}, 18, at::kLong), at::zeros({1}, at::kLong), 20, wide, 0,
                 Tensor());
      },
      "panel dates from 19", "a window that starts before the panel is refused");
  check::throws(
      [&] {
        ops::gru(panel, at::full({1}, 40, at::kLong), at::zeros({1}, at::kLong), 20, wide, 0,
                 Tensor());
      },
      "row 0 has 40", "a date past the panel is refused");
  check::throws(
      [&] {
        ops::gru(panel, at::full({1}, 20, at::kLong), at::full({1}, stocks, at::kLong), 20, wide, 0,
                 Tensor());
      },
      "stocks from 0", "a stock past the panel is refused");
  check::throws([&] { ops::gru_dense(x.to(at::kFloat), weights, 0, Tensor()); },
                "in the dtype of the weights", "mixed dtypes are refused");
}

}  // namespace

int main() {
  check::each_instruction_set([](const std::string& isa) {
    at::manual_seed(3);
    accuracy(isa);
    behaviour();
  });
  return check::finish();
}
