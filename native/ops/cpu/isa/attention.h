// Attention of one head of rows that all see each other in O(n log n), exact. LeakyReLU(x) = x or a
// x, so exp(LeakyReLU(s_i + t_j)) is a product of a row's and a column's factor on each side of s_i
// + t_j = 0. With both sides sorted, the columns of one branch are a prefix, those of the other a
// suffix, and two sweeps that only ever add carry the sums in registers: no N x N matrix and no
// difference of prefix sums.
//
// tm = max t, E1_j = exp(t_j - tm), E0_j = exp(a (t_j - tm)), f0_i = exp(-(1 - a) max(s_i + tm,
// 0)), f1 = 1: every factor is in (0, 1] and the row's sum is at least 1, so nothing overflows, and
// what underflows is below 1e-300 of the row. The branch test is the literal s + t > 0 in the dtype
// of the scores, the same everywhere. Factors and sums are float64 for float values too.
#pragma once

#include "ops/cpu/isa/attention_order.h"
#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/isa/wide.h"

namespace astgnn::ops::ASTGNN_ISA {

// Doubles that a head needs beside its inputs and results.
template <class T>
int64_t attention_scratch(int64_t count, int64_t width) {
  const int64_t n = count + kLanes<double>, block = 8 * kLanes<double>;
  return 8 * n + n * (width < block ? width + kLanes<double> : block) + order_scratch<T>(count);
}

// A head's rows (by rising source) and columns (by rising target) with what the sweeps multiply.
template <class T>
struct SortedHead {
  const AttentionHead<T>& head;
  int64_t count;
  const int32_t *row, *column;               // packed rows
  T *source, *target;                        // [count]
  double *row_factor, *lower, *upper;        // f0 by row; E0 and E1 by column
  double *beta, *gamma;                      // of the way back, by row
  double *totals, *products;                 // [count], of whoever collects
  double* staged;                            // [count, columns of a block]

  // Orders come from the scratch or from where they were saved.
  SortedHead(const AttentionHead<T>& of, int32_t* by_source, int32_t* by_target, bool sort)
      : head(of), count(of.count), row(by_source), column(by_target) {
    const int64_t n = count + kLanes<double>;
    double* memory = of.scratch;
    const auto take = [&] { return (memory += n) - n; };
    source = reinterpret_cast<T*>(take());
    target = reinterpret_cast<T*>(take());
    row_factor = take();
    lower = take();
    upper = take();
    gamma = take();
    totals = beta = take();
    products = take();
    staged = memory;
    if (sort) {
      order_rows(of, of.source, by_source, staged);
      order_rows(of, of.target, by_target, staged);
    }
    for (int64_t k = 0; k < count; ++k) source[k] = of.source[row[k] * of.score_step];
    for (int64_t k = 0; k < count; ++k) target[k] = of.target[column[k] * of.score_step];
    factors();
  }

  const T* values(int64_t k) const { return head.values + column[k] * head.value_step; }

