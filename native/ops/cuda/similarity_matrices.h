// The products with the graph of the TGC where its weights are a matrix per date
// (similarity_matrices.cu), multiplied by cuBLAS: all dates in one launch, whatever their number.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>

#include "ops/cuda/device.h"

namespace astgnn::ops::cuda {

// How a batch of dates without groups is cut up.
struct DateMatrices {
  at::Tensor bounds;  // [B + 1] on the device
  int64_t dates, rows, largest;
  bool ragged;

  // offsets: [B + 1] on the host. any_date > 0: rows of the largest date that a batch may have;
  // what is launched then follows from it and the number of rows and dates.
  DateMatrices(const at::Tensor& offsets, const at::Tensor& bounds_on_device, int64_t any_date)
      : bounds(bounds_on_device), dates(offsets.size(0) - 1), largest(any_date) {
    const auto* place = offsets.const_data_ptr<int64_t>();
    rows = place[dates];
    for (int64_t d = 0; any_date == 0 && d < dates; ++d)
      largest = std::max(largest, place[d + 1] - place[d]);
    ragged = any_date > 0 || rows != dates * largest;
  }
  // Faster than tiles: neither so small that a launch is all they are, nor so large or so different
  // in size that the matrices hold more than they must.
  bool pay(int64_t element_size) const {
    constexpr int64_t kLeastRows = 256, kMostBytes = int64_t{1} << 30;
    return rows > 0 && rows >= kLeastRows * dates && dates * largest <= 2 * rows &&
           largest * largest * element_size <= kMostBytes;
  }
};

template <class T>
class SimilarityMatrices {
 public:
  SimilarityMatrices(const Similarity<T>& graph, const at::Tensor& m, const DateMatrices& cut)
      : graph_(graph), cut_(cut) {
    if (cut_.ragged) {
      const at::Tensor place = at::arange(cut_.rows, cut_.bounds.options()),
                       date = at::searchsorted(cut_.bounds, place, false, /*right=*/true) - 1;
      padded_ = place - cut_.bounds.index_select(0, date) + date * cut_.largest;
    }
    m_ = padded(m);
    const int64_t bytes = cut_.largest * cut_.largest * static_cast<int64_t>(sizeof(T));
    together_ = std::max<int64_t>(1, kMatrixBytes / bytes);
    if (cut_.dates <= together_) kept_.resize(1);
  }

  // A values or A^T values, [R, width]; sums: others, moments and own of a first pass, or none.
  at::Tensor apply(const at::Tensor& values, bool transposed, const SimilarityMatrix<T>& sums) {
    const at::Tensor given = padded(values), out = at::empty_like(given);
    each([&](int64_t lo, int64_t hi) {
      const at::Tensor weights = weights_of(lo, hi, sums);
      at::Tensor part = out.slice(0, lo, hi);
      at::bmm_out(part, transposed ? weights.transpose(1, 2) : weights, given.slice(0, lo, hi));
    });
    return unpadded(out);
  }

  // U M, U = D + D^T, D_ij = weight_ij (G_i . V_j - their mean in the row) where the score is
  // positive.
  at::Tensor gradient(const at::Tensor& weighted, const at::Tensor& values) {
    kept_.clear();
    const at::Tensor g = padded(weighted), v = padded(values), out = at::empty_like(m_);
    each([&](int64_t lo, int64_t hi) {
      const auto of = [&](const at::Tensor& all) { return all.slice(0, lo, hi); };
      const at::Tensor scores = of(m_).bmm(of(m_).transpose(1, 2)),
                       products = of(g).bmm(of(v).transpose(1, 2));
      similarity_slopes<T>(graph_, view(lo, scores), products.mutable_data_ptr<T>(),
                           current_stream());
      at::Tensor part = of(out);
      at::bmm_out(part, products, of(m_));
      part.baddbmm_(products.transpose(1, 2), of(m_));
    });
    return unpadded(out);
  }

 private:
  static constexpr int64_t kMatrixBytes = int64_t{1} << 30;  // of one matrix of some dates

  // [R, width] <-> [B, largest, width]
  at::Tensor padded(const at::Tensor& rows) const {
    const int64_t width = rows.size(1), all = cut_.dates * cut_.largest;
    const at::Tensor out =
        padded_.defined() ? at::zeros({all, width}, rows.options()).index_copy_(0, padded_, rows)
                          : rows.contiguous();
    return out.view({cut_.dates, cut_.largest, width});
  }
  at::Tensor unpadded(const at::Tensor& by_date) const {
    const at::Tensor rows = by_date.flatten(0, 1);
    return padded_.defined() ? rows.index_select(0, padded_) : rows;
  }

  template <class Work>
  void each(const Work& work) const {
    for (int64_t lo = 0; lo < cut_.dates; lo += together_)
      work(lo, std::min(lo + together_, cut_.dates));
  }

  SimilarityMatrix<T> view(int64_t lo, const at::Tensor& entries) const {
    return {cut_.bounds.const_data_ptr<int64_t>() + lo,
            entries.size(0),
            cut_.largest,
            entries.mutable_data_ptr<T>(),
            nullptr,
            nullptr,
            nullptr};
  }
  at::Tensor weights_of(int64_t lo, int64_t hi, const SimilarityMatrix<T>& sums) {
    if (!kept_.empty() && kept_[0].defined()) return kept_[0];
    const at::Tensor own = m_.slice(0, lo, hi), weights = own.bmm(own.transpose(1, 2));
    SimilarityMatrix<T> matrix = view(lo, weights);
    matrix.others = sums.others;
    matrix.moments = sums.moments;
    matrix.own = sums.own;
    similarity_weights<T>(graph_, matrix, current_stream());
    if (!kept_.empty()) kept_[0] = weights;
    return weights;
  }

  Similarity<T> graph_;
  DateMatrices cut_;
  at::Tensor padded_, m_;         // place of each row among the padded ones, or undefined
  int64_t together_;              // dates of one matrix
  std::vector<at::Tensor> kept_;  // the weights, where one matrix holds them all
};

}  // namespace astgnn::ops::cuda
