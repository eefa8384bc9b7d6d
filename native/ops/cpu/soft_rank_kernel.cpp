// Pool adjacent violators after a stable descending sort: O(N log N), one thread (N is the number
// of stocks of one date). Sums are kept in double whatever the dtype.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace {

using at::Tensor;

struct Block {
  double sum;
  int64_t count;
  double mean() const { return sum / static_cast<double>(count); }
};

std::tuple<Tensor, Tensor, Tensor> soft_rank_forward(const Tensor& theta_any, double strength) {
  const Tensor theta = theta_any.contiguous();
  const int64_t n = theta.numel();
  Tensor out = at::empty_like(theta), order = at::empty({n}, at::kLong),
         block = at::empty({n}, at::kLong);
  int64_t* places = order.mutable_data_ptr<int64_t>();
  int64_t* block_of = block.mutable_data_ptr<int64_t>();
  std::iota(places, places + n, 0);
  // Ranks n .. 1 have mean (n + 1) / 2 and population variance (n^2 - 1) / 12; one stock has no
  // spread (0 / 0, as in the reference).
  const double mean = (static_cast<double>(n) + 1) / 2;
  const double deviation = std::sqrt((static_cast<double>(n) * static_cast<double>(n) - 1) / 12);
  AT_DISPATCH_FLOATING_TYPES(theta.scalar_type(), "soft_rank", [&] {
    const scalar_t* in = theta.const_data_ptr<scalar_t>();
    scalar_t* result = out.mutable_data_ptr<scalar_t>();
    std::vector<scalar_t> z(n);
    bool ordered = true;
    for (int64_t i = 0; i < n; ++i) {
      z[i] = in[i] / static_cast<scalar_t>(strength);
      ordered = ordered && !std::isnan(z[i]);
    }
    // A NaN has no place in an order (and breaks std::sort): everything becomes NaN, which the
    // caller's loss check reports.
    if (!ordered) std::fill(z.begin(), z.end(), std::numeric_limits<scalar_t>::quiet_NaN());
    if (ordered)
      std::stable_sort(places, places + n, [&](int64_t a, int64_t b) { return z[a] > z[b]; });
    std::vector<Block> blocks;
    for (int64_t i = 0; i < n; ++i) {
      blocks.push_back(
          {static_cast<double>(z[places[i]]) - (static_cast<double>(n - i) - mean) / deviation, 1});
      while (blocks.size() > 1 && blocks[blocks.size() - 2].mean() <= blocks.back().mean()) {
        const Block last = blocks.back();
        blocks.pop_back();
        blocks.back().sum += last.sum;
        blocks.back().count += last.count;
      }
    }
    int64_t i = 0;
    for (size_t b = 0; b < blocks.size(); ++b) {
      for (int64_t k = 0; k < blocks[b].count; ++k, ++i) {
        block_of[i] = static_cast<int64_t>(b);
        result[places[i]] =
            static_cast<scalar_t>(static_cast<double>(z[places[i]]) - blocks[b].mean());
      }
    }
  });
  return {out, order, block};
}

Tensor soft_rank_backward(const Tensor& grad_any, const Tensor& order, const Tensor& block,
                          double strength) {
  const Tensor grad = grad_any.contiguous();
  const int64_t n = grad.numel();
  Tensor out = at::empty_like(grad);
  const int64_t* places = order.const_data_ptr<int64_t>();
  const int64_t* block_of = block.const_data_ptr<int64_t>();
  AT_DISPATCH_FLOATING_TYPES(grad.scalar_type(), "soft_rank_backward", [&] {
    const scalar_t* g = grad.const_data_ptr<scalar_t>();
    scalar_t* result = out.mutable_data_ptr<scalar_t>();
    for (int64_t begin = 0, end = 0; begin < n; begin = end) {
      double sum = 0;
      while (end < n && block_of[end] == block_of[begin])
        sum += static_cast<double>(g[places[end++]]);
      const double mean = sum / static_cast<double>(end - begin);
      for (int64_t i = begin; i < end; ++i)
        result[places[i]] =
            static_cast<scalar_t>((static_cast<double>(g[places[i]]) - mean) / strength);
    }
  });
  return out;
}

}  // namespace

TORCH_LIBRARY_IMPL(astgnn, CPU, m) {
  m.impl("_soft_rank_forward", TORCH_FN(soft_rank_forward));
  m.impl("_soft_rank_backward", TORCH_FN(soft_rank_backward));
}
