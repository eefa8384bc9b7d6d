// A of one date as unnormalised weights E = exp(ReLU(S) - shift) with the rows' 1 / sum, in blocks
// of the stocks that can meet: the whole date, or one block per group, so that the cost is the sum
// of n^2 over groups.
//
// Work is cut into ranges of rows: a piece of a large block, or many small blocks together, so that
// one ATen call serves all of them. Ranges depend on the sizes only and each product runs on one
// thread: results do not depend on the number of threads.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/ops/exp.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "ops/cpu/matrix.h"

namespace astgnn::ops {

struct SimilarityOptions {
  double scale;
  bool exclude_self;
  int64_t top_k;
};

// out [m, n] (rows out_stride apart) = beta out + alpha a b with a [m, k] and b [k, n] given by
// their two strides.
template <class T>
struct Operand {
  const T* data;
  int64_t row_stride, column_stride;
};
template <class T>
void multiply_block(T* out, int64_t out_stride, Operand<T> a, Operand<T> b, int64_t m, int64_t n,
                    int64_t k, T beta, T alpha) {
  if (m * n * k > 16384) {
    const auto tensor = [](Operand<T> x, int64_t rows, int64_t columns) {
      return at::from_blob(const_cast<T*>(x.data), {rows, columns}, {x.row_stride, x.column_stride},
                           at::TensorOptions(c10::CppTypeToScalarType<T>::value));
    };
    multiply(matrix(out, m, n, out_stride), tensor(a, m, k), tensor(b, k, n), beta, alpha);
    return;
  }
  for (int64_t i = 0; i < m; ++i) {  // an ATen call would cost more than the product
    T* row = out + i * out_stride;
    for (int64_t j = 0; j < n; ++j) row[j] = beta == T(0) ? T(0) : beta * row[j];
    if (b.column_stride == 1) {
      for (int64_t l = 0; l < k; ++l) {
        const T factor = alpha * a.data[i * a.row_stride + l * a.column_stride];
        const T* other = b.data + l * b.row_stride;
        for (int64_t j = 0; j < n; ++j) row[j] += factor * other[j];
      }
    } else {
      for (int64_t j = 0; j < n; ++j) {
        T sum = 0;
        for (int64_t l = 0; l < k; ++l) {
          sum += a.data[i * a.row_stride + l * a.column_stride] *
                 b.data[l * b.row_stride + j * b.column_stride];
        }
        row[j] += alpha * sum;
      }
    }
  }
}

// Sum of f(0) + ... + f(n - 1): short stretches in T, which the compiler can keep in vector
// registers, and stretches in double.
template <class T, class F>
double sum_of(int64_t n, F&& f) {
  constexpr int64_t kLanes = 16, kStretch = 256;
  double sum = 0;
  int64_t i = 0;
  while (n - i >= kLanes) {
    T lanes[kLanes] = {};
    for (const int64_t end = i + std::min(kStretch, (n - i) / kLanes * kLanes); i < end;
         i += kLanes) {
      for (int64_t k = 0; k < kLanes; ++k) lanes[k] += f(i + k);
    }
    for (const T lane : lanes) sum += static_cast<double>(lane);
  }
  for (; i < n; ++i) sum += static_cast<double>(f(i));
  return sum;
}

template <class T>
class SimilarityBlocks {
 public:
  // bounds: places of the date's blocks, counted from its first row; memory for the sum of n^2
  // entries.
  SimilarityBlocks(std::vector<int64_t> bounds, Scratch<T>& memory) : bounds_(std::move(bounds)) {
    starts_ = {0};
    for (size_t b = 0; b + 1 < bounds_.size(); ++b)
      starts_.push_back(starts_[b] + size(b) * size(b));
    weights_ = memory.get(std::max<int64_t>(1, starts_.back()));
    inverse_.resize(rows());
    floor_.resize(rows());
    neighbours_.resize(rows());
    self_.resize(rows());
    by_entries_ = ranges(kRangeEntries, kRangeEntries);
    by_rows_ = ranges(std::numeric_limits<int64_t>::max(), kRangeRows);
  }

  int64_t rows() const { return bounds_.back(); }

