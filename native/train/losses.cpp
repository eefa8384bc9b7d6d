#include "train/losses.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "ops/ops.h"

namespace astgnn::train {
namespace {

// K x K systems are solved in float64 whatever the model's type: risk factors are nearly collinear
// early in training (LayerNorm fixes their sum), and float32 then costs two to three digits of the
// value and of its gradient (VIF 1,942: 4e-4 against 2e-6).
constexpr auto kSolve = at::kDouble;

struct Labelled {
  Tensor x;  // predictions [n] or factors [n, K] of the stocks that have a label
  Tensor y;  // [n]
};

Labelled labelled(const Tensor& x, const Tensor& label) {
  const auto keep = at::isfinite(label);
  if (keep.all().item<bool>()) return {x, label};
  const auto rows = keep.nonzero().squeeze(1);
  return {x.index_select(0, rows), label.index_select(0, rows)};
}

bool rankable(const Tensor& y) { return y.numel() >= 2 && y.ne(y[0]).any().item<bool>(); }

Tensor length(const Tensor& x) { return at::linalg_vector_norm(x); }

// L = 1/n^2 sum_ij f_ij, f_ij = f_ji = relu(-(p_i - p_j)(y_i - y_j)).
// dL/dp_i = 2/n^2 sum_j -(y_i - y_j) [f_ij > 0]. It needs no more than the forward's blocks, so it
// is computed there and saved: [n].
class PairwiseRank : public torch::autograd::Function<PairwiseRank> {
 public:
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& p,
                        const Tensor& y) {
    constexpr int64_t kBlock = 256;  // rows at a time: a temporary is [256, n], never [n, n]
    const int64_t n = p.size(0);
    const double pairs = static_cast<double>(n) * static_cast<double>(n);
    auto total = at::zeros({}, p.options());
    auto gradient = at::empty_like(p);
    for (int64_t lo = 0; lo < n; lo += kBlock) {
      const int64_t hi = std::min(lo + kBlock, n);
      const auto dy = y.slice(0, lo, hi).unsqueeze(1) - y;                     // [block, n]
      auto f = (p.slice(0, lo, hi).unsqueeze(1) - p).mul_(dy).neg_().relu_();  // [block, n]
      total.add_(f.sum());
      gradient.slice(0, lo, hi).copy_(f.gt_(0).mul_(dy).sum(1).mul_(-2 / pairs));
    }
    context->save_for_backward({gradient});
    return total.div_(pairs);
  }

  // Gradient slots: prediction, label (none).
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list upstream) {
    return {context->get_saved_variables()[0] * upstream[0], Tensor()};
  }
};

}  // namespace

Loss mse_loss(const Tensor& prediction, const Tensor& label) {
  const auto [p, y] = labelled(prediction, label);
  if (y.numel() == 0) return std::nullopt;
  return (p - y).square().mean();
}

Loss ic_loss(const Tensor& prediction, const Tensor& label, double eps) {
  const auto [kept, y_kept] = labelled(prediction, label);
  if (!rankable(y_kept)) return std::nullopt;
  const auto p = kept - kept.mean(), y = y_kept - y_kept.mean();
  return -(p * y).sum() / (length(p) * length(y) + eps);
}

Loss pairwise_rank_loss(const Tensor& prediction, const Tensor& label) {
  const auto [p, y] = labelled(prediction, label);
  if (!rankable(y)) return std::nullopt;
  return PairwiseRank::apply(p, y);
}

Loss rank_ic_loss(const Tensor& prediction, const Tensor& label, double strength, double eps) {
  const auto [kept, y] = labelled(prediction, label);
  if (!rankable(y)) return std::nullopt;
  const auto p = (kept - kept.mean()) / (kept.std(/*unbiased=*/false) + eps);
  return ic_loss(ops::soft_rank(p, strength), average_tie_ranks(y), eps);
}

Loss r_square(const Tensor& factors, const Tensor& label, double ridge) {
  const auto [kept, y_kept] = labelled(factors.to(kSolve), label.to(kSolve));
  const int64_t n = kept.size(0), k = kept.size(1);
  if (n < k + 2 || !rankable(y_kept)) return std::nullopt;
  const auto f = kept - kept.mean(0), y = y_kept - y_kept.mean();
  const auto gram =
      f.t().mm(f) + at::eye(k, f.options()) * (ridge * static_cast<double>(n));  // [K, K]
  const auto beta = at::linalg_solve(gram, f.t().mv(y));                         // [K]
  const auto residual = y - f.mv(beta);
  return (1 - residual.square().sum() / y.square().sum()).to(factors.scalar_type());
}

Loss correlation_penalty(const Tensor& factors, double eps) {
  const int64_t n = factors.size(0), k = factors.size(1);
  if (n < 2) return std::nullopt;
  const auto centred = factors - factors.mean(0);
  const auto f = centred / (at::linalg_vector_norm(centred, 2, at::IntArrayRef{0}) + eps);
  if (k == 1) return 0.0 * f.sum();
  const auto c = f.t().mm(f);  // [K, K]
  const double entries = static_cast<double>(k * (k - 1));
  return (c.square().sum() - c.diagonal().square().sum()) / entries;
}

Loss variance_inflation_penalty(const Tensor& factors, double ridge) {
  const int64_t n = factors.size(0), k = factors.size(1);
  if (n < k + 2) return std::nullopt;
  const auto wide = factors.to(kSolve), centred = wide - wide.mean(0);
  const auto f = centred / at::linalg_vector_norm(centred, 2, at::IntArrayRef{0}).clamp_min(1e-12);
  const auto c = f.t().mm(f) + at::eye(k, f.options()) * ridge;  // [K, K]
  return (at::linalg_inv(c).diagonal().sum() / static_cast<double>(k)).to(factors.scalar_type());
}

Loss risk_loss(const Tensor& factors, const Tensor& labels, double omega, double orthogonality,
               double ridge) {
  Tensor unexplained;
  double weights = 0;
  for (int64_t h = 0; h < labels.size(1); ++h) {
    const auto fit = r_square(factors, labels.select(1, h), ridge);
    if (!fit) continue;
    const double weight = std::pow(omega, static_cast<double>(h));
    const auto part = weight * (1 - *fit);
    unexplained = unexplained.defined() ? unexplained + part : part;
    weights += weight;
  }
  if (!unexplained.defined()) return std::nullopt;
  // A defined R^2 means N >= K + 2, so the penalty is defined too.
  return unexplained / weights + orthogonality * *correlation_penalty(factors);
}

Loss turnover_penalty(const Tensor& factors, const Tensor& factors_next) {
  if (factors.size(0) == 0) return std::nullopt;
  return (factors_next - factors).square().mean();
}

Tensor average_tie_ranks(const Tensor& y) {
  const auto [values, inverse, count] =
      at::_unique2(y, /*sorted=*/true, /*return_inverse=*/true, /*return_counts=*/true);
  // In double: float32 holds no half ranks above 2^23.
  const auto ranks = count.cumsum(0) - (count - 1).to(at::kDouble) / 2.0;
  return ranks.to(y.scalar_type()).index_select(0, inverse);
}

}  // namespace astgnn::train
