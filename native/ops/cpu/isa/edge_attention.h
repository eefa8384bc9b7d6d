// Attention of one (date, head) over a CSR edge list, O(edges). A task owns the whole date of its
// head, so the sums over the rows that see a column need no atomics and have one order.
#pragma once

#include "ops/cpu/isa/attention_dropout.h"
#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/isa/wide.h"

namespace astgnn::ops::ASTGNN_ISA {

template <class T>
int64_t edge_scratch(int64_t count, int64_t width, int64_t most_edges_of_a_row) {
  return 3 * whole_vectors<double>(most_edges_of_a_row) +
         (count + 1) * (whole_vectors<double>(width) + 1);
}

// One row's edges.
template <class T>
struct RowEdges {
  const AttentionHead<T>& head;
  const int64_t* target;  // packed rows
  int64_t count;
  double *weight, *derivative;  // [count]; weight holds the scores before it holds the weights

  RowEdges(const AttentionHead<T>& of, const EdgeList& edges, int64_t row, double* memory,
           int64_t most)
      : head(of),
        target(edges.targets + edges.offsets[row]),
        count(edges.offsets[row + 1] - edges.offsets[row]),
        weight(memory),
        derivative(memory + most) {
    const T source = of.source[row * of.score_step];
    for (int64_t e = 0; e < count; ++e) {
      const T seen = of.target[target[e] * of.score_step];
      derivative[e] = source + seen > 0 ? 1.0 : of.slope;
      weight[e] = (static_cast<double>(source) + static_cast<double>(seen)) * derivative[e];
    }
    weigh(largest());
  }

 private:
  // NaN where there is one.
  double largest() const {
    double most = weight[0];
    for (int64_t e = 1; e < count; ++e)
      most = weight[e] > most || weight[e] != weight[e] ? weight[e] : most;
    return most;
  }
  void weigh(double most) const {
    for (int64_t e = count; e < whole_vectors<double>(count); ++e) weight[e] = most;
    for (int64_t e = 0; e < count; e += kLanes<double>)
      store<double>(weight + e, exp_unit(load(weight + e) - most));
    double sum = 0;
    for (int64_t e = 0; e < count; ++e) sum += weight[e];
    const double inverse = 1 / sum;
    for (int64_t e = 0; e < count; ++e) weight[e] *= inverse;
  }
};

template <class T>
ASTGNN_INLINE int64_t most_edges(const AttentionHead<T>& head, const EdgeList& edges) {
  int64_t most = 0;
  for (int64_t i = 0; i < head.count; ++i) {
    const int64_t row = head.rows[i], count = edges.offsets[row + 1] - edges.offsets[row];
    most = count > most ? count : most;
  }
  return whole_vectors<double>(most);
}

template <class T>
void edge_forward(const AttentionHead<T>& head, const EdgeList& edges, T* out) {
  const int64_t most = most_edges(head, edges);
  for (int64_t i = 0; i < head.count; ++i) {
    const int64_t row = head.rows[i];
    const RowEdges<T> own(head, edges, row, head.scratch, most);
    each_wide_block<T>(
        head.width, [&]<int V, bool kPart>(int64_t first, int part) ASTGNN_INLINE_LAMBDA {
          Vec<double> average[V] = {};
          for (int64_t e = 0; e < own.count; ++e) {
            const T* value = head.values + own.target[e] * head.value_step + first;
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v)
              average[v] = fused(broadcast(own.weight[e]),
                                 widen<T, kPart>(value + v * kLanes<double>, part), average[v]);
          }
          T* result = out + row * head.value_step + first;
#pragma GCC unroll 8
          for (int v = 0; v < V; ++v)
            narrow<T, kPart>(result + v * kLanes<double>, average[v], part);
        });
  }
}

template <class T>
void edge_backward(const AttentionHead<T>& head, const EdgeList& edges,
                   const AttentionGradients<T>& gradients) {
  const int64_t most = most_edges(head, edges), wide = whole_vectors<double>(head.width),
                n = head.count;
  const int64_t first_row = head.rows[0];
  double *products = head.scratch + 2 * most, *g = products + most, *sums = g + wide,
         *target_sums = sums + n * wide;
  for (int64_t k = 0; k < n * (wide + 1); ++k) sums[k] = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = first_row + i;
    const RowEdges<T> own(head, edges, row, head.scratch, most);
    const T* gradient = gradients.out + row * head.value_step;
    each_wide<T>(head.width, [&]<bool kPart>(int64_t first, int part) ASTGNN_INLINE_LAMBDA {
      store<double>(g + first, widen<T, kPart>(gradient + first, part));
    });
    double delta = 0;  // g . out_i
    for (int64_t e = 0; e < own.count; ++e) {
      const T* value = head.values + own.target[e] * head.value_step;
      double* sum = sums + (own.target[e] - first_row) * wide;
      Vec<double> product = {};
      each_wide<T>(head.width, [&]<bool kPart>(int64_t first, int part) ASTGNN_INLINE_LAMBDA {
        const Vec<double> each = load(g + first);
        product = fused(each, widen<T, kPart>(value + first, part), product);
        store<double>(sum + first, fused(broadcast(own.weight[e]), each, load(sum + first)));
      });
      products[e] = wide_sum(product);
      delta += own.weight[e] * products[e];
    }
    double source_sum = 0;
    for (int64_t e = 0; e < own.count; ++e) {
      const double score = own.weight[e] * (products[e] - delta) * own.derivative[e];
      source_sum += score;
      target_sums[own.target[e] - first_row] += score;
    }
    gradients.dsource[row * head.score_step] = static_cast<T>(source_sum);
  }
  for (int64_t j = 0; j < n; ++j) {
    const int64_t row = first_row + j;
    gradients.dtarget[row * head.score_step] = static_cast<T>(target_sums[j]);
    each_wide<T>(head.width, [&]<bool kPart>(int64_t first, int part) ASTGNN_INLINE_LAMBDA {
      const Vec<double> dropped =
          widen<T, kPart>(head.values + row * head.value_step + first, part);
      narrow<T, kPart>(gradients.dv + row * head.value_step + first,
                       undropped(load(sums + j * wide + first), dropped, head.kept), part);
    });
  }
}

}  // namespace astgnn::ops::ASTGNN_ISA