  // m [N, K]: the rows of M as dropped, in the order of the blocks.
  void build(const T* m, int64_t factors, const SimilarityOptions& options) {
    std::vector<double> norms(rows());
    for (int64_t i = 0; i < rows(); ++i)
      norms[i] = std::sqrt(
          sum_of<T>(factors, [&](int64_t k) { return m[i * factors + k] * m[i * factors + k]; }));
    const double largest = norms.empty() ? 0 : *std::max_element(norms.begin(), norms.end());
    each_range(by_entries_, [&](const Range& range, Worker& worker) {
      const int64_t entries = range.entry_end - range.entry_begin;
      T* scores = worker.scores.get(entries);
      each_run(range, [&](const Run& run) {
        T* first = scores + (run.entry - range.entry_begin);
        multiply_block<T>(first, run.n, {m + run.row * factors, factors, 1},
                          {m + run.lo * factors, 1, factors}, run.rows, run.n, factors, T(0),
                          options.top_k > 0 ? T(1) : static_cast<T>(options.scale));
        for (int64_t i = 0; i < run.rows; ++i) {
          score_row(first + i * run.n, run.n, run.row + i - run.lo, run.row + i,
                    options.scale * norms[run.row + i] * largest, options, worker);
        }
      });
      T* weights = weights_ + range.entry_begin;
      if (entries > 256) {
        at::Tensor out = matrix(weights, 1, entries);
        at::exp_out(out, matrix(scores, 1, entries));
      } else {
        for (int64_t k = 0; k < entries; ++k) weights[k] = std::exp(scores[k]);
      }
      each_run(range, [&](const Run& run) {
        for (int64_t i = 0; i < run.rows; ++i) {
          const int64_t entry = run.entry + i * run.n;
          normalise_row(weights_ + entry, scores + (entry - range.entry_begin), run.n,
                        run.row + i - run.lo, run.row + i);
        }
      });
    });
  }

  // out_i = sum_j A_ij y_j for rows [N, width], then finish(place, out row, y row).
  template <class Finish>
  void apply(const T* y, T* out, int64_t width, Finish&& finish) const {
    each_range(by_rows_, [&](const Range& range, Worker&) {
      each_run(range, [&](const Run& run) {
        multiply_block<T>(out + run.row * width, width, {weights_ + run.entry, run.n, 1},
                          {y + run.lo * width, width, 1}, run.rows, width, run.n, T(0), T(1));
        for (int64_t i = run.row; i < run.row + run.rows; ++i) {
          for (int64_t c = 0; c < width; ++c) out[i * width + c] *= inverse_[i];
          finish(i, out + i * width, y + i * width);
        }
      });
    });
  }

  // out = base + sign A^T g; scratch [N, width].
  void apply_transposed(const T* g, T sign, T* scratch, T* out, int64_t width) const {
    for (int64_t i = 0; i < rows(); ++i) {
      for (int64_t c = 0; c < width; ++c) {
        scratch[i * width + c] = inverse_[i] * g[i * width + c];
        out[i * width + c] = g[i * width + c];
      }
    }
    each_range(by_rows_, [&](const Range& range, Worker&) {
      each_run(range, [&](const Run& run) {
        const T* columns = weights_ + run.block_entry + (run.row - run.lo);
        multiply_block<T>(out + run.row * width, width, {columns, 1, run.n},
                          {scratch + run.lo * width, width, 1}, run.rows, width, run.n, T(1), sign);
      });
    });
  }

  // With dA = left right^T ([N, width] each): replaces the weights by dS = [S > 0] A (dA - rowsum(A
  // dA)).
  void to_score_gradient(const T* left, const T* right, int64_t width) {
    each_range(by_entries_, [&](const Range& range, Worker& worker) {
      T* gradient = worker.scores.get(range.entry_end - range.entry_begin);
      each_run(range, [&](const Run& run) {
        multiply_block<T>(gradient, run.n, {left + run.row * width, width, 1},
                          {right + run.lo * width, 1, width}, run.rows, run.n, width, T(0), T(1));
        for (int64_t i = 0; i < run.rows; ++i) {
          T* __restrict weights = weights_ + run.entry + i * run.n;
          const T* __restrict d = gradient + i * run.n;
          const T inverse = inverse_[run.row + i], zero = floor_[run.row + i];
          const T mean = static_cast<T>(
              sum_of<T>(run.n, [=](int64_t j) { return weights[j] * inverse * d[j]; }));
          for (int64_t j = 0; j < run.n;
               ++j) {  // the sign of S is a coin toss: a factor, not a branch
            const T positive = weights[j] > zero ? inverse : T(0);
            weights[j] *= positive * (d[j] - mean);
          }
        }
      });
    });
  }

