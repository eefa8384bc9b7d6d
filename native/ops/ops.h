// The typed calls of every op. All rows of all dates of a batch are packed: rows of date d are
// offsets[d] .. offsets[d + 1].
//
// R rows, B dates, T window, F features, H GRU width, A heads, D head width, K risk factors, L
// layers.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <optional>
#include <tuple>
#include <vector>

namespace astgnn::ops {

// Dropout sites: the first part of a Philox counter. A site names one place of the model, so that
// no two masks share numbers. gru: site kGru + layer, time = position in the window; tgc: kTgc +
// layer; head: kHead + layer.
enum Site : int64_t { kState = 0, kGat = 1, kRisk = 2, kGru = 16, kTgc = 80, kHead = 144 };

// A dropout key is an int64 CPU tensor [R + 1, 2]: row 0 is (seed, step), row r + 1 is (panel date,
// row within its date) of packed row r. It is ignored where p == 0 (evaluation passes p = 0).
//
// Element (r, c) of a site is kept if its uniform number u in [0, 1) is >= p, and scaled by 1 / (1
// - p). Philox4x32-10: key (seed, step), counter (site * 65536 + time, panel date, row within its
// date, c / 4), output word c % 4.
at::Tensor dropout(const at::Tensor& x, double p, const at::Tensor& key, int64_t site,
                   int64_t time = 0);

// dropout(activation(layer_norm(x) * weight + bias + residual)): x [R, C], weight and bias [C],
// residual [R, C] or none. p > 0 needs kRelu.
enum class Activation : int64_t { kNone = 0, kRelu = 1, kTanh = 2 };
at::Tensor norm_activation(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                           double eps, const std::optional<at::Tensor>& residual,
                           Activation activation, double p, const at::Tensor& key, int64_t site);

// Last hidden state of the last layer, [R, H]. panel [dates, S, F] (float32), date [R] and stock
// [R] int64: row r reads panel[date[r] - T + 1 .. date[r], stock[r]]. weights: per layer weight_ih
// [3H, in], weight_hh [3H, H], bias_ih [3H], bias_hh [3H] (PyTorch's gate order r, z, n). p:
// dropout between layers. Computes in the dtype of the weights.
at::Tensor gru(const at::Tensor& panel, const at::Tensor& date, const at::Tensor& stock,
               int64_t window, at::TensorList weights, double p, const at::Tensor& key);
// The same on a dense x [T, R, F]; differentiable in x too.
at::Tensor gru_dense(const at::Tensor& x, at::TensorList weights, double p, const at::Tensor& key);

// The attention mask of a batch. offsets int64 CPU [B + 1]. At most one of groups (int32 [R], equal
// = same group; only rows of one date meet) and edges (CSR over packed rows: edge_offsets int64 [R
// + 1], edge_targets int64 [E], sorted and unique within a row, self included).
struct Graph {
  at::Tensor offsets;
  std::optional<at::Tensor> groups;
  std::optional<at::Tensor> edge_offsets;
  std::optional<at::Tensor> edge_targets;
  // Of offsets and groups on the device that computes (device_segments.h). Empty: an op there makes
  // them itself, at every call.
  std::vector<at::Tensor> segments = {};
};

// out_i = sum_j softmax_j(LeakyReLU(source_i + target_j)) dropout(v)_j per head, concatenated: [R,
// A * D]. v [R, A, D] undropped, source and target [R, A]. Dropout site kGat on v as [R, A * D].
at::Tensor graph_attention(const at::Tensor& v, const at::Tensor& source, const at::Tensor& target,
                           const Graph& graph, double negative_slope, double p,
                           const at::Tensor& key);

// top_k keeps, of each row i, the top_k largest scores scale m_i . m_j of the stocks that i may be
// similar to, and every score that ties with the smallest of them. Two scores tie where they differ
// by no more than kTie |scale| |m_i| max_j |m_j| (Euclidean norms, j over the stocks of i's date and
// group, i itself too): more than float32 rounds off a sum of 64 products in any order, so that
// copies and mirrored rows tie on every processor, in every dtype and library.
inline constexpr double kTie = 1.0 / (1 << 18);

// All TGC layers with their ReLU and dropout between: z [R, E] and statistics [B, 3] float64
// (effective neighbours over rows with a neighbour, self weight, share of empty rows; NaN for a
// date without rows; of A as computed in this call, so of dropped M in training). x [R, X], m [R,
// K] undropped (site kRisk is applied inside), weights[l] [in, out], biases[l] [out], signs[l] +1
// or -1, groups int32 [R] or none, scale 0-d (may require grad), segments as in Graph. Dropout
// sites kRisk, kTgc + l.
std::tuple<at::Tensor, at::Tensor> relational_embedding(
    const at::Tensor& x, const at::Tensor& m, at::TensorList weights, at::TensorList biases,
    at::ArrayRef<double> signs, const at::Tensor& offsets, const std::optional<at::Tensor>& groups,
    const at::Tensor& scale, bool exclude_self, int64_t top_k, double p, const at::Tensor& key,
    at::TensorList segments = {});

// Soft rank of theta [N] (Blondel et al. 2020): see SoftRank of the reference.
at::Tensor soft_rank(const at::Tensor& theta, double strength);

// A loss of each date's cross-section of predictions [R, P] and labels [R, L], by pairs of columns:
// its mean [] over the pairs of a date and then over the dates, and its values [pairs, B], both
// float64 (cross_sectional_loss.cpp has the formulas). A row is in where its label is neither NaN
// nor infinite. date_offsets int64 [B + 1] lies where the predictions are; rows behind the last
// date are in no date. Differentiable in predictions, by the mean, once.
enum class CrossSectional : int64_t { kMse = 0, kIc = 1 };
std::tuple<at::Tensor, at::Tensor> cross_sectional_loss(
    CrossSectional kind, const at::Tensor& predictions, const at::Tensor& labels,
    const at::Tensor& date_offsets, at::IntArrayRef prediction_columns,
    at::IntArrayRef label_columns, double eps = 1e-8);

// Explicit N x N results for one date, only when a user asks to see them. No gradient is kept
// through them by the training path.
at::Tensor similarity(const at::Tensor& m, const at::Tensor& scale, bool exclude_self,
                      int64_t top_k, const std::optional<at::Tensor>& group);
// Rows from .. to of it, [to - from, N]: nothing of size N x N is made.
at::Tensor similarity_rows(const at::Tensor& m, int64_t from, int64_t to, const at::Tensor& scale,
                           bool exclude_self, int64_t top_k,
                           const std::optional<at::Tensor>& group);
at::Tensor attention(const at::Tensor& source, const at::Tensor& target, const Graph& graph,
                     double negative_slope);  // [A, N, N]

}  // namespace astgnn::ops
