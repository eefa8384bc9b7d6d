// Soft rank: equal to the reference's projection and Jacobian, exact ranks at small strength, ties
// and sizes that break careless code.
#include "check.h"
#include "ops/reference.h"

namespace {

using at::Tensor;
using namespace astgnn;

void compare(const Tensor& values, double strength, double tolerance, const std::string& where) {
  Tensor a = values.detach().clone().requires_grad_(true),
         b = values.detach().clone().requires_grad_(true);
  const Tensor got = ops::soft_rank(a, strength), expected = ops::reference::soft_rank(b, strength);
  check::close(got, expected, tolerance, "values" + where);
  if (values.numel() > 0)
    check::close(check::gradients(got, {a})[0], check::gradients(expected, {b})[0], tolerance,
                 "gradient" + where);
}

}  // namespace

int main() {
  at::manual_seed(2);
  for (const int64_t n : {0, 1, 2, 31, 33, 151, 1000}) {
    for (const double strength : {1e-3, 0.1, 1.0, 10.0}) {
      const std::string where =
          " at N = " + std::to_string(n) + ", strength " + std::to_string(strength);
      const Tensor x = at::randn({n}, at::kDouble);
      compare(x, strength, 1e-10, where);
      // float32: sums are double here and float in part of the reference; z / 1e-3 alone rounds at
      // 1e-4 of the ranks' unit.
      if (strength >= 0.1) compare(x.to(at::kFloat), strength, 1e-5, where + " in float32");
      compare((x * 2).round(), strength, 1e-10, where + " with ties");
      compare(at::stack({x, x}, 1).select(1, 0), strength, 1e-10, where + " non-contiguous");
    }
  }
  for (const int64_t n : {2, 31, 33}) {
    check::gradient([](const std::vector<Tensor>& in) { return ops::soft_rank(in[0], 0.5); },
                    {at::randn({n}, at::kDouble)},
                    "central differences at N = " + std::to_string(n));
  }
  const Tensor x = at::randn({33}, at::kDouble);
  Tensor ranks = x.argsort().argsort().to(at::kDouble);
  ranks = (ranks - ranks.mean()) / ranks.std(false);
  check::close(ops::soft_rank(x, 1e-6), ranks, 1e-10,
               "a small strength gives the exact standardised ranks");
  const Tensor centred = x - x.mean();
  check::close(ops::soft_rank(x, 1e6) - ops::soft_rank(x, 1e6).mean(), centred / 1e6, 1e-6,
               "a large strength gives theta / strength");
  Tensor broken = x.clone();
  broken[3] = NAN;
  check::that(ops::soft_rank(broken, 1.0).isnan().all().item<bool>(), "a NaN makes every rank NaN");
  check::throws([&] { ops::soft_rank(x, 0); }, "positive strength", "strength 0 is refused");
  check::throws([&] { ops::soft_rank(x.view({3, 11}), 1); }, "theta [N]", "a matrix is refused");
  return check::finish();
}
