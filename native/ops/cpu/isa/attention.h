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

#include "ops/cpu/isa/attention_dropout.h"
#include "ops/cpu/isa/attention_order.h"
#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/isa/wide.h"

namespace astgnn::ops::ASTGNN_ISA {

// Doubles that a head needs beside its inputs and results.
template <class T>
int64_t attention_scratch(int64_t count, int64_t width) {
  const int64_t n = count + kLanes<double>, block = 8 * kLanes<double>;
  const int64_t staged = n * (width < block ? width + kLanes<double> : block);
  return 11 * n + (staged > order_scratch<T>(count) ? staged : order_scratch<T>(count));
}

// A head's rows (by rising source) and columns (by rising target) with what the sweeps multiply.
template <class T>
struct SortedHead {
  const AttentionHead<T>& head;
  int64_t count;
  int32_t *row, *column;               // packed rows
  T *source, *target;                  // [count]
  double *row_factor, *lower, *upper;  // f0 by row; E0 and E1 by column
  double* collected[5];                // [count] each, of one direction
  double* staged;                      // [count, columns of a block]

  SortedHead(const AttentionHead<T>& of, const AttentionOrder& order, bool sort)
      : head(of), count(of.count), row(order.by_source), column(order.by_target) {
    const int64_t n = count + kLanes<double>;
    double* memory = of.scratch;
    const auto take = [&] { return (memory += n) - n; };
    source = reinterpret_cast<T*>(take());
    target = reinterpret_cast<T*>(take());
    row_factor = take();
    lower = take();
    upper = take();
    for (double*& each : collected) each = take();
    int32_t* orders = reinterpret_cast<int32_t*>(take());
    staged = memory;
    if (!row) {
      row = orders;
      column = orders + n;
    }
    if (sort) {
      order_rows(of, of.source, row, staged);
      order_rows(of, of.target, column, staged);
    }
    for (int64_t k = 0; k < count; ++k) source[k] = of.source[row[k] * of.score_step];
    for (int64_t k = 0; k < count; ++k) target[k] = of.target[column[k] * of.score_step];
    factors();
  }

