#include "ops/precision.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "ops/cpu/isa/kernels.h"

namespace astgnn::ops {

Precision offered_precision(Precision wanted, c10::Device device) {
  if (device.is_cpu()) return offered_by_cpu(wanted);
  // The CUDA library's.
  const auto has_bf16 = c10::Dispatcher::singleton().findSchema({"astgnn::_has_bf16", ""});
  const bool offered = wanted != Precision::kDefault && has_bf16 &&
                       has_bf16->typed<bool(int64_t)>().call(device.index());
  return offered ? wanted : Precision::kHighest;
}

}  // namespace astgnn::ops

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  // An ops::Precision, for the CUDA library.
  m.def("_precision() -> int", [] { return static_cast<int64_t>(astgnn::ops::precision()); });
}
