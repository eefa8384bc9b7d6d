// The product A V of the TGC in tiles: scores of a few rows against a panel of stocks are summed in
// registers, become weights there and multiply the panel's values out of the first-level cache. Row
// sums leave out the diagonal of A, which is returned separately, so that I - A keeps its digits
// where A is close to I. A score is one chain of multiply-adds over the factors in the
// same order everywhere, then times the scale: score(i, j) and score(j, i) have the same bits, and
// a comparison with a threshold never differs from one pass to the next.
#pragma once

#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/isa/vector.h"

namespace astgnn::ops::ASTGNN_ISA {

constexpr int64_t kSimilarityBlock = 8 * kTileRows;  // rows whose weights for a panel fit in L1

// Which threshold and largest score apply: none (all weights share one shift), the row's (A) or the
// column's (A^T, scores being symmetric).
enum class Side { kNone, kRow, kColumn };

template <class T>
ASTGNN_INLINE int64_t panel_width(const SimilarityBlock<T>& b, int64_t panel) {
  const int64_t left = whole_vectors<T>(b.rows - panel);
  return left < kSimilarityPanel ? left : kSimilarityPanel;
}

template <class T>
ASTGNN_INLINE typename VectorOf<T>::Whole columns_from(int64_t j) {
  typename VectorOf<T>::Whole out;
  for (int k = 0; k < kLanes<T>; ++k) out[k] = static_cast<decltype(out[k] + 0)>(j + k);
  return out;
}

// An element of a left factor, [rows, depth] or transposed.
template <class T>
struct RowMajor {
  const T* first;
  int64_t stride;
  ASTGNN_INLINE T operator()(int64_t i, int64_t k) const { return first[i * stride + k]; }
};
template <class T>
struct ColumnMajor {
  const T* first;
  int64_t stride;
  ASTGNN_INLINE T operator()(int64_t i, int64_t k) const { return first[k * stride + i]; }
};

// c [rows, vectors] (+)= a b as multiply_add, but a sum of its own over the depth before it is
// added: rounding grows with the length of a panel and the number of panels, not with their
// product.
template <class T, int R, int V, class A>
ASTGNN_SHARED void add_product(T* c, int64_t c_stride, int64_t rows, int64_t vectors, int64_t depth,
                               bool add, A a, const T* b, int64_t b_stride) {
  const auto tile = [&]<int kRows, int kVectors>(int64_t i, int64_t v) ASTGNN_INLINE_LAMBDA {
    Vec<T> sums[kRows][kVectors] = {};
    multiply_tile<T, kRows, kVectors>(
        sums, depth, [&](int r, int64_t k) ASTGNN_INLINE_LAMBDA { return a(i + r, k); },
        b + v * kLanes<T>, b_stride);
    T* out = c + i * c_stride + v * kLanes<T>;
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int w = 0; w < kVectors; ++w) {
        T* place = out + r * c_stride + w * kLanes<T>;
        store<T>(place, add ? sums[r][w] + load(place) : sums[r][w]);
      }
    }
  };
  each_tile<R, V>(0, rows, vectors, tile);
}

template <class T>
void row_products(const T* a, int64_t rows, int64_t depth, const T* b, int64_t vectors, T* out,
                  int64_t out_stride) {
  add_product<T, kTileRows, kTileVectors>(out, out_stride, rows, vectors, depth, false,
                                          RowMajor<T>{a, depth}, b, vectors * kLanes<T>);
}

// Scores of R rows from i against V vectors of stocks from j, all of them in one panel, into out.
template <class T, int R, int V>
ASTGNN_SHARED void scores_tile(const SimilarityBlock<T>& b, int64_t i, int64_t j, T* out,
                               int64_t stride) {
  const int64_t panel = j / kSimilarityPanel * kSimilarityPanel;
  const T* own = b.m + i * b.factor_stride;
  Vec<T> scores[R][V] = {};
  multiply_tile<T, R, V>(
      scores, b.factors,
      [&](int r, int64_t k) ASTGNN_INLINE_LAMBDA { return own[r * b.factor_stride + k]; },
      b.panels + panel * b.factors + (j - panel), panel_width(b, panel));
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) store<T>(out + r * stride + v * kLanes<T>, scores[r][v] * b.scale);
  }
}

// Exponents are in powers of 2 where vectors have that exponential: kPower of one of e, and back.
template <class T>
constexpr T kPower = sizeof(T) == 4 ? T(kLog2OfE) : T(1);
ASTGNN_INLINE Vec<float> raised(Vec<float> exponent) { return exp2(exponent); }
ASTGNN_INLINE Vec<double> raised(Vec<double> exponent) { return exp(exponent); }
// With one shift for all: within what make_block allows (similarity_graph.h).
ASTGNN_INLINE Vec<float> raised_within(Vec<float> exponent) { return exp2_within(exponent); }
ASTGNN_INLINE Vec<double> raised_within(Vec<double> exponent) { return exp(exponent); }