 private:
  void factors() {
    constexpr int L = kLanes<double>;
    const double largest = static_cast<double>(target[count - 1]), slope = head.slope;
    for (int64_t k = count; k < count + L; ++k) source[k] = target[k] = T(0);  // only fills vectors
    for (int64_t k = 0; k < count; k += L) {
      const Vec<double> below = widen(target + k) - largest,
                        sum = positive<double>(widen(source + k) + largest);
      store<double>(upper + k, exp_unit(below));
      store<double>(lower + k, exp_unit(slope * below));
      store<double>(row_factor + k, exp_unit((slope - 1) * sum));
    }
  }
};

// The two sweeps over one block of columns of the values. Rows by falling source collect the growing
// lower branch, rows by rising source the growing upper one and finish.
template <class T, int V, bool kPart>
ASTGNN_INLINE void attend(const SortedHead<T>& sorted, int64_t first, int part, T* out,
                          const AttentionSaved<T>& saved) {
  constexpr int64_t L = kLanes<double>;
  const AttentionHead<T>& head = sorted.head;
  const int64_t count = sorted.count;
  Vec<double> sum[V] = {};
  double total = 0;
  for (int64_t k = count - 1, next = 0; k >= 0; --k) {
    for (; next < count && !(sorted.source[k] + sorted.target[next] > 0); ++next) {
      const double weight = sorted.lower[next];
      const T* value = sorted.values(next) + first;
      total += weight;
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sum[v] += weight * widen<T, kPart>(value + v * L, part);
    }
    const double factor = sorted.row_factor[k];
    sorted.totals[k] = factor * total;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store<double>(sorted.staged + (k * V + v) * L, factor * sum[v]);
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) sum[v] = Vec<double>{};
  total = 0;
  for (int64_t k = 0, next = count - 1; k < count; ++k) {
    for (; next >= 0 && sorted.source[k] + sorted.target[next] > 0; --next) {
      const double weight = sorted.upper[next];
      const T* value = sorted.values(next) + first;
      total += weight;
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sum[v] += weight * widen<T, kPart>(value + v * L, part);
    }
    const double below = sorted.totals[k], whole = below + total, inverse = 1 / whole,
                 below_share = below * inverse * inverse, above_share = total * inverse * inverse;
    const int64_t row = sorted.row[k];
    T* result = out + row * head.value_step + first;
    T* split = saved.split ? saved.split + row * head.value_step + first : nullptr;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const Vec<double> low = load(sorted.staged + (k * V + v) * L);
      narrow<T, kPart>(result + v * L, (low + sum[v]) * inverse, part);
      if (split) narrow<T, kPart>(split + v * L, below_share * sum[v] - above_share * low, part);
    }
    if (saved.normalizer && first == 0) saved.normalizer[row * head.score_step] = whole;
  }
}

// A NaN or infinite score has no place in an order; all rows then become NaN, as in a softmax.
template <class T>
bool finite_scores(const AttentionHead<T>& head) {
  T sum = 0;
  for (int64_t i = 0; i < head.count; ++i) {
    const T s = head.source[head.rows[i] * head.score_step],
            t = head.target[head.rows[i] * head.score_step];
    sum += (s - s) + (t - t);
  }
  return sum == 0;
}

template <class T>
void fill_rows(const AttentionHead<T>& head, T* rows, T value) {
  for (int64_t i = 0; i < head.count; ++i) {
    for (int64_t d = 0; d < head.width; ++d) rows[head.rows[i] * head.value_step + d] = value;
  }
}

template <class T>
void attention_forward(const AttentionHead<T>& head, T* out, const AttentionSaved<T>& saved) {
  if (!finite_scores(head)) {
    const T nan = static_cast<T>(__builtin_nan(""));
    fill_rows(head, out, nan);
    if (!saved.normalizer) return;
    for (int64_t i = 0; i < head.count; ++i) {
      saved.normalizer[head.rows[i] * head.score_step] = nan;
      saved.by_source[i] = saved.by_target[i] = static_cast<int32_t>(head.rows[i]);
    }
    fill_rows(head, saved.split, nan);
    return;
  }
  const SortedHead<T> sorted(head, saved.by_source, saved.by_target, /*sort=*/true);
  each_block<T>(head.width, [&]<int V, bool kPart>(int64_t first, int part) {
    attend<T, V, kPart>(sorted, first, part, out, saved);
  });
}

// dsource, and by row: beta = 1 / den, gamma = f0 / den, and delta = g . out into deltas.
template <class T>
void row_gradients(const SortedHead<T>& sorted, const AttentionGradients<T>& gradients,
                   const AttentionSaved<T>& saved, double* deltas) {
  const AttentionHead<T>& head = sorted.head;
  for (int64_t k = 0; k < sorted.count; ++k) {
    const int64_t row = sorted.row[k], place = row * head.value_step;
    const T *g = gradients.out + place, *result = gradients.result + place,
            *split = saved.split + place;
    Vec<double> delta = {}, moved = {};
    each_vector<T>(head.width, [&]<bool kPart>(int64_t first, int part) ASTGNN_INLINE_LAMBDA {
      const Vec<double> gradient = widen<T, kPart>(g + first, part);
      delta += gradient * widen<T, kPart>(result + first, part);
      moved += gradient * widen<T, kPart>(split + first, part);
    });
    deltas[k] = total(delta);
    gradients.dsource[row * head.score_step] = static_cast<T>((1 - head.slope) * total(moved));
    sorted.beta[k] = 1 / saved.normalizer[row * head.score_step];
    sorted.gamma[k] = sorted.row_factor[k] * sorted.beta[k];
  }
}

