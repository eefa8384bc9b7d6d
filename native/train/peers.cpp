#include "train/peers.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <algorithm>
#include <limits>
#include <numeric>

namespace astgnn::train {

std::tuple<Tensor, Tensor> co_movement_loss(const nn::RelationalEmbedding& embedding,
                                            const Tensor& m, const PackedBatch& batch,
                                            const FutureReturns& future) {
  const auto peers = embedding.peers(future.known, m, batch.batch) - future.others;  // [R, H]
  std::vector<int64_t> days(future.days);
  std::iota(days.begin(), days.end(), 0);
  return ops::cross_sectional_loss(ops::CrossSectional::kIc, peers, future.x, batch.date_offsets,
                                   days, days);
}

Tensor hub_counts(const nn::RelationalEmbedding& embedding, const Tensor& m,
                  const nn::Batch& batch) {
  constexpr int64_t kTop = 20,
                    kBlock = 256;  // rows at a time: a temporary is [256, N], never [N, N]
  const double never = -std::numeric_limits<double>::infinity();
  const int64_t rows = m.size(0), top_k = embedding.config.top_k;
  const int64_t top = std::min({kTop, rows - 1, top_k > 0 ? top_k : kTop});
  auto groups = embedding.groups(batch);
  if (groups) groups = groups->to(m.device());
  const auto counts = at::zeros({rows}, m.options().dtype(at::kDouble));
  if (top < 1) return counts;
  for (int64_t lo = 0; lo < rows; lo += kBlock) {
    const int64_t hi = std::min(lo + kBlock, rows);
    const auto scores = m.slice(0, lo, hi).mm(m.t());  // [block, N]
    scores.diagonal(lo).fill_(never);
    if (groups) scores.masked_fill_(groups->slice(0, lo, hi).unsqueeze(1).ne(*groups), never);
    const auto [score, row] = scores.topk(top, 1);
    counts.scatter_add_(0, row.flatten(), score.flatten().gt(never).to(at::kDouble));
  }
  return counts;
}

Tensor hub_statistics(const Tensor& counts) {
  if (counts.size(0) < 2)
    return at::full({2}, std::numeric_limits<double>::quiet_NaN(), counts.options());
  const auto deviation = counts - counts.mean();
  const auto skewness = deviation.pow(3).mean() / deviation.square().mean().pow(1.5);
  return at::stack({counts.max(), skewness});
}

}  // namespace astgnn::train
