// Rows are handed out to threads; an element's mask is a function of its key alone, so the split
// does not matter.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/cpu/dropout_mask.h"

namespace astgnn::ops {
namespace {

at::Tensor dropout_cpu(const at::Tensor& x, double p, const at::Tensor& key, int64_t site,
                       int64_t time) {
  const at::Tensor out = x.clone(at::MemoryFormat::Contiguous);
  if (p == 0 || out.numel() == 0) return out;
  const int64_t rows = out.size(0), columns = out.numel() / rows;
  const DropoutMask mask(p, key, site);
  AT_DISPATCH_FLOATING_TYPES(out.scalar_type(), "dropout", [&] {
    scalar_t* data = out.mutable_data_ptr<scalar_t>();
    at::parallel_for(0, rows, std::max<int64_t>(1, 8192 / columns),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t row = begin; row < end; ++row)
                         mask.apply(data + row * columns, row, 0, columns, time);
                     });
  });
  return out;
}

}  // namespace
}  // namespace astgnn::ops

TORCH_LIBRARY_IMPL(astgnn, CPU, m) {
  m.impl("dropout", TORCH_FN(astgnn::ops::dropout_cpu));
  m.impl("_dropout_backward", TORCH_FN(astgnn::ops::dropout_cpu));
}