// exp(max(score, 0) - shift). Without thresholds, a positive score's weight is at least `above`,
// which is more than `zero`, that of the others: the weight alone tells the sign of the score, also
// where the exponential rounds to zero's.
template <class T>
struct Weighing {
  T shift, zero, above;

  explicit ASTGNN_INLINE Weighing(const SimilarityBlock<T>& b)
      : shift(b.shift * kPower<T>),
        zero(raised_within(broadcast<T>(-shift))[0]),
        above(zero * (T(1) + (sizeof(T) == 4 ? T(1.2e-7) : T(2.3e-16)))) {}

  template <Side side>
  ASTGNN_INLINE Vec<T> weight(const SimilarityBlock<T>& b, Vec<T> score, int64_t i, int64_t j,
                              Vec<T>& exponent) const {
    if constexpr (side == Side::kNone) {
      exponent = fused(positive<T>(score), broadcast(kPower<T>), broadcast(-shift));
      return score <= T(0) ? broadcast<T>(zero)
                           : at_least(above, raised_within(exponent));  // NaN stays
    } else {
      const Vec<T> threshold =
          side == Side::kRow ? broadcast<T>(b.threshold[i]) : load(b.threshold + j);
      exponent =
          (positive<T>(score) - (side == Side::kRow ? broadcast<T>(b.peak[i]) : load(b.peak + j))) *
          kPower<T>;
      const Vec<T> e = raised(exponent);
      return score < threshold ? Vec<T>{} : e;
    }
  }
};

// What a pass collects per row beside the products; lane sums are emptied into double before they
// grow long.
template <class T>
struct RowSums {
  T totals[kSimilarityRows * kLanes<T>], moments[kSimilarityRows * kLanes<T>];
  int64_t row;
  const SimilarityPass<T>* pass;

  ASTGNN_INLINE void clear() {
    for (int64_t k = 0; k < pass->rows * kLanes<T>; ++k) totals[k] = moments[k] = T(0);
  }
  void empty() {
    for (int64_t i = 0; i < pass->rows; ++i) {
      double total = 0, moment = 0;
      for (int k = 0; k < kLanes<T>; ++k) {
        total += static_cast<double>(totals[i * kLanes<T> + k]);
        moment += static_cast<double>(moments[i * kLanes<T> + k]);
      }
      pass->others[i] += total;
      pass->moments[i] += moment / kPower<T>;
    }
    clear();
  }
};

// Scores in out become weights: `rows` rows from i, V vectors of stocks from j (row i, column j at
// out). With kEdge, 0 for the row itself and past the last stock.
template <class T, Side side, int V, bool kEdge>
ASTGNN_SHARED void weigh_rows(const SimilarityBlock<T>& b, const Weighing<T>& weighing, int64_t i,
                              int64_t j, int rows, T* out, int64_t stride, RowSums<T>* sums) {
  constexpr int L = kLanes<T>;
  for (int r = 0; r < rows; ++r, out += stride) {
    Vec<T> total{}, moment{};
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      Vec<T> exponent;
      Vec<T> w = weighing.template weight<side>(b, load(out + v * L), i + r, j + v * L, exponent);
      if constexpr (kEdge) {
        const auto column = columns_from<T>(j + v * L);
        using Index = decltype(column[0] + 0);
        const Index self = static_cast<Index>(i + r), end = static_cast<Index>(b.rows);
        const int64_t lane = i + r - (j + v * L);
        if (sums && lane >= 0 && lane < L && b.self) {
          const T own = w[lane], power = exponent[lane];
          sums->pass->own[i + r - sums->row] = own;
          if (own != T(0))
            sums->pass->moments[i + r - sums->row] += static_cast<double>(own) * power / kPower<T>;
        }
        const auto outside = (column == self) | (column >= end);
        w = outside ? Vec<T>{} : w;
        exponent = outside ? Vec<T>{} : exponent;
      }
      store<T>(out + v * L, w);
      if (sums) {
        total += w;
        const Vec<T> power = side == Side::kNone ? exponent : (w == T(0) ? Vec<T>{} : exponent);
        moment = fused(w, power, moment);
      }
    }
    if (sums) {
      T* totals = sums->totals + (i + r - sums->row) * L;
      T* moments = sums->moments + (i + r - sums->row) * L;
      store<T>(totals, load(totals) + total);
      store<T>(moments, load(moments) + moment);
    }
  }
}

