#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/cuda/device.h"

namespace astgnn::ops::cuda {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

std::tuple<Tensor, Tensor> norm_activation_forward(const Tensor& x_any, const Tensor& weight_any,
                                                   const Tensor& bias_any, double eps,
                                                   const Optional& residual_any, int64_t activation,
                                                   double p, const Optional& key, int64_t site) {
  const c10::DeviceGuard guard(x_any.device());
  const Tensor x = x_any.contiguous(), weight = weight_any.contiguous(),
               bias = bias_any.contiguous(),
               residual = residual_any ? residual_any->contiguous() : Tensor(),
               y = at::empty_like(x), moments = at::empty({x.size(0), 2}, x.options());
  const DropoutMask mask(p, key, site, 0, x.device());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "norm_activation", [&] {
    norm_forward<scalar_t>({x.size(0), x.size(1), x.const_data_ptr<scalar_t>(),
                            weight.const_data_ptr<scalar_t>(), bias.const_data_ptr<scalar_t>(),
                            residual.defined() ? residual.const_data_ptr<scalar_t>() : nullptr,
                            y.mutable_data_ptr<scalar_t>(), moments.mutable_data_ptr<scalar_t>(),
                            static_cast<scalar_t>(eps), static_cast<int>(activation)},
                           mask.site(), current_stream());
  });
  return {y, moments};
}

std::vector<Tensor> norm_activation_backward(const Tensor& grad_any, const Tensor& x_any,
                                             const Tensor& weight_any, const Tensor& y,
                                             const Tensor& moments, int64_t activation, double p,
                                             bool residual_gradient) {
  const c10::DeviceGuard guard(x_any.device());
  const Tensor grad = grad_any.contiguous(), x = x_any.contiguous(),
               weight = weight_any.contiguous(), dx = at::empty_like(x),
               dresidual = residual_gradient ? at::empty_like(x) : Tensor();
  const int64_t ranges = (x.size(0) + kNormRange - 1) / kNormRange;
  const Tensor sums = at::empty({ranges, 2, x.size(1)}, x.options().dtype(at::kDouble));
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "norm_activation_backward", [&] {
    norm_backward<scalar_t>(
        {x.size(0), x.size(1), grad.const_data_ptr<scalar_t>(), x.const_data_ptr<scalar_t>(),
         weight.const_data_ptr<scalar_t>(), y.const_data_ptr<scalar_t>(),
         moments.const_data_ptr<scalar_t>(), dx.mutable_data_ptr<scalar_t>(),
         residual_gradient ? dresidual.mutable_data_ptr<scalar_t>() : nullptr,
         sums.mutable_data_ptr<double>(), static_cast<scalar_t>(1 / (1 - p)),
         static_cast<int>(activation)},
        current_stream());
  });
  const Tensor total = sums.sum(0).to(x.scalar_type());
  return {dx, total.select(0, 0), total.select(0, 1), dresidual};
}

}  // namespace
}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_IMPL(astgnn, CUDA, m) {
  m.impl("_norm_activation_forward", TORCH_FN(astgnn::ops::cuda::norm_activation_forward));
  m.impl("_norm_activation_backward", TORCH_FN(astgnn::ops::cuda::norm_activation_backward));
}
