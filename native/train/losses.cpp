#include "train/losses.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "ops/ops.h"
#include "ops/to_device.h"

namespace astgnn::train {
namespace {

// K x K systems are solved in float64 whatever the model's type: risk factors are nearly collinear
// early in training (LayerNorm fixes their sum), and float32 then costs two to three digits of the
// value and of its gradient (VIF 1,942: 4e-4 against 2e-6).
constexpr auto kSolve = at::kDouble;

Tensor length(const Tensor& x) { return at::linalg_vector_norm(x); }

// Minus the correlation of p [n] and y [n].
Tensor minus_correlation(const Tensor& p_any, const Tensor& y_any, double eps) {
  const auto p = p_any - p_any.mean(), y = y_any - y_any.mean();
  return -(p * y).sum() / (length(p) * length(y) + eps);
}

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
      total.add_(f.sum(1).sum());  // in an order that no number of threads changes
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

Labels::Labels(const Tensor& on_host, const Tensor& on_device) : host(on_host), device(on_device) {
  const auto keep = at::isfinite(host);
  if (!keep.all().item<bool>()) {
    const auto kept = keep.nonzero().squeeze(1);
    rows_ = ops::to_device(kept, device.device());
    host = host.index_select(0, kept);
    device = device.index_select(0, rows_);
  }
  rankable_ = count() >= 2 && host.ne(host[0]).any().item<bool>();
}

Tensor Labels::of(const Tensor& x) const { return rows_.defined() ? x.index_select(0, rows_) : x; }

Loss pairwise_rank_loss(const Tensor& prediction, const Labels& label) {
  if (!label.rankable()) return std::nullopt;
  return PairwiseRank::apply(label.of(prediction), label.device);
}

Loss rank_ic_loss(const Tensor& prediction, const Labels& label, double strength, double eps) {
  if (!label.rankable()) return std::nullopt;
  const auto kept = label.of(prediction);
  const auto p = (kept - kept.mean()) / (kept.std(/*unbiased=*/false) + eps);
  const auto ranks = ops::to_device(average_tie_ranks(label.host), p.device());
  return minus_correlation(ops::soft_rank(p, strength), ranks, eps);
}

Loss r_square(const Tensor& factors, const Labels& label, double ridge) {
  const int64_t n = label.count(), k = factors.size(1);
  if (n < k + 2 || !label.rankable()) return std::nullopt;
  const auto kept = label.of(factors.to(kSolve)), y_kept = label.device.to(kSolve);
  const auto f = kept - kept.mean(0), y = y_kept - y_kept.mean();
  const auto gram =
      f.t().mm(f) + at::eye(k, f.options()) * (ridge * static_cast<double>(n));  // [K, K]
  // A check of the matrix would wait for the device; what is not finite is refused by the session.
  const auto beta = std::get<0>(at::linalg_solve_ex(gram, f.t().mv(y)));  // [K]
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
  const auto inverse = std::get<0>(at::linalg_inv_ex(c));
  return (inverse.diagonal().sum() / static_cast<double>(k)).to(factors.scalar_type());
}

Loss risk_loss(const Tensor& factors, const std::vector<Labels>& labels, double omega,
               double orthogonality, double ridge) {
  Tensor unexplained;
  double weights = 0;
  for (size_t h = 0; h < labels.size(); ++h) {
    const auto fit = r_square(factors, labels[h], ridge);
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
