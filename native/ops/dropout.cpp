// dropout: out[r, c] = x[r, c] * keep(r, c) / (1 - p), keep from Philox (ops.h). x [R, ...], key
// int64 CPU [R + 1, 2]. Backward is the same product with the gradient in x's place, so the mask is
// computed twice and stored never.
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/ops.h"

namespace astgnn::ops {

at::Tensor dropout(const at::Tensor& x, double p, const at::Tensor& key, int64_t site,
                   int64_t time) {
  check_probability("dropout", p);
  if (p == 0) return x;
  check_floating("dropout", "x", x);
  TORCH_CHECK(x.dim() >= 1,
              "dropout: Expected x with at least one dimension, [R, ...], but received a scalar.");
  check_key("dropout", key, x.size(0));
  TORCH_CHECK(time >= 0 && time < 65536, "dropout: Expected time from 0 to 65535 but received ",
              time, ".");
  using Signature = at::Tensor(const at::Tensor&, double, const at::Tensor&, int64_t, int64_t);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("astgnn::dropout", "").typed<Signature>();
  return op.call(x, p, key, site, time);
}

}  // namespace astgnn::ops

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  m.def("dropout(Tensor x, float p, Tensor key, int site, int time=0) -> Tensor");
  m.def("_dropout_backward(Tensor grad, float p, Tensor key, int site, int time) -> Tensor");
}
