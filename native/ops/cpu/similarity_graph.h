// The graph of a batch: A of every block (a date, or a group of one) without ever storing it, over
// the tiles of isa/similarity.h. Small blocks keep their weights from the first pass of a direction
// for the later ones.
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/parallel.h"
#include "ops/cpu/scratch.h"
#include "ops/cpu/similarity_partition.h"
#include "ops/ops.h"
#include "ops/segments.h"

namespace astgnn::ops {

// For tests (and ASTGNN_SIMILARITY): one path for all blocks, whatever their size and scores.
enum class SimilarityPath { kAutomatic, kMaterialised, kFlash, kRowMaximum };

inline std::atomic<SimilarityPath>& similarity_path() {
  static std::atomic<SimilarityPath> path = [] {
    const char* name = std::getenv("ASTGNN_SIMILARITY");
    if (!name || !*name) return SimilarityPath::kAutomatic;
    if (!std::strcmp(name, "materialised")) return SimilarityPath::kMaterialised;
    if (!std::strcmp(name, "flash")) return SimilarityPath::kFlash;
    TORCH_CHECK_VALUE(!std::strcmp(name, "rowmax"),
                      "ASTGNN_SIMILARITY: expected materialised, flash or rowmax but got \"", name,
                      "\"");
    return SimilarityPath::kRowMaximum;
  }();
  return path;
}
inline void force_similarity_path(SimilarityPath path) { similarity_path().store(path); }

struct SimilarityOptions {
  double scale;
  bool exclude_self;
  int64_t top_k;
};

template <class T>
class SimilarityGraph {
 public:
  // Rows of others, own, threshold and peak in what is kept between the directions, [4, R].
  static constexpr int64_t kKeptRows = 4;

  // m [R, K]: as dropped, in the order of the segments. kept [4, R]: written where `choose`, else
  // read.
  SimilarityGraph(const Segments& segments, const T* m, int64_t factors,
                  const SimilarityOptions& options, T* kept, bool choose)
      : bounds_(segments.bounds),
        partition_(bounds_),
        options_(options),
        factors_(factors),
        rows_(bounds_.back()),
        others_(kept),
        own_(kept + rows_),
        threshold_(kept + 2 * rows_),
        peak_(kept + 3 * rows_) {
    stride_ = whole(factors);
    int64_t padded = 0, kept_entries = 0;
    const SimilarityPath path = similarity_path();
    for (int64_t b = 0; b < blocks(); ++b) {
      const int64_t n = size(b);
      padded_.push_back(padded);
      padded += whole(n);
      const bool small = path == SimilarityPath::kMaterialised ||
                         (path == SimilarityPath::kAutomatic && n <= kMaterialised &&
                          kept_entries + n * whole(n) <= kKeptEntries);
      kept_.push_back(small ? kept_entries : -1);
      if (small) kept_entries += n * whole(n);
    }
    padded_.push_back(padded);
    T* memory = memory_.get(rows_ * stride_ + padded * factors + 2 * padded + kept_entries + 1);
    m_ = memory;
    panels_ = m_ + rows_ * stride_;
    threshold_columns_ = panels_ + padded * factors;
    peak_columns_ = threshold_columns_ + padded;
    kept_weights_ = peak_columns_ + padded;
    blocks_.resize(blocks());
    tie_margins_.resize(blocks());
    each_in_parallel(static_cast<int64_t>(partition_.block_ranges.size()), [&](int64_t k) {
      for (int64_t b = partition_.block_ranges[k].first; b < partition_.block_ranges[k].second; ++b)
        make_block(b, m);
    });
    if (choose) this->choose();
  }

  int64_t rows() const { return rows_; }
  int64_t whole(int64_t n) const { return (n + lanes_ - 1) / lanes_ * lanes_; }
  const T* others() const { return others_; }
  const T* own() const { return own_; }