  const T* values(int64_t k) const { return head.values + column[k] * head.value_step; }
  // Asks for the vectors that are due some steps after the k-th: their order jumps through memory.
  template <int V>
  ASTGNN_INLINE void expect(const T* vectors, const int32_t* order, int64_t k, int64_t step) const {
    constexpr int64_t kAhead = 8, kBytes = V * kLanes<double> * static_cast<int64_t>(sizeof(T));
    const int64_t later = k + step * kAhead;
    const T* due = vectors + order[later >= 0 && later < count ? later : k] * head.value_step;
    for (int64_t byte = 0; byte < kBytes; byte += 64)
      __builtin_prefetch(reinterpret_cast<const char*>(due) + byte);
  }

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

// The two sweeps over one block of columns of the values. Rows by falling source collect the
// growing lower branch, rows by rising source the growing upper one; then finish(k, weights of the
// lower branch, of the upper, weighted sum of the lower branch's values, of the upper's).
template <class T, int V, bool kPart, class Finish>
ASTGNN_INLINE void attend(const SortedHead<T>& sorted, int64_t first, int part, Finish&& finish) {
  constexpr int64_t L = kLanes<double>;
  const int64_t count = sorted.count;
  double* totals = sorted.collected[0];
  Vec<double> sum[V] = {};
  double total = 0;
  const auto add = [&](int64_t k, int64_t step, const double* weights) ASTGNN_INLINE_LAMBDA {
    const double weight = weights[k];
    const T* value = sorted.values(k) + first;
    sorted.template expect<V>(sorted.head.values + first, sorted.column, k, step);
    total += weight;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) 
      sum[v] = fused(broadcast(weight), widen<T, kPart>(value + v * L, part), sum[v]);
  };
  for (int64_t k = count - 1, next = 0; k >= 0; --k) {
    for (; next < count && !(sorted.source[k] + sorted.target[next] > 0); ++next)
      add(next, 1, sorted.lower);
    const double factor = sorted.row_factor[k];
    totals[k] = factor * total;
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store<double>(sorted.staged + (k * V + v) * L, factor * sum[v]);
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) sum[v] = Vec<double>{};
  total = 0;
  for (int64_t k = 0, next = count - 1; k < count; ++k) {
    for (; next >= 0 && sorted.source[k] + sorted.target[next] > 0; --next)
      add(next, -1, sorted.upper);
    Vec<double> low[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) low[v] = load(sorted.staged + (k * V + v) * L);
    finish(k, totals[k], total, low, sum);
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
void attention_forward(const AttentionHead<T>& head, T* out, const AttentionOrder& order) {
  if (!finite_scores(head)) {
    fill_rows(head, out, static_cast<T>(__builtin_nan("")));
    return;
  }
  const SortedHead<T> sorted(head, order, /*sort=*/true);
  each_wide_block<T>(head.width, [&]<int V, bool kPart>(int64_t first, int part) {
    attend<T, V, kPart>(sorted, first, part,
                        [&](int64_t k, double below, double above, const Vec<double>(&low)[V],
                            const Vec<double>(&high)[V]) ASTGNN_INLINE_LAMBDA {
                          const double inverse = 1 / (below + above);
                          T* result = out + sorted.row[k] * head.value_step + first;
                          sorted.template expect<V>(out + first, sorted.row, k, 1);
#pragma GCC unroll 8
                          for (int v = 0; v < V; ++v)
                            narrow<T, kPart>(result + v * kLanes<double>,
                                             (low[v] + high[v]) * inverse, part);
                        });
  });
}

// By row, sorted: g . out, 1 / den, f0 / den and g . U.
struct RowGradients {
  double *delta, *beta, *gamma, *moved;
};

// These and dsource. The sweeps run once more: out as it was rounded would cost digits in g . (v -
// out), and U, how far the branches are apart, would have to be kept.
template <class T>
void row_gradients(const SortedHead<T>& sorted, const AttentionGradients<T>& gradients,
                   const RowGradients& rows) {
  const AttentionHead<T>& head = sorted.head;
  each_wide_block<T>(head.width, [&]<int V, bool kPart>(int64_t first, int part) {
    attend<T, V, kPart>(sorted, first, part,
                        [&](int64_t k, double below, double above, const Vec<double>(&low)[V],
                            const Vec<double>(&high)[V]) ASTGNN_INLINE_LAMBDA {
                          const T* g = gradients.out + sorted.row[k] * head.value_step + first;
                          sorted.template expect<V>(gradients.out + first, sorted.row, k, 1);
                          Vec<double> lower = {}, upper = {};
#pragma GCC unroll 8
                          for (int v = 0; v < V; ++v) {
                            const Vec<double> own = widen<T, kPart>(g + v * kLanes<double>, part);
                            lower = fused(own, low[v], lower);
                            upper = fused(own, high[v], upper);
                          }
                          const double inverse = 1 / (below + above),
                                       lower_sum = wide_sum(lower) * inverse,
                                       upper_sum = wide_sum(upper) * inverse;
                          const double delta = lower_sum + upper_sum,
                                       moved = (below * upper_sum - above * lower_sum) * inverse;
                          rows.delta[k] = first == 0 ? delta : rows.delta[k] + delta;
                          rows.moved[k] = first == 0 ? moved : rows.moved[k] + moved;
                          rows.beta[k] = inverse;
                          rows.gamma[k] = sorted.row_factor[k] * inverse;
                        });
  });
  for (int64_t k = 0; k < sorted.count; ++k)
    gradients.dsource[sorted.row[k] * head.score_step] =
        static_cast<T>((1 - head.slope) * rows.moved[k]);
}

// Now columns collect from the rows that see them, over one block of columns of the values.
// lower_deltas is scratch by column.
template <class T, int V, bool kPart>
ASTGNN_INLINE void attend_back(const SortedHead<T>& sorted, int64_t first, int part,
                               const AttentionGradients<T>& gradients, const RowGradients& rows,
                               double* lower_deltas) {
  constexpr int64_t L = kLanes<double>;
  const AttentionHead<T>& head = sorted.head;
  const int64_t count = sorted.count;
  Vec<double> sum[V] = {};
  double* products = sorted.collected[0];
  double delta = 0;
  const auto add = [&](int64_t k, int64_t step, const double* factors) ASTGNN_INLINE_LAMBDA {
    sorted.template expect<V>(gradients.out + first, sorted.row, k, step);
    const double factor = factors[k];
    const T* g = gradients.out + sorted.row[k] * head.value_step + first;
    delta += factor * rows.delta[k];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) 
      sum[v] = fused(broadcast(factor), widen<T, kPart>(g + v * L, part), sum[v]);
  };
  for (int64_t k = count - 1, next = 0; k >= 0; --k) {
    for (; next < count && !(sorted.source[next] + sorted.target[k] > 0); ++next)
      add(next, 1, rows.gamma);
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
      add(next, -1, rows.beta);
    const double factor = sorted.upper[k], slope = head.slope;
    const int64_t row = sorted.column[k];
    const T* value = sorted.values(k) + first;
    sorted.template expect<V>(head.values + first, sorted.column, k, 1);
    sorted.template expect<V>(gradients.dv + first, sorted.column, k, 1);
    T* dv = gradients.dv + row * head.value_step + first;
    Vec<double> product = {};
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      const Vec<double> low = load(sorted.staged + (k * V + v) * L), high = factor * sum[v],
                        own = widen<T, kPart>(value + v * L, part);
      product = fused(own, fused(broadcast(slope), low, high), product);
      narrow<T, kPart>(dv + v * L, undropped(low + high, own, head.kept), part);
    }
    const double scores = wide_sum(product);
    products[k] =
        first == 0 ? scores - (factor * delta + slope * lower_deltas[k]) : products[k] + scores;
    gradients.dtarget[row * head.score_step] = static_cast<T>(products[k]);
  }
}

template <class T>
void attention_backward(const AttentionHead<T>& head, const AttentionOrder& order,
                        const AttentionGradients<T>& gradients) {
  if (!finite_scores(head)) {
    const T nan = static_cast<T>(__builtin_nan(""));
    fill_rows(head, gradients.dv, nan);
    for (int64_t i = 0; i < head.count; ++i) {
      const int64_t place = head.rows[i] * head.score_step;
      gradients.dsource[place] = gradients.dtarget[place] = nan;
    }
    return;
  }
  const SortedHead<T> sorted(head, order, /*sort=*/false);
  const RowGradients rows{sorted.collected[1], sorted.collected[2], sorted.collected[3],
                          sorted.collected[4]};
  row_gradients(sorted, gradients, rows);
  double* lower_deltas = rows.moved;  // no longer needed
  each_wide_block<T>(head.width, [&]<int V, bool kPart>(int64_t first, int part) {
    attend_back<T, V, kPart>(sorted, first, part, gradients, rows, lower_deltas);
  });
}

}  // namespace astgnn::ops::ASTGNN_ISA
