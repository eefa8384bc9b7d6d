// Layer norm with residual, activation and dropout in one pass: equal to the same written out, in
// values and all gradients, under every instruction set.
#include <ATen/Parallel.h>

#include "check.h"
#include "ops/reference.h"

namespace {

using at::Tensor;
using namespace astgnn;
using ops::Activation;

Tensor make_key(int64_t rows) {
  return at::cat({at::tensor({5, 9}, at::kLong).view({1, 2}),
                  at::stack({at::full({rows}, 70, at::kLong), at::arange(rows, at::kLong)}, 1)});
}

std::vector<Tensor> leaves(int64_t rows, int64_t columns, at::ScalarType dtype) {
  std::vector<Tensor> out = {at::randn({rows, columns}, dtype) * 2 + 0.5,
                             at::randn({columns}, dtype), at::randn({columns}, dtype),
                             at::randn({rows, columns}, dtype)};
  for (Tensor& each : out) each.requires_grad_(true);
  return out;
}

std::optional<Tensor> residual_of(const std::vector<Tensor>& inputs, bool wanted) {
  return wanted ? std::optional<Tensor>(inputs[3]) : std::nullopt;
}

void behaviour(const std::string& isa) {
  for (const auto dtype : {at::kDouble, at::kFloat}) {
    const double tolerance = dtype == at::kDouble ? 1e-12 : 3e-6;
    for (const int64_t rows : {0, 1, 63, 65, 300}) {
      for (const int64_t columns : {1, 5, 16, 32, 64, 127, 128, 130}) {
        for (const auto activation : {Activation::kNone, Activation::kRelu, Activation::kTanh}) {
          for (const bool residual : {false, true}) {
            const double p = activation == Activation::kRelu ? 0.3 : 0.0;
            const std::string where = isa + ", " + std::to_string(rows) + " x " +
                                      std::to_string(columns) + ", activation " +
                                      std::to_string(static_cast<int>(activation)) +
                                      (residual ? ", residual" : "");
            // One column is its own mean: what remains is rounding over sqrt(eps).
            const double eps = columns == 1 ? 1.0 : 1e-5;
            const auto in = leaves(rows, columns, dtype);
            const Tensor key = make_key(rows);
            const Tensor got =
                ops::norm_activation(in[0], in[1], in[2], eps, residual_of(in, residual),
                                     activation, p, key, ops::kHead);
            const Tensor expected =
                ops::reference::norm_activation(in[0], in[1], in[2], eps, residual_of(in, residual),
                                                activation, p, key, ops::kHead);
            check::close(got, expected, tolerance, "values, " + where);
            if (rows == 0) continue;
            const auto a = check::gradients(got, in), b = check::gradients(expected, in);
            for (size_t k = 0; k < in.size(); ++k) {
              if (!b[k].defined()) {
                check::that(!a[k].defined(), "no gradient of an absent residual, " + where);
              } else if (columns > 1 || k > 0) {
                check::close(a[k], b[k], 4 * tolerance,
                             "gradient " + std::to_string(k) + ", " + where);
              }
            }
          }
        }
      }
    }
  }

  auto small = leaves(4, 7, at::kDouble);
  const Tensor key = make_key(4);
  for (Tensor& each : small) each = each.detach().clone();
  check::gradient(
      [&](const std::vector<Tensor>& in) {
        return ops::norm_activation(in[0], in[1], in[2], 1e-5, in[3], Activation::kRelu, 0.3, key,
                                    ops::kHead);
      },
      small, "central differences, " + isa);

  std::vector<std::vector<Tensor>> runs;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    at::manual_seed(5);
    const auto in = leaves(1000, 128, at::kFloat);
    const Tensor y = ops::norm_activation(in[0], in[1], in[2], 1e-5, in[3], Activation::kRelu, 0.1,
                                          make_key(1000), ops::kHead);
    runs.push_back(check::gradients(y, in));
    runs.back().push_back(y.detach());
  }
  for (size_t k = 0; k < runs[0].size(); ++k)
    check::equal(runs[0][k], runs[1][k], "any number of threads, " + isa);

  // Sizes of real use against float64.
  for (const int64_t rows : {1000, 3001}) {
    const auto exact = leaves(rows, 128, at::kDouble);
    std::vector<Tensor> narrow;
    for (const Tensor& each : exact) {
      narrow.push_back(each.detach().to(at::kFloat).requires_grad_(true));
      at::NoGradGuard no_grad;
      at::Tensor(each).copy_(narrow.back());
    }
    const auto run = [&](const std::vector<Tensor>& in) {
      return ops::norm_activation(in[0], in[1], in[2], 1e-5, in[3], Activation::kTanh, 0, Tensor(),
                                  0);
    };
    const Tensor got = run(narrow), expected = run(exact);
    const auto a = check::gradients(got, narrow), b = check::gradients(expected, exact);
    double worst = 0;
    for (size_t k = 0; k < a.size(); ++k) worst = std::max(worst, check::error(a[k], b[k]));
    std::printf("%s, %d rows, float32 against float64: values %.1e, gradients %.1e\n", isa.c_str(),
                static_cast<int>(rows), check::error(got, expected), worst);
    check::close(got, expected, 1e-6, "values against float64, " + isa);
    check::that(worst <= 3e-6, "gradients against float64, " + isa);
  }
}

}  // namespace

int main() {
  check::each_instruction_set([](const std::string& isa) {
    at::manual_seed(4);
    behaviour(isa);
  });
  const Tensor x = at::randn({3, 4}), w = at::ones({4});
  check::throws(
      [&] {
        ops::norm_activation(x, w, w, 1e-5, std::nullopt, Activation::kTanh, 0.1, make_key(3), 0);
      },
      "relu where p > 0", "dropout after tanh is refused");
  check::throws(
      [&] {
        ops::norm_activation(x, at::ones({5}), w, 1e-5, std::nullopt, Activation::kNone, 0,
                             Tensor(), 0);
      },
      "for weight", "a weight of another width is refused");
  return check::finish();
}