  // out (+)= A values, not normalised and without the diagonal; rows of values and out in the order
  // of the segments. The first pass of a forward fills others, own and neighbours [R].
  void apply(const T* values, int64_t values_stride, int64_t vectors, T* out, int64_t out_stride,
             bool add, bool transposed, double* neighbours) {
    each_in_parallel(static_cast<int64_t>(partition_.items.size()), [&](int64_t k) {
      double others[kSimilarityRows], moments[kSimilarityRows];
      for (int64_t p = partition_.items[k].first; p < partition_.items[k].second; ++p) {
        const SimilarityPartition::Piece& piece = partition_.pieces[p];
        const int64_t lo = bounds_[piece.block], first = lo + piece.row;
        const SimilarityPass<T> pass{piece.row,
                                     piece.rows,
                                     values + lo * values_stride,
                                     values_stride,
                                     vectors,
                                     out + lo * out_stride,
                                     out_stride,
                                     add,
                                     transposed,
                                     neighbours ? others : nullptr,
                                     moments,
                                     own_ + first};
        kernels_.similarity_apply(blocks_[piece.block], pass);
        if (!neighbours) continue;
        for (int64_t i = 0; i < piece.rows; ++i) {
          others_[first + i] = static_cast<T>(others[i]);
          const double total = others[i] + static_cast<double>(own_[first + i]);
          neighbours[first + i] = total == 0 ? 0 : std::exp(std::log(total) - moments[i] / total);
        }
      }
    });
    for (SimilarityBlock<T>& block : blocks_) block.filled = block.kept != nullptr;
  }

  // dM / scale in out [R, K]. weighted, values [R, stride], mean [R], diagonal [R]: dS_ii.
  void gradient(const T* weighted, const T* values, int64_t stride, const T* mean,
                const T* diagonal, T* out) {
    const int64_t padded = padded_.back();
    T* means = gradient_memory_.get(padded + 2 * stride * padded);
    T* panels = means + padded;
    each_in_parallel(static_cast<int64_t>(partition_.panels.size()), [&](int64_t k) {
      const auto [block, panel] = partition_.panels[k];
      const int64_t first = bounds_[block] + panel, place = padded_[block] + panel,
                    width = std::min(kSimilarityPanel, whole(size(block) - panel)),
                    count = std::min(kSimilarityPanel, size(block) - panel);
      T* to = panels + 2 * stride * place;
      for (const T* from : {values, weighted}) {
        transpose(from + first * stride, count, stride, to, width);
        to += stride * width;
      }
      for (int64_t i = 0; i < width; ++i) means[place + i] = i < count ? mean[first + i] : T(0);
    });
    T* slots = slots_.get(partition_.slot_rows * stride_);
    each_in_parallel(static_cast<int64_t>(partition_.gradient_items.size()), [&](int64_t k) {
      for (int64_t s = partition_.gradient_items[k].first; s < partition_.gradient_items[k].second;
           ++s) {
        const SimilarityPartition::Slot& slot = partition_.slots[s];
        const int64_t lo = bounds_[slot.block], n = size(slot.block), count = slot.count;
        T* sums = slots + slot.start * stride_;
        std::fill_n(sums, n * stride_, T(0));
        const int64_t pieces =
            (n + SimilarityPartition::kGradientRows - 1) / SimilarityPartition::kGradientRows;
        // There and back again: early pieces have long rows of tiles, late ones short.
        for (int64_t turn = 0; turn * count < pieces; ++turn) {
          const int64_t piece = turn * count + (turn % 2 ? count - 1 - slot.index : slot.index);
          if (piece >= pieces) continue;
          const int64_t row = piece * SimilarityPartition::kGradientRows;
          kernels_.similarity_gradient(
              blocks_[slot.block],
              {row, std::min(SimilarityPartition::kGradientRows, n - row), stride,
               weighted + lo * stride, values + lo * stride,
               panels + 2 * stride * padded_[slot.block], means + padded_[slot.block], sums});
        }
      }
    });
    each_in_parallel(static_cast<int64_t>(partition_.items.size()), [&](int64_t k) {
      for (int64_t p = partition_.items[k].first; p < partition_.items[k].second; ++p) {
        const SimilarityPartition::Piece& piece = partition_.pieces[p];
        const int64_t n = size(piece.block), count = SimilarityPartition::slots_of(n);
        const T* sums = slots + partition_.first_slot_row[piece.block] * stride_;
        for (int64_t i = piece.row; i < piece.row + piece.rows; ++i) {
          const int64_t place = bounds_[piece.block] + i;
          const T* own = m_ + place * stride_;
          T* to = out + place * factors_;
          T norm = 0;
          for (int64_t f = 0; f < factors_; ++f) norm += own[f] * own[f];
          const T twice =
              static_cast<T>(options_.scale) * norm <= T(0) ? T(0) : 2 * diagonal[place];
          for (int64_t f = 0; f < factors_; ++f) to[f] = twice * own[f];
          for (int64_t s = 0; s < count; ++s) {
            const T* part = sums + (s * n + i) * stride_;
            for (int64_t f = 0; f < factors_; ++f) to[f] += part[f];
          }
        }
      }
    });
  }

