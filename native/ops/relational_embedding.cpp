// relational_embedding: all TGC layers as one op. Per date, A = row softmax of ReLU(scale M' M'^T)
// over the stocks that are allowed (same group, not itself where excluded, among the top_k largest
// products of the row), M' = dropout(M); a row without neighbours is 0. Per layer z = (I + sign A)
// x W + b, with ReLU and dropout between layers. x [R, X], m [R, K], weights[l] [in, out],
// biases[l] [out] -> z [R, E], statistics [B, 3] float64 (see ops.h).
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <cmath>

#include "ops/checks.h"
#include "ops/ops.h"
#include "ops/reference.h"

namespace astgnn::ops {

std::tuple<at::Tensor, at::Tensor> relational_embedding(
    const at::Tensor& x, const at::Tensor& m, at::TensorList weights, at::TensorList biases,
    at::ArrayRef<double> signs, const at::Tensor& offsets, const std::optional<at::Tensor>& groups,
    const at::Tensor& scale, bool exclude_self, int64_t top_k, double p, const at::Tensor& key,
    at::TensorList segments) {
  constexpr const char* kOp = "relational_embedding";
  check_floating(kOp, "x", x);
  TORCH_CHECK(x.dim() == 2, kOp, ": Expected x [R, X] but received ", x.sizes(), ".");
  check_floating(kOp, "m", m);
  TORCH_CHECK(m.dim() == 2 && m.size(0) == x.size(0) && m.size(1) >= 1, kOp, ": Expected m [",
              x.size(0), ", K] but received ", m.sizes(), ".");
  check_same_dtype(kOp, "m", m, "x", x);
  TORCH_CHECK(!weights.empty() && biases.size() == weights.size() && signs.size() == weights.size(),
              kOp, ": Expected as many biases and signs as weights, at least one, but received ",
              weights.size(), " weights, ", biases.size(), " biases and ", signs.size(), " signs.");
  int64_t width = x.size(1);
  for (size_t layer = 0; layer < weights.size(); ++layer) {
    TORCH_CHECK(weights[layer].defined() && weights[layer].dim() == 2, kOp,
                ": Expected weights [in, out].");
    check_shape(kOp, "weight", weights[layer], {width, weights[layer].size(1)});
    check_same_dtype(kOp, "weight", weights[layer], "x", x);
    width = weights[layer].size(1);
    check_shape(kOp, "bias", biases[layer], {width});
    check_same_dtype(kOp, "bias", biases[layer], "x", x);
    TORCH_CHECK(signs[layer] == 1 || signs[layer] == -1, kOp,
                ": Expected signs of +1 or -1 but received ", signs[layer], ".");
  }
  check_offsets(kOp, offsets, x.size(0));
  check_groups(kOp, groups, x.size(0));
  check_floating(kOp, "scale", scale);
  TORCH_CHECK(scale.numel() == 1, kOp, ": Expected one number for scale but received ",
              scale.sizes(), ".");
  TORCH_CHECK(top_k >= 0, kOp, ": Expected top_k of at least 0 (0 keeps all) but received ", top_k,
              ".");
  check_probability(kOp, p);
  if (p > 0) check_key(kOp, key, x.size(0));
  using Optional = const std::optional<at::Tensor>&;
  using Signature = std::tuple<at::Tensor, at::Tensor>(
      const at::Tensor&, const at::Tensor&, at::TensorList, at::TensorList, at::ArrayRef<double>,
      const at::Tensor&, Optional, at::TensorList, const at::Tensor&, bool, int64_t, double,
      Optional);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("astgnn::relational_embedding", "")
                             .typed<Signature>();
  return op.call(x, m, weights, biases, signs, offsets, groups, segments, scale, exclude_self,
                 top_k, p, key_if_used(p, key));
}

namespace {

void check_similarity(const at::Tensor& m, int64_t top_k, const std::optional<at::Tensor>& group) {
  check_floating("similarity", "m", m);
  TORCH_CHECK(m.dim() == 2, "similarity: Expected m [N, K] but received ", m.sizes(), ".");
  check_groups("similarity", group, m.size(0));
  TORCH_CHECK(top_k >= 0, "similarity: Expected top_k of at least 0 (0 keeps all) but received ",
              top_k, ".");
}

}  // namespace

at::Tensor similarity(const at::Tensor& m, const at::Tensor& scale, bool exclude_self,
                      int64_t top_k, const std::optional<at::Tensor>& group) {
  check_similarity(m, top_k, group);
  return reference::similarity(m, scale, exclude_self, top_k, group);
}

at::Tensor similarity_rows(const at::Tensor& m, int64_t from, int64_t to, const at::Tensor& scale,
                           bool exclude_self, int64_t top_k,
                           const std::optional<at::Tensor>& group) {
  check_similarity(m, top_k, group);
  TORCH_CHECK(from >= 0 && from <= to && to <= m.size(0), "similarity: Expected rows within 0 to ",
              m.size(0), " but received ", from, " to ", to, ".");
  return reference::similarity_rows(m, from, to, scale, exclude_self, top_k, group);
}

}  // namespace astgnn::ops

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  m.def(
      "relational_embedding(Tensor x, Tensor m, Tensor[] weights, Tensor[] biases, float[] signs, "
      "Tensor offsets, Tensor? groups, Tensor[] segments, "
      "Tensor scale, bool exclude_self, int top_k, float p, Tensor? key) -> (Tensor z, Tensor "
      "statistics)");
  // Rows ordered by (date, group). inputs: what layers 1, 2, ... saw; graph [4, R]: sum of a row's
  // weights without the diagonal, the diagonal, threshold, largest score; values, what A multiplies
  // in each layer (X W, or X where A comes first), side by side, and sums, what the neighbours' add
  // up to, [R, widths padded].
  m.def(
      "_relational_embedding_forward(Tensor x, Tensor m, Tensor[] weights, Tensor[] biases, "
      "float[] signs, Tensor offsets, Tensor? groups, Tensor[] segments, "
      "Tensor scale, bool exclude_self, int top_k, float p, Tensor? key) -> (Tensor z, Tensor "
      "statistics, Tensor[] inputs, Tensor graph, Tensor values, Tensor sums)");
  // dx, dm, dscale (each undefined unless asked for), dweights, dbiases.
  m.def(
      "_relational_embedding_backward(Tensor grad, Tensor x, Tensor m, Tensor[] weights, Tensor[] "
      "inputs, Tensor graph, Tensor values, Tensor sums, float[] signs, Tensor offsets, "
      "Tensor? groups, Tensor[] segments, Tensor scale, bool exclude_self, int top_k, float p, "
      "Tensor? key, bool "
      "x_gradient, bool graph_gradient) -> Tensor[]");
}
