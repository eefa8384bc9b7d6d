// Rows are handed out in ranges of fixed length; the sums over rows are kept per range and added in
// order, so that results do not depend on the number of threads.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "ops/cpu/dropout_mask.h"

namespace astgnn::ops {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

constexpr int64_t kRange = 64;

template <class Body>
void each_row_range(int64_t rows, Body&& body) {
  const int64_t ranges = (rows + kRange - 1) / kRange;
  at::parallel_for(0, ranges, 4, [&](int64_t begin, int64_t end) {
    for (int64_t range = begin; range < end; ++range)
      body(range, range * kRange, std::min(rows, (range + 1) * kRange));
  });
}

std::tuple<Tensor, Tensor> norm_activation_forward(const Tensor& x_any, const Tensor& weight_any,
                                                   const Tensor& bias_any, double eps,
                                                   const Optional& residual_any, int64_t activation,
                                                   double p, const Optional& key, int64_t site) {
  const Tensor x = x_any.contiguous(), weight = weight_any.contiguous(),
               bias = bias_any.contiguous(),
               residual = residual_any ? residual_any->contiguous() : Tensor(),
               y = at::empty_like(x), moments = at::empty({x.size(0), 2}, x.options());
  const DropoutMask mask(p, key, site);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "norm_activation", [&] {
    const NormRows<scalar_t> rows{
        x.size(1),
        x.const_data_ptr<scalar_t>(),
        weight.const_data_ptr<scalar_t>(),
        bias.const_data_ptr<scalar_t>(),
        residual.defined() ? residual.const_data_ptr<scalar_t>() : nullptr,
        y.mutable_data_ptr<scalar_t>(),
        moments.mutable_data_ptr<scalar_t>(),
        eps,
        activation,
        mask.site()};
    each_row_range(x.size(0), [&](int64_t, int64_t begin, int64_t end) {
      kernels_of<scalar_t>().norm_forward(rows, begin, end);
    });
  });
  return {y, moments};
}

std::vector<Tensor> norm_activation_backward(const Tensor& grad_any, const Tensor& x_any,
                                             const Tensor& weight_any, const Tensor& y,
                                             const Tensor& moments, int64_t activation, double p,
                                             bool residual_gradient) {
  const Tensor grad = grad_any.contiguous(), x = x_any.contiguous(),
               weight = weight_any.contiguous(), dx = at::empty_like(x),
               dresidual = residual_gradient ? at::empty_like(x) : Tensor();
  const int64_t columns = x.size(1), ranges = (x.size(0) + kRange - 1) / kRange;
  const Tensor sums = at::zeros({ranges, 2, columns}, x.options());
  const Tensor total = at::zeros({2, columns}, x.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "norm_activation_backward", [&] {
    const NormGradients<scalar_t> rows{
        columns,
        x.const_data_ptr<scalar_t>(),
        weight.const_data_ptr<scalar_t>(),
        y.const_data_ptr<scalar_t>(),
        moments.const_data_ptr<scalar_t>(),
        grad.const_data_ptr<scalar_t>(),
        dx.mutable_data_ptr<scalar_t>(),
        residual_gradient ? dresidual.mutable_data_ptr<scalar_t>() : nullptr,
        static_cast<scalar_t>(1 / (1 - p)),
        activation};
    scalar_t* sum = sums.mutable_data_ptr<scalar_t>();
    each_row_range(x.size(0), [&](int64_t range, int64_t begin, int64_t end) {
      scalar_t* own = sum + range * 2 * columns;
      kernels_of<scalar_t>().norm_backward(rows, begin, end, own, own + columns);
    });
    scalar_t* all = total.mutable_data_ptr<scalar_t>();
    for (int64_t range = 0; range < ranges; ++range) {
      for (int64_t k = 0; k < 2 * columns; ++k) all[k] += sum[range * 2 * columns + k];
    }
  });
  return {dx, total.select(0, 0), total.select(0, 1), dresidual};
}

}  // namespace
}  // namespace astgnn::ops

TORCH_LIBRARY_IMPL(astgnn, CPU, m) {
  m.impl("_norm_activation_forward", TORCH_FN(astgnn::ops::norm_activation_forward));
  m.impl("_norm_activation_backward", TORCH_FN(astgnn::ops::norm_activation_backward));
}
