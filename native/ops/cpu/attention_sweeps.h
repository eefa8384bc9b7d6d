// Attention of one (segment, head) in O(n log n), exact. LeakyReLU(x) = x or a x, so
// exp(LeakyReLU(s_i + t_j)) is a product of a row's and a column's factor on each side of s_i + t_j
// = 0. With both sides sorted, the columns of one branch are a prefix, those of the other a suffix,
// and two sweeps that only ever add carry the sums: no N x N matrix and no difference of prefix
// sums.
//
// tm = max t, E1_j = exp(t_j - tm), E0_j = exp(a (t_j - tm)), f0_i = exp(-(1 - a) max(s_i + tm,
// 0)), f1 = 1: every factor is in (0, 1] and the row's sum is at least 1, so nothing overflows, and
// what underflows is below 1e-38 of the row. The branch test is the literal s + t > 0 in the dtype
// of the scores, the same everywhere.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace astgnn::ops {

template <class T>
struct AttentionSweeps {
  int64_t n = 0, width = 0;  // rows of the segment, D
  double slope = 0;
  std::vector<T> source, target, values;          // [n], [n], [n, D]: values after dropout
  std::vector<int32_t> by_source, by_target;      // [n] ascending
  std::vector<double> upper, lower, row_factor;   // E1, E0 [n] by column; f0 [n] by row
  std::vector<double> sums, totals, accumulated;  // scratch: [n, D], [n], [D]
  std::vector<std::pair<T, int32_t>> keyed;

  void resize(int64_t rows, int64_t head_width) {
    n = rows;
    width = head_width;
    for (auto* each : {&source, &target}) each->resize(n);
    for (auto* each : {&upper, &lower, &row_factor, &totals}) each->resize(n);
    values.resize(n * width);
    sums.resize(n * width);
    accumulated.resize(width);
    by_source.resize(n);
    by_target.resize(n);
  }

  // A NaN or infinite score has no place in an order; the whole segment then becomes NaN, as it
  // does in a softmax.
  bool finite() const {
    T sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += (source[i] - source[i]) + (target[i] - target[i]);
    return sum == 0;
  }

  void sort() {
    for (auto [scores, order] : {std::pair(&source, &by_source), std::pair(&target, &by_target)}) {
      keyed.resize(n);
      for (int64_t i = 0; i < n; ++i) keyed[i] = {(*scores)[i], static_cast<int32_t>(i)};
      std::sort(keyed.begin(), keyed.end());
      for (int64_t i = 0; i < n; ++i) (*order)[i] = keyed[i].second;
    }
  }

  void factors() {
    const double largest = target[by_target[n - 1]];
    for (int64_t i = 0; i < n; ++i) {
      const double below = static_cast<double>(target[i]) - largest;
      upper[i] = std::exp(below);
      lower[i] = std::exp(slope * below);
      row_factor[i] =
          std::exp(-(1 - slope) * std::max(static_cast<double>(source[i]) + largest, 0.0));
    }
  }

  // write(i, total weight of the lower branch, of the upper, weighted sum of the lower branch's
  // values [D], of the upper's [D]) for every row. The row's result is the sum of both sums over
  // the sum of both weights.
  template <class Write>
  void forward(Write&& write) {
    std::fill(accumulated.begin(), accumulated.end(), 0.0);
    double total = 0;
    for (int64_t k = n - 1, next = 0; k >= 0;
         --k) {  // rows by falling source: the lower branch grows
      const int64_t i = by_source[k];
      for (; next < n && !(source[i] + target[by_target[next]] > 0); ++next) {
        const int64_t j = by_target[next];
        total += lower[j];
        for (int64_t d = 0; d < width; ++d)
          accumulated[d] += lower[j] * static_cast<double>(values[j * width + d]);
      }
      totals[i] = row_factor[i] * total;
      for (int64_t d = 0; d < width; ++d) sums[i * width + d] = row_factor[i] * accumulated[d];
    }
    std::fill(accumulated.begin(), accumulated.end(), 0.0);
    total = 0;
    for (int64_t k = 0, next = n - 1; k < n;
         ++k) {  // rows by rising source: the upper branch grows
      const int64_t i = by_source[k];
      for (; next >= 0 && source[i] + target[by_target[next]] > 0; --next) {
        const int64_t j = by_target[next];
        total += upper[j];
        for (int64_t d = 0; d < width; ++d)
          accumulated[d] += upper[j] * static_cast<double>(values[j * width + d]);
      }
      write(i, totals[i], total, &sums[i * width], accumulated.data());
    }
  }

  // Now columns collect from the rows that see them. row(i, factor, sums) adds factor * g_i to sums
  // [D] and returns factor * (g_i . out_i); column(j, E, slope of the branch, sums, sum of what row
  // returned, first) takes what the rows of one branch add up to: once for the lower branch
  // (first), then once for the upper. normalizer [n]: the sum of each row's weights.
  template <class Row, class Column>
  void backward(const double* normalizer, Row&& row, Column&& column) {
    std::fill(accumulated.begin(), accumulated.end(), 0.0);
    double delta = 0;
    for (int64_t k = n - 1, next = 0; k >= 0;
         --k) {  // columns by falling target: rows of the lower branch grow
      const int64_t j = by_target[k];
      for (; next < n && !(source[by_source[next]] + target[j] > 0); ++next) {
        const int64_t i = by_source[next];
        delta += row(i, row_factor[i] / normalizer[i], accumulated.data());
      }
      column(j, lower[j], slope, accumulated.data(), delta, /*first=*/true);
    }
    std::fill(accumulated.begin(), accumulated.end(), 0.0);
    delta = 0;
    for (int64_t k = 0, next = n - 1; k < n;
         ++k) {  // columns by rising target: rows of the upper branch grow
      const int64_t j = by_target[k];
      for (; next >= 0 && source[by_source[next]] + target[j] > 0; --next) {
        const int64_t i = by_source[next];
        delta += row(i, 1 / normalizer[i], accumulated.data());
      }
      column(j, upper[j], 1.0, accumulated.data(), delta, /*first=*/false);
    }
  }
};

}  // namespace astgnn::ops
