// ATen twins of every op, literal and slow: one date at a time, every N x N written out,
// differentiable by autograd. Tests hold the kernels to them. Same arguments as ops.h.
#pragma once

#include "ops/ops.h"

namespace astgnn::ops::reference {

at::Tensor dropout(const at::Tensor& x, double p, const at::Tensor& key, int64_t site,
                   int64_t time = 0);
at::Tensor norm_activation(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           double eps, const std::optional<at::Tensor>& residual,
                           Activation activation, double p, const at::Tensor& key, int64_t site);
at::Tensor gru_dense(const at::Tensor& x, at::TensorList weights, double p, const at::Tensor& key);
at::Tensor gru(const at::Tensor& panel, const at::Tensor& date, const at::Tensor& stock,
               int64_t window, at::TensorList weights, double p, const at::Tensor& key);
at::Tensor graph_attention(const at::Tensor& v, const at::Tensor& source, const at::Tensor& target,
                           const Graph& graph, double negative_slope, double p,
                           const at::Tensor& key);
std::tuple<at::Tensor, at::Tensor> relational_embedding(
    const at::Tensor& x, const at::Tensor& m, at::TensorList weights, at::TensorList biases,
    at::ArrayRef<double> signs, const at::Tensor& offsets, const std::optional<at::Tensor>& groups,
    const at::Tensor& scale, bool exclude_self, int64_t top_k, double p, const at::Tensor& key);
at::Tensor soft_rank(const at::Tensor& theta, double strength);
std::tuple<at::Tensor, at::Tensor> cross_sectional_loss(
    CrossSectional kind, const at::Tensor& predictions, const at::Tensor& labels,
    const at::Tensor& date_offsets, at::IntArrayRef prediction_columns,
    at::IntArrayRef label_columns, double eps = 1e-8);
at::Tensor similarity(const at::Tensor& m, const at::Tensor& scale, bool exclude_self,
                      int64_t top_k, const std::optional<at::Tensor>& group);
// Its rows from .. to: [to - from, N].
at::Tensor similarity_rows(const at::Tensor& m, int64_t from, int64_t to, const at::Tensor& scale,
                           bool exclude_self, int64_t top_k,
                           const std::optional<at::Tensor>& group);
at::Tensor attention(const at::Tensor& source, const at::Tensor& target, const Graph& graph,
                     double negative_slope);

}  // namespace astgnn::ops::reference
