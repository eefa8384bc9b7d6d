// The products with the graph of the TGC where its weights are matrices of a block of rows
// (similarity_matrices.cu), multiplied by cuBLAS. What they take: one block of each of two
// matrices, and all weights of a batch where they are few enough to be used again.
#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "ops/cuda/device.h"

namespace astgnn::ops::cuda {

template <class T>
class SimilarityMatrices {
 public:
  // bounds: of the segments, on the host.
  SimilarityMatrices(const Similarity<T>& graph, const at::Tensor& m,
                     const std::vector<int64_t>& bounds)
      : graph_(graph), m_(m) {
    int64_t total = 0;
    for (size_t s = 0; s + 1 < bounds.size(); ++s) {
      const int64_t lo = bounds[s], hi = bounds[s + 1], entries = kBlockBytes / sizeof(T),
                    most = std::max<int64_t>(1, entries / (hi - lo));
      for (int64_t row = lo; row < hi; row += most)
        blocks_.push_back({lo, hi, row, std::min(most, hi - row), {}});
      total += (hi - lo) * (hi - lo) * static_cast<int64_t>(sizeof(T));
    }
    keep_ = total <= kKeptBytes;
  }

  // As Graph::apply; sums: as similarity_weights' where others is not null.
  void apply(const at::Tensor& values, bool transposed, const at::Tensor& out, bool add,
             const SimilarityBlock<T>& sums) {
    for (Block& block : blocks_) {
      const at::Tensor weights = weights_of(block, sums);
      const auto rows = [&](const at::Tensor& all) {
        return all.slice(0, block.row, block.row + block.rows);
      };
      const auto segment = [&](const at::Tensor& all) { return all.slice(0, block.lo, block.hi); };
      at::Tensor part = transposed ? segment(out) : rows(out);
      const bool joins = add || (transposed && block.row > block.lo);
      at::addmm_out(part, part, transposed ? weights.t() : weights,
                    transposed ? rows(values) : segment(values), joins ? 1 : 0, 1);
    }
  }

  // out = U M, U = D + D^T, D_ij = weight_ij (G_i . V_j - their mean in the row) where the score is
  // positive.
  void gradient(const at::Tensor& weighted, const at::Tensor& values, const at::Tensor& out) {
    for (Block& block : blocks_) {
      block.weights.reset();
      const int64_t end = block.row + block.rows;
      const at::Tensor stocks = m_.slice(0, block.lo, block.hi), own = m_.slice(0, block.row, end),
                       scores = own.mm(stocks.t()),
                       products = weighted.slice(0, block.row, end)
                                      .mm(values.slice(0, block.lo, block.hi).t());
      similarity_slopes<T>(graph_, view(block, scores), products.mutable_data_ptr<T>(),
                           current_stream());
      at::Tensor of_rows = out.slice(0, block.row, end),
                 of_segment = out.slice(0, block.lo, block.hi);
      if (block.row == block.lo) of_segment.zero_();
      of_rows.addmm_(products, stocks);
      of_segment.addmm_(products.t(), own);
    }
  }

 private:
  static constexpr int64_t kBlockBytes = int64_t{256} << 20, kKeptBytes = int64_t{1} << 30;
  struct Block {
    int64_t lo, hi, row, rows;
    at::Tensor weights;  // once they are made, where they are kept
  };

  SimilarityBlock<T> view(const Block& block, const at::Tensor& entries) const {
    return {block.lo, block.hi, block.row, block.rows, entries.mutable_data_ptr<T>(), {}, {}, {}};
  }
  at::Tensor weights_of(Block& block, const SimilarityBlock<T>& sums) {
    if (block.weights.defined()) return block.weights;
    const at::Tensor weights =
        m_.slice(0, block.row, block.row + block.rows).mm(m_.slice(0, block.lo, block.hi).t());
    auto entries = view(block, weights);
    entries.others = sums.others;
    entries.moments = sums.moments;
    entries.own = sums.own;
    similarity_weights<T>(graph_, entries, current_stream());
    if (keep_) block.weights = weights;
    return weights;
  }

  Similarity<T> graph_;
  at::Tensor m_;
  std::vector<Block> blocks_;
  bool keep_ = false;
};

}  // namespace astgnn::ops::cuda