  // After to_score_gradient: forward = dS m, backward = dS^T m, both [N, K].
  void apply_score_gradient(const T* m, int64_t factors, T* forward, T* backward) const {
    each_range(by_rows_, [&](const Range& range, Worker&) {
      each_run(range, [&](const Run& run) {
        const Operand<T> other{m + run.lo * factors, factors, 1};
        multiply_block<T>(forward + run.row * factors, factors, {weights_ + run.entry, run.n, 1},
                          other, run.rows, factors, run.n, T(0), T(1));
        multiply_block<T>(backward + run.row * factors, factors,
                          {weights_ + run.block_entry + (run.row - run.lo), 1, run.n}, other,
                          run.rows, factors, run.n, T(0), T(1));
      });
    });
  }

  // effective neighbours over rows that have somebody, self weight, share of empty rows.
  void statistics(double* out) const {
    double neighbours = 0, self = 0;
    int64_t somebody = 0;
    for (int64_t i = 0; i < rows(); ++i) {
      if (inverse_[i] == T(0)) continue;  // nobody; NaN counts as somebody and shows
      neighbours += neighbours_[i];
      self += self_[i];
      ++somebody;
    }
    out[0] = neighbours / static_cast<double>(somebody);
    out[1] = self / static_cast<double>(rows());
    out[2] = 1 - static_cast<double>(somebody) / static_cast<double>(rows());
  }

 private:
  static constexpr int64_t kRangeEntries = 1 << 17;  // scores of a range fit the second-level cache
  static constexpr int64_t kRangeRows =
      256;  // enough rows for a product to pay for packing its right side
  static constexpr T kNever =
      static_cast<T>(-1e30);  // a score whose weight is exactly 0 and which stays finite times 0
  static constexpr double kSafe =
      60;  // exp of a score up to this needs no shift, in float32 either
  // Up to this many stocks the shift costs nothing and makes the largest weight exactly 1: alone, a
  // stock's A is 1 and I - A is 0.
  static constexpr int64_t kExact = 32;

  struct Range {
    int64_t row_begin, row_end, first_block, entry_begin, entry_end;
  };
  struct Run {  // rows of one block: block rows lo .. lo + n, own rows row .. row + rows
    int64_t lo, n, row, rows, block_entry, entry;
  };
  struct Worker {
    Scratch<T> scores;
    std::vector<T> products;
  };

  int64_t size(size_t block) const { return bounds_[block + 1] - bounds_[block]; }

  std::vector<Range> ranges(int64_t entries, int64_t rows) const {
    std::vector<Range> out;
    Range range{0, 0, 0, 0, 0};
    for (size_t b = 0; b + 1 < bounds_.size(); ++b) {
      const int64_t n = size(b), step = std::max<int64_t>(1, std::min(rows, entries / n));
      for (int64_t row = bounds_[b]; row < bounds_[b + 1];) {
        const int64_t count = std::min(step, bounds_[b + 1] - row);
        const bool full = range.entry_end - range.entry_begin + count * n > entries ||
                          range.row_end - range.row_begin + count > rows;
        if (full && range.row_end > range.row_begin) {
          out.push_back(range);
          range = {row, row, static_cast<int64_t>(b), range.entry_end, range.entry_end};
        }
        row += count;
        range.row_end += count;
        range.entry_end += count * n;
      }
    }
    if (range.row_end > range.row_begin) out.push_back(range);
    return out;
  }

  template <class Body>
  void each_range(const std::vector<Range>& ranges, Body&& body) const {
    at::parallel_for(0, static_cast<int64_t>(ranges.size()), 1, [&](int64_t begin, int64_t end) {
      const SequentialRegion sequential;
      Worker worker;
      for (int64_t k = begin; k < end; ++k) body(ranges[k], worker);
    });
  }