  // effective neighbours over rows with a neighbour, self weight, share of empty rows, of the rows
  // lo .. hi; after the first apply.
  void statistics(int64_t lo, int64_t hi, const double* neighbours_of, double* out) const {
    double neighbours = 0, self = 0;
    int64_t somebody = 0;
    for (int64_t i = lo; i < hi; ++i) {
      const double own = own_[i], total = own + static_cast<double>(others_[i]);
      if (total == 0) continue;  // nobody; NaN counts as somebody and shows
      neighbours += neighbours_of[i];
      self += own / total;
      ++somebody;
    }
    out[0] = neighbours / static_cast<double>(somebody);
    out[1] = self / static_cast<double>(hi - lo);
    out[2] = 1 - static_cast<double>(somebody) / static_cast<double>(hi - lo);
  }

 private:
  static constexpr int64_t kMaterialised = 700;     // blocks up to this keep their weights
  static constexpr int64_t kKeptEntries = 1 << 24;  // of all blocks together
  // Scores up to this stay in the range of float32 with one shift: from half of it on, weights are
  // centred about 1,
  // which changes no quotient.
  static constexpr double kSafe = 80;

  int64_t blocks() const { return static_cast<int64_t>(bounds_.size()) - 1; }
  int64_t size(int64_t block) const { return bounds_[block + 1] - bounds_[block]; }
  // to [columns, width] = from [count, columns] transposed, 0 behind count.
  static void transpose(const T* from, int64_t count, int64_t columns, T* to, int64_t width) {
    constexpr int64_t kSquare = 4;  // goes through registers
    const int64_t squares = count / kSquare * kSquare;
    for (int64_t c = 0; c < columns; c += kSquare) {
      const int64_t end = std::min(columns, c + kSquare);
      int64_t i = 0;
      for (; end - c == kSquare && i < squares; i += kSquare) {
        T square[kSquare][kSquare];
        for (int64_t r = 0; r < kSquare; ++r) {
          for (int64_t k = 0; k < kSquare; ++k) square[k][r] = from[(i + r) * columns + c + k];
        }
        for (int64_t k = 0; k < kSquare; ++k)
          std::copy_n(square[k], kSquare, to + (c + k) * width + i);
      }
      for (; i < count; ++i) {
        for (int64_t k = c; k < end; ++k) to[k * width + i] = from[i * columns + k];
      }
    }
    for (int64_t i = count; i < width; ++i) {
      for (int64_t k = 0; k < columns; ++k) to[k * width + i] = T(0);
    }
  }

  // Packs M; decides whether one shift serves the block.
  void make_block(int64_t b, const T* m) {
    const int64_t lo = bounds_[b], n = size(b);
    double largest = 0;
    bool ordered = true;
    for (int64_t i = lo; i < lo + n; ++i) {
      T norm = 0;
      for (int64_t k = 0; k < stride_; ++k) {
        const T value = k < factors_ ? m[i * factors_ + k] : T(0);
        m_[i * stride_ + k] = value;
        norm += value * value;
      }
      ordered = ordered && norm == norm;
      largest = std::max(largest, static_cast<double>(norm));
    }
    T* panel_columns = panels_ + padded_[b] * factors_;
    for (int64_t panel = 0; panel < n; panel += kSimilarityPanel) {
      const int64_t width = std::min(kSimilarityPanel, whole(n - panel)),
                    count = std::min(kSimilarityPanel, n - panel);
      transpose(m + (lo + panel) * factors_, count, factors_, panel_columns + panel * factors_,
                width);
    }
    const double bound = std::abs(options_.scale) * largest + std::log(static_cast<double>(n));
    tie_margins_[b] = kTie * std::abs(options_.scale) * std::sqrt(largest);
    const bool chosen = options_.top_k > 0 && options_.top_k < n - (options_.exclude_self ? 1 : 0);
    const bool safe = bound <= kSafe && similarity_path() != SimilarityPath::kRowMaximum;
    SimilarityBlock<T>& block = blocks_[b];
    block = {n,
             factors_,
             stride_,
             m_ + lo * stride_,
             panel_columns,
             static_cast<T>(options_.scale),
             static_cast<T>(bound > kSafe / 2 ? bound / 2 : 0),
             !options_.exclude_self,
             nullptr,
             nullptr,
             nullptr,
             false};
    if ((safe || !ordered) && !chosen) {
      if (kept_[b] >= 0) block.kept = kept_weights_ + kept_[b];
      return;
    }
    block.threshold = threshold_columns_ + padded_[b];
    block.peak = peak_columns_ + padded_[b];
    for (int64_t i = 0; i < whole(n); ++i) {
      threshold_columns_[padded_[b] + i] = i < n ? threshold_[lo + i] : T(0);
      peak_columns_[padded_[b] + i] = i < n ? peak_[lo + i] : T(0);
    }
  }

