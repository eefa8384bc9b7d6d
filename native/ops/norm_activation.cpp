// norm_activation: y = dropout(activation(layer_norm(x) * weight + bias + residual)) over the
// columns of x [R, C], in one pass over memory. Backward needs x, y and two numbers per row.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/ops.h"

namespace astgnn::ops {

at::Tensor norm_activation(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           double eps, const std::optional<at::Tensor>& residual,
                           Activation activation, double p, const at::Tensor& key, int64_t site) {
  constexpr const char* kOp = "norm_activation";
  check_floating(kOp, "x", x);
  TORCH_CHECK(x.dim() == 2 && x.size(1) >= 1, kOp, ": Expected x [R, C] but received ", x.sizes(),
              ".");
  check_shape(kOp, "weight", weight, {x.size(1)});
  check_same_dtype(kOp, "weight", weight, "x", x);
  check_shape(kOp, "bias", bias, {x.size(1)});
  check_same_dtype(kOp, "bias", bias, "x", x);
  if (residual) {
    check_shape(kOp, "residual", *residual, x.sizes());
    check_same_dtype(kOp, "residual", *residual, "x", x);
  }
  check_probability(kOp, p);
  // The backward reads "dropped" off a zero, as it reads the ReLU.
  TORCH_CHECK(p == 0 || activation == Activation::kRelu, kOp,
              ": Expected the activation relu where p > 0.");
  if (p > 0) check_key(kOp, key, x.size(0));
  using Optional = const std::optional<at::Tensor>&;
  using Signature = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, double,
                               Optional, int64_t, double, Optional, int64_t);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("astgnn::norm_activation", "")
                             .typed<Signature>();
  return op.call(x, weight, bias, eps, residual, static_cast<int64_t>(activation), p,
                 key_if_used(p, key), site);
}

}  // namespace astgnn::ops

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  m.def(
      "norm_activation(Tensor x, Tensor weight, Tensor bias, float eps, Tensor? residual, int "
      "activation, float p, Tensor? key, int site) -> Tensor");
  // moments [R, 2]: mean and 1 / sqrt(variance + eps).
  m.def(
      "_norm_activation_forward(Tensor x, Tensor weight, Tensor bias, float eps, Tensor? residual, "
      "int activation, float p, Tensor? key, int site) -> (Tensor y, Tensor moments)");
  // dx, dweight, dbias, dresidual (undefined unless asked for).
  m.def(
      "_norm_activation_backward(Tensor grad, Tensor x, Tensor weight, Tensor y, Tensor moments, "
      "int activation, float p, bool residual_gradient) -> Tensor[]");
}
