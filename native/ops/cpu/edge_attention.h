// Attention of one (date, head) over a CSR edge list, O(edges). A task owns the whole date of its
// head, so the sums over the rows that see a column need no atomics and have one order.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace astgnn::ops {

template <class T>
struct EdgeAttention {
  int64_t n = 0, width = 0, first_row = 0;  // rows of the date, D, packed row of the date's first
  double slope = 0;
  const int64_t *edge_offsets = nullptr, *edge_targets = nullptr;  // of the whole batch
  std::vector<T> source, target, values;
  std::vector<double> sums, target_sums, accumulated;

  void resize(int64_t rows, int64_t head_width) {
    n = rows;
    width = head_width;
    source.resize(n);
    target.resize(n);
    values.resize(n * width);
    accumulated.resize(width);
  }

  template <class Edge>
  void each_edge(int64_t i, Edge&& edge) const {
    for (int64_t e = edge_offsets[first_row + i]; e < edge_offsets[first_row + i + 1]; ++e) {
      const int64_t j = edge_targets[e] - first_row;
      const T raw = source[i] + target[j];
      edge(j, raw > 0 ? static_cast<double>(raw) : slope * static_cast<double>(raw),
           raw > 0 ? 1.0 : slope);
    }
  }

  // write(i, log of the sum of exp(score), averaged values [D])
  template <class Write>
  void forward(Write&& write) {
    for (int64_t i = 0; i < n; ++i) {
      double largest = -std::numeric_limits<double>::infinity(), total = 0;
      each_edge(i, [&](int64_t, double score, double) {
        largest = score > largest || std::isnan(score) ? score : largest;
      });
      std::fill(accumulated.begin(), accumulated.end(), 0.0);
      each_edge(i, [&](int64_t j, double score, double) {
        const double weight = std::exp(score - largest);
        total += weight;
        for (int64_t d = 0; d < width; ++d)
          accumulated[d] += weight * static_cast<double>(values[j * width + d]);
      });
      for (int64_t d = 0; d < width; ++d) accumulated[d] /= total;
      write(i, largest + std::log(total), accumulated.data());
    }
  }

  // read(i, g [D]) fills the gradient of row i and returns g . out_i; source_gradient(i, value)
  // takes dsource. sums [n, D] and target_sums [n] end as the gradients of values and target.
  template <class Read, class Write>
  void backward(const double* normalizer, Read&& read, Write&& source_gradient) {
    sums.assign(n * width, 0.0);
    target_sums.assign(n, 0.0);
    std::vector<double>& g = accumulated;
    for (int64_t i = 0; i < n; ++i) {
      const double delta = read(i, g.data());
      double source_sum = 0;
      each_edge(i, [&](int64_t j, double score, double derivative) {
        const double weight = std::exp(score - normalizer[i]);
        double product = 0;
        for (int64_t d = 0; d < width; ++d) {
          product += g[d] * static_cast<double>(values[j * width + d]);
          sums[j * width + d] += weight * g[d];
        }
        const double score_gradient = weight * (product - delta) * derivative;
        source_sum += score_gradient;
        target_sums[j] += score_gradient;
      });
      source_gradient(i, source_sum);
    }
  }
};

}  // namespace astgnn::ops