// Now columns collect from the rows that see them, over one block of columns of the values; deltas
// as above, lower_deltas is scratch by column.
template <class T, int V, bool kPart>
ASTGNN_INLINE void attend_back(const SortedHead<T>& sorted, int64_t first, int part,
                               const AttentionGradients<T>& gradients, const double* deltas,
                               double* lower_deltas) {
  constexpr int64_t L = kLanes<double>;
  const AttentionHead<T>& head = sorted.head;
  const int64_t count = sorted.count;
  Vec<double> sum[V] = {};
  double delta = 0;
  const auto add = [&](int64_t k, const double* factors) ASTGNN_INLINE_LAMBDA {
    const double factor = factors[k];
    const T* g = gradients.out + sorted.row[k] * head.value_step + first;
    delta += factor * deltas[k];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sum[v] += factor * widen<T, kPart>(g + v * L, part);
  };
  for (int64_t k = count - 1, next = 0; k >= 0; --k) {
    for (; next < count && !(sorted.source[next] + sorted.target[k] > 0); ++next)
      add(next, sorted.gamma);
    const double factor = sorted.lower[k];
    lower_deltas[k] = factor * delta;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store<double>(sorted.staged + (k * V + v) * L, factor * sum[v]);
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) sum[v] = Vec<double>{};
  delta = 0;
  for (int64_t k = 0, next = count - 1; k < count; ++k) {
    for (; next >= 0 && sorted.source[next] + sorted.target[k] > 0; --next)
      add(next, sorted.beta);
    const double factor = sorted.upper[k], slope = head.slope;
    const int64_t row = sorted.column[k];
    const T* value = sorted.values(k) + first;
    T* dv = gradients.dv + row * head.value_step + first;
    Vec<double> product = {};
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const Vec<double> low = load(sorted.staged + (k * V + v) * L), high = factor * sum[v],
                        own = widen<T, kPart>(value + v * L, part);
      product += own * (high + slope * low);
      narrow<T, kPart>(dv + v * L, undropped(low + high, own, head.kept), part);
    }
    // Of the whole width only where all of it is in this block: else block by block.
    const double scores = total(product);
    sorted.products[k] = first == 0 ? scores - (factor * delta + slope * lower_deltas[k])
                                    : sorted.products[k] + scores;
    gradients.dtarget[row * head.score_step] = static_cast<T>(sorted.products[k]);
  }
}

template <class T>
void attention_backward(const AttentionHead<T>& head, const AttentionSaved<T>& saved,
                        const AttentionGradients<T>& gradients) {
  if (!(saved.normalizer[head.rows[0] * head.score_step] > 0)) {
    const T nan = static_cast<T>(__builtin_nan(""));
    fill_rows(head, gradients.dv, nan);
    for (int64_t i = 0; i < head.count; ++i) {
      const int64_t place = head.rows[i] * head.score_step;
      gradients.dsource[place] = gradients.dtarget[place] = nan;
    }
    return;
  }
  const SortedHead<T> sorted(head, saved.by_source, saved.by_target, /*sort=*/false);
  double *deltas = sorted.row_factor, *lower_deltas = sorted.lower;  // each read before written
  row_gradients(sorted, gradients, saved, deltas);
  each_block<T>(head.width, [&]<int V, bool kPart>(int64_t first, int part) {
    attend_back<T, V, kPart>(sorted, first, part, gradients, deltas, lower_deltas);
  });
}

}  // namespace astgnn::ops::ASTGNN_ISA