  template <class Body>
  void each_run(const Range& range, Body&& body) const {
    for (int64_t row = range.row_begin, block = range.first_block; row < range.row_end; ++block) {
      const int64_t lo = bounds_[block], n = size(block), end = std::min(range.row_end, lo + n);
      body(Run{lo, n, row, end - row, starts_[block], starts_[block] + (row - lo) * n});
      row = end;
    }
  }

  // Products become ReLU(S) - shift, kNever where not allowed. floor_ holds -shift: what S <= 0
  // becomes.
  void score_row(T* scores, int64_t n, int64_t own, int64_t place, double bound,
                 const SimilarityOptions& options, Worker& worker) {
    const bool choose = options.top_k > 0;
    if (choose) {
      const T scale =
          static_cast<T>(options.scale);  // as the reference: ties are compared after the product
      for (int64_t j = 0; j < n; ++j) scores[j] *= scale;
    }
    T kth = -std::numeric_limits<T>::infinity();
    if (choose && options.top_k < n - (options.exclude_self ? 1 : 0)) {
      // The top_k largest so far as a heap with the smallest of them in front: nearly every later
      // product loses one comparison.
      std::vector<T>& largest = worker.products;
      largest.clear();
      bool ordered = true;
      for (int64_t j = 0; j < n; ++j) {
        ordered = ordered && scores[j] == scores[j];
        if (j == own && options.exclude_self) continue;
        if (static_cast<int64_t>(largest.size()) < options.top_k) {
          largest.push_back(scores[j]);
          std::push_heap(largest.begin(), largest.end(), std::greater<T>());
        } else if (scores[j] > largest.front()) {
          std::pop_heap(largest.begin(), largest.end(), std::greater<T>());
          largest.back() = scores[j];
          std::push_heap(largest.begin(), largest.end(), std::greater<T>());
        }
      }
      if (ordered) kth = largest.front();  // a NaN has no place in an order; the row becomes NaN
    }
    for (int64_t j = 0; j < n; ++j) {
      const T score = scores[j], positive = score < T(0) ? T(0) : score;  // NaN stays
      scores[j] = score < kth ? kNever : positive;
    }
    if (options.exclude_self) scores[own] = kNever;
    T shift = 0;
    if (!(bound <= kSafe) || n <= kExact) {
      for (int64_t j = 0; j < n; ++j) shift = std::max(shift, scores[j]);
      for (int64_t j = 0; j < n; ++j) scores[j] = scores[j] == kNever ? kNever : scores[j] - shift;
    }
    floor_[place] = -shift;
  }

  // Sums a row of weights. A positive score keeps its weight above that of S <= 0 even where the
  // exponential rounds to it, because the backward pass tells S > 0 by the weight alone; floor_
  // becomes that weight.
  void normalise_row(T* __restrict weights, const T* __restrict scores, int64_t n, int64_t own,
                     int64_t place) {
    const T lowest = floor_[place], zero = std::exp(lowest),
            above = std::nextafter(zero, std::numeric_limits<T>::infinity());
    for (int64_t j = 0; j < n; ++j) {
      const T score = scores[j], raised = std::max(weights[j], above);
      const T allowed = score > lowest ? raised : zero;
      const T weight = score < lowest ? T(0) : allowed;
      weights[j] = score == score ? weight : score;  // NaN shows
    }
    const double sum = sum_of<T>(n, [=](int64_t j) { return weights[j]; });
    const double moment = sum_of<T>(n, [=](int64_t j) { return weights[j] * scores[j]; });
    floor_[place] = zero;
    inverse_[place] = sum == 0 ? T(0) : static_cast<T>(1 / sum);
    neighbours_[place] = sum == 0 ? 0 : std::exp(std::log(sum) - moment / sum);
    self_[place] = sum == 0 ? 0 : static_cast<double>(weights[own]) / sum;
  }

  std::vector<int64_t> bounds_, starts_;
  std::vector<Range> by_entries_, by_rows_;
  T* weights_;
  std::vector<T> inverse_, floor_;
  std::vector<double> neighbours_, self_;
};

}  // namespace astgnn::ops