  // Thresholds and largest scores of the blocks that need them, from stretches of rows.
  void choose() {
    each_in_parallel(static_cast<int64_t>(partition_.items.size()), [&](int64_t k) {
      Scratch<T> memory;
      std::vector<T> largest;
      for (int64_t p = partition_.items[k].first; p < partition_.items[k].second; ++p) {
        const SimilarityPartition::Piece& piece = partition_.pieces[p];
        const SimilarityBlock<T>& block = blocks_[piece.block];
        if (!block.threshold) continue;
        const int64_t stride = whole(block.rows), lo = bounds_[piece.block];
        T* scores = memory.get(SimilarityPartition::kRows * stride);
        for (int64_t row = piece.row; row < piece.row + piece.rows;
             row += SimilarityPartition::kRows) {
          const int64_t count = std::min(SimilarityPartition::kRows, piece.row + piece.rows - row);
          kernels_.similarity_scores(block, row, count, scores);
          for (int64_t i = 0; i < count; ++i) {
            const T* own = block.m + (row + i) * block.factor_stride;
            double norm = 0;
            for (int64_t k = 0; k < factors_; ++k) norm += static_cast<double>(own[k]) * own[k];
            const auto [threshold, peak] =
                choose_row(scores + i * stride, block.rows, row + i,
                           static_cast<T>(tie_margins_[piece.block] * std::sqrt(norm)), largest);
            threshold_[lo + row + i] = threshold;
            peak_[lo + row + i] = peak;
            threshold_columns_[padded_[piece.block] + row + i] = threshold;
            peak_columns_[padded_[piece.block] + row + i] = peak;
          }
        }
      }
    });
  }

  // The smallest score that is kept, `margin` below the top_k-th largest (-inf where as many are not
  // there, or where a NaN has no place in the order: it shows in the row), and the largest one, not
  // below 0.
  std::pair<T, T> choose_row(const T* scores, int64_t n, int64_t own, T margin,
                             std::vector<T>& largest) const {
    T threshold = -std::numeric_limits<T>::infinity(), peak = 0;
    bool ordered = true;
    const bool chosen = options_.top_k > 0 && options_.top_k < n - (options_.exclude_self ? 1 : 0);
    // A heap with the smallest of the largest in front: nearly every later score loses one
    // comparison.
    largest.clear();
    for (int64_t j = 0; j < n; ++j) {
      const T score = scores[j];
      ordered = ordered && score == score;
      if (j == own && options_.exclude_self) continue;
      peak = std::max(peak, score);
      if (!chosen) continue;
      if (static_cast<int64_t>(largest.size()) < options_.top_k) {
        largest.push_back(score);
        std::push_heap(largest.begin(), largest.end(), std::greater<T>());
      } else if (score > largest.front()) {
        std::pop_heap(largest.begin(), largest.end(), std::greater<T>());
        largest.back() = score;
        std::push_heap(largest.begin(), largest.end(), std::greater<T>());
      }
    }
    if (chosen && ordered) threshold = largest.front() - margin;
    return {threshold, peak};
  }

  const KernelsOf<T>& kernels_ = kernels_of<T>();
  const int64_t lanes_ = kernels_.lanes;
  std::vector<int64_t> bounds_, padded_, kept_;
  SimilarityPartition partition_;
  SimilarityOptions options_;
  int64_t factors_, rows_, stride_ = 0;
  T *others_, *own_, *threshold_, *peak_;
  T *m_ = nullptr, *panels_ = nullptr, *threshold_columns_ = nullptr, *peak_columns_ = nullptr,
    *kept_weights_ = nullptr;
  std::vector<SimilarityBlock<T>> blocks_;
  std::vector<double> tie_margins_;  // of a block, over a row's norm
  Scratch<T> memory_, gradient_memory_, slots_;
};

}  // namespace astgnn::ops
