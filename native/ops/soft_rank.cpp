// soft_rank: Euclidean projection of theta / strength onto the permutahedron of the standardised
// ranks (Blondel et al. 2020). theta [N] -> [N]; strength -> 0 gives the exact ranks. With z =
// theta / strength sorted descending and w the ranks N .. 1 brought to mean 0 and variance 1: out =
// z - isotonic(z - w); the Jacobian is (I - mean over each pooled block) / strength.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <cmath>

#include "ops/checks.h"
#include "ops/ops.h"

namespace astgnn::ops {

at::Tensor soft_rank(const at::Tensor& theta, double strength) {
  check_floating("soft_rank", "theta", theta);
  TORCH_CHECK(theta.dim() == 1, "soft_rank: Expected theta [N] but received ", theta.sizes(), ".");
  TORCH_CHECK(strength > 0 && std::isfinite(strength),
              "soft_rank: Expected a positive strength but received ", strength, ".");
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("astgnn::soft_rank", "")
                             .typed<at::Tensor(const at::Tensor&, double)>();
  return op.call(theta, strength);
}

}  // namespace astgnn::ops

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  m.def("soft_rank(Tensor theta, float strength) -> Tensor");
  m.def(
      "_soft_rank_forward(Tensor theta, float strength) -> (Tensor out, Tensor order, Tensor "
      "block)");
  m.def("_soft_rank_backward(Tensor grad, Tensor order, Tensor block, float strength) -> Tensor");
}