// Weights of R rows from i for V vectors from j into out.
template <class T, Side side, int R, int V>
ASTGNN_INLINE void weights_tile(const SimilarityBlock<T>& b, const Weighing<T>& weighing, int64_t i,
                                int64_t j, T* out, int64_t stride, RowSums<T>* sums) {
  constexpr int64_t L = kLanes<T>;
  scores_tile<T, R, V>(b, i, j, out, stride);
  const bool edge = (j < i + R && i < j + V * L) || j + V * L > b.rows;
  (edge ? weigh_rows<T, side, V, true> : weigh_rows<T, side, V, false>)(b, weighing, i, j, R, out,
                                                                        stride, sums);
}

// The weights times a panel's values, in vectors; in bf16 tiles in similarity_tiles.h.
template <class T>
struct SimilarityProducts {
  const SimilarityPass<T>& pass;
  int64_t panel = 0, depth = 0;

  ASTGNN_INLINE void take_panel(int64_t first, int64_t stocks) {
    panel = first;
    depth = stocks;
  }
  // out of rows from `row` (+)= weights [rows, width] values
  ASTGNN_INLINE void add(int64_t row, int64_t rows, const T* weights, int64_t width, bool add) {
    add_product<T, kTileRows, kTileVectors>(
        pass.out + row * pass.out_stride, pass.out_stride, rows, pass.vectors, depth, add,
        RowMajor<T>{weights, width}, pass.values + panel * pass.values_stride, pass.values_stride);
  }
};

template <class T, Side side, class Products>
void apply_rows(const SimilarityBlock<T>& b, const SimilarityPass<T>& pass, Products& products) {
  constexpr int L = kLanes<T>;
  alignas(64) T memory[kSimilarityBlock * kSimilarityPanel];
  alignas(64) RowSums<T> row_sums;
  RowSums<T>* sums = nullptr;
  if (pass.others) {
    sums = &row_sums;
    sums->row = pass.row;
    sums->pass = &pass;
    sums->clear();
    for (int64_t i = 0; i < pass.rows; ++i) {
      pass.others[i] = pass.moments[i] = 0;
      pass.own[i] = T(0);
    }
  }
  const Weighing<T> weighing(b);
  const int64_t end = pass.row + pass.rows;
  for (int64_t panel = 0, count = 1; panel < b.rows; panel += kSimilarityPanel, ++count) {
    const int64_t width = panel_width(b, panel),
                  depth = b.rows - panel < kSimilarityPanel ? b.rows - panel : kSimilarityPanel;
    products.take_panel(panel, depth);
    for (int64_t row = pass.row; row < end; row += kSimilarityBlock) {
      const int64_t last = row + kSimilarityBlock < end ? row + kSimilarityBlock : end;
      T* weights = b.kept ? b.kept + panel * b.rows + row * width : memory;
      if (!b.filled) {
        each_tile<kTileRows, kTileVectors>(
            row, last, width / L, [&]<int R, int V>(int64_t i, int64_t v) ASTGNN_INLINE_LAMBDA {
              weights_tile<T, side, R, V>(b, weighing, i, panel + v * L,
                                          weights + (i - row) * width + v * L, width, sums);
            });
      }
      products.add(row, last - row, weights, width, pass.add || panel > 0);
    }
    if (sums && (count % 4 == 0 || panel + kSimilarityPanel >= b.rows)) sums->empty();
  }
}

template <class T, class Products>
void apply_with(const SimilarityBlock<T>& b, const SimilarityPass<T>& pass, Products& products) {
  if (!b.threshold)
    apply_rows<T, Side::kNone>(b, pass, products);
  else if (pass.transposed)
    apply_rows<T, Side::kColumn>(b, pass, products);
  else
    apply_rows<T, Side::kRow>(b, pass, products);
}

template <class T>
void similarity_apply(const SimilarityBlock<T>& b, const SimilarityPass<T>& pass) {
  SimilarityProducts<T> products{pass};
  apply_with(b, pass, products);
}

// out [rows, n rounded up to whole vectors]: scores of rows from `row` on.
template <class T>
void similarity_scores(const SimilarityBlock<T>& b, int64_t row, int64_t rows, T* out) {
  constexpr int L = kLanes<T>;
  const int64_t stride = whole_vectors<T>(b.rows);
  for (int64_t panel = 0; panel < b.rows; panel += kSimilarityPanel) {
    each_tile<kTileRows, kTileVectors>(
        row, row + rows, panel_width(b, panel) / L,
        [&]<int R, int V>(int64_t i, int64_t v) ASTGNN_INLINE_LAMBDA {
          T* tile = out + (i - row) * stride + panel + v * L;
          scores_tile<T, R, V>(b, i, panel + v * L, tile, stride);
        });
  }
}

}  // namespace astgnn::ops::ASTGNN_ISA
