// One date each, nullopt where not defined, exactly as the reference. A label that is NaN takes its
// stock out. prediction and label [N], factors [N, K]. Whether a loss is defined depends on sizes
// and labels alone, and these are read on the host: no loss waits for the device.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace astgnn::train {

using at::Tensor;
using Loss = std::optional<Tensor>;

// The labels of one date and horizon [N] in two places: read on the host, computed with on the
// device.
class Labels {
 public:
  Labels(const Tensor& host) : Labels(host, host) {}
  Labels(const Tensor& host, const Tensor& device);
  Tensor of(const Tensor& x) const;  // the rows of x [N, ...] that have a label
  int64_t count() const { return host.numel(); }
  bool rankable() const { return rankable_; }  // two at least that differ

  Tensor host, device;  // [n], none of them NaN or infinite

 private:
  Tensor rows_;  // int64 [n] on the device; undefined where all rows have a label
  bool rankable_ = false;
};

// This and the next: defined from two labels on that are not all equal.
// Mean over i, j of relu(-(p_i - p_j)(y_i - y_j)) (RSR, Feng et al. 2019). First derivatives only.
Loss pairwise_rank_loss(const Tensor& prediction, const Labels& label);
// Minus the correlation of soft ranks (of z-scored predictions) with the labels' ranks: -Spearman
// for strength -> 0.
Loss rank_ic_loss(const Tensor& prediction, const Labels& label, double strength = 1.0,
                  double eps = 1e-8);
// Centred R^2 of label ~ 1 + factors. Defined for N >= K + 2 and labels not all equal.
Loss r_square(const Tensor& factors, const Labels& label, double ridge = 1e-6);
// Mean squared off-diagonal correlation of columns (risk factors, predictions); 0 for K = 1. Defined
// for N >= 2.
Loss correlation_penalty(const Tensor& factors, double eps = 1e-8);
// tr(corr(factors)^-1) / K of the ridged correlation matrix. Defined for N >= K + 2.
Loss variance_inflation_penalty(const Tensor& factors, double ridge = 1e-6);
// sum_h omega^h (1 - R^2(M, y_h)) / sum_h omega^h, h over the horizons where R^2 is defined, +
// orthogonality * correlation penalty (Deep Risk Model, Lin et al. 2021).
Loss risk_loss(const Tensor& factors, const std::vector<Labels>& labels, double omega = 0.9,
               double orthogonality = 0.05, double ridge = 1e-6);
// Mean squared change of M between two dates; row i is the same stock on both. Defined from one
// stock on.
Loss turnover_penalty(const Tensor& factors, const Tensor& factors_next);
// Ranks 1..N of y [N] on the CPU, ties get their average.
Tensor average_tie_ranks(const Tensor& y);

}  // namespace astgnn::train
