#include <ATen/Dispatch.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/cuda/device.h"

namespace astgnn::ops::cuda {

at::Tensor DropoutMask::multiply(const at::Tensor& x_any, const at::Tensor& place, int64_t times,
                                 int64_t rows) const {
  if (!active() || x_any.numel() == 0) return x_any;
  const at::Tensor x = x_any.contiguous(), out = at::empty_like(x);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "dropout", [&] {
    dropout(x.const_data_ptr<scalar_t>(), out.mutable_data_ptr<scalar_t>(),
            place.defined() ? place.const_data_ptr<int64_t>() : nullptr, times, rows,
            x.numel() / (times * rows), site_, current_stream());
  });
  return out;
}

namespace {

at::Tensor dropout_cuda(const at::Tensor& x, double p, const at::Tensor& key, int64_t site,
                        int64_t time) {
  const c10::DeviceGuard guard(x.device());
  return DropoutMask(p, key, site, time, x.device()).apply(x);
}

}  // namespace
}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_IMPL(astgnn, CUDA, m) {
  m.impl("dropout", TORCH_FN(astgnn::ops::cuda::dropout_cuda));
  m.impl("_dropout_backward", TORCH_FN(astgnn::ops::cuda::dropout_cuda));
}
