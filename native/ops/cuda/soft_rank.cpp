// Pooling is one chain of decisions over a date's stocks: the CPU's kernel does it, a copy there
// and back.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "ops/cuda/device.h"

namespace astgnn::ops::cuda {
namespace {

using at::Tensor;

std::tuple<Tensor, Tensor, Tensor> soft_rank_forward(const Tensor& theta, double strength) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("astgnn::_soft_rank_forward", "")
                             .typed<std::tuple<Tensor, Tensor, Tensor>(const Tensor&, double)>();
  const auto [out, order, block] = op.call(theta.cpu(), strength);
  return {out.to(theta.device()), order, block};
}

Tensor soft_rank_backward(const Tensor& grad, const Tensor& order, const Tensor& block,
                          double strength) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("astgnn::_soft_rank_backward", "")
                             .typed<Tensor(const Tensor&, const Tensor&, const Tensor&, double)>();
  return op.call(grad.cpu(), order, block, strength).to(grad.device());
}

}  // namespace
}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_IMPL(astgnn, CUDA, m) {
  m.impl("_soft_rank_forward", TORCH_FN(astgnn::ops::cuda::soft_rank_forward));
  m.impl("_soft_rank_backward", TORCH_FN(astgnn::ops::cuda::soft_rank_backward));
}
