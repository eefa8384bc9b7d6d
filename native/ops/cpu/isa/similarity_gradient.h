// Rows before and after the graph's products, and the gradient with respect to M. With
// U_ij = dS_ij + dS_ji, dM = scale U M: only tiles of U above the diagonal are computed, and each
// one serves its rows (U M_J) and its columns (U^T M_I).
#pragma once

#include "ops/cpu/isa/similarity.h"

namespace astgnn::ops::ASTGNN_ISA {

// 1 / total (0 where a row of A is 0) and the factor of the row's own value in
// (I + sign A) V.
template <class T>
struct RowShares {
  T inverse, keep;

  ASTGNN_INLINE RowShares(T others, T own, T sign) {
    const T total = others + own;
    inverse = total == T(0) ? T(0) : T(1) / total;
    keep = total == T(0) ? T(1) : (others + (T(1) + sign) * own) * inverse;
  }
};

template <class T>
void similarity_combine(const SimilarityRows<T>& rows, T sign, const T* bias, bool positive_only,
                        T* out, int64_t out_stride) {
  for (int64_t i = 0; i < rows.count; ++i) {
    const RowShares<T> shares(rows.others[i], rows.own[i], sign);
    const T keep = shares.keep, other = sign * shares.inverse;
    const T* __restrict value = rows.values + i * rows.stride;
    const T* __restrict sum = rows.sums + i * rows.stride;
    T* __restrict to = out + i * out_stride;
    for (int64_t c = 0; c < rows.width; ++c) {
      const T z = keep * value[c] + other * sum[c] + bias[c];
      to[c] = positive_only && z < T(0) ? T(0) : z;
    }
  }
}

template <class T>
void similarity_prepare(const SimilarityRows<T>& rows, T sign, const T* grad, int64_t grad_stride,
                        T* weighted, T* direct, int64_t direct_stride, T* mean, T* diagonal) {
  constexpr int L = kLanes<T>;
  const int64_t columns = whole_vectors<T>(rows.width);
  for (int64_t i = 0; i < rows.count; ++i) {
    const T others = rows.others[i], own = rows.own[i];
    const RowShares<T> shares(others, own, sign);
    const T inverse = shares.inverse, keep = shares.keep;
    const T* __restrict g = grad + i * grad_stride;
    T* __restrict to = weighted + i * rows.stride;
    T* __restrict through = direct + i * direct_stride;
    for (int64_t c = 0; c < rows.width; ++c) {
      to[c] = sign * inverse * g[c];
      through[c] = keep * g[c];
    }
    for (int64_t c = rows.width; c < columns; ++c) to[c] = through[c] = T(0);
    if (!mean) continue;
    const T* value = rows.values + i * rows.stride;
    const T* sum = rows.sums + i * rows.stride;
    const T others_share = others * inverse, own_share = own * inverse;
    Vec<T> means{}, diagonals{};
    for (int64_t c = 0; c < columns; c += L) {
      const Vec<T> w = load(to + c), v = load(value + c), s = load(sum + c) * inverse;
      means = fused(w, fused(broadcast(own_share), v, s), means);
      diagonals = fused(w, fused(broadcast(others_share), v, -s), diagonals);
    }
    mean[i] += ASTGNN_ISA::sum<T>(means);
    diagonal[i] += own * ASTGNN_ISA::sum<T>(diagonals);
  }
}

// Scores in u become weights; with thresholds, those of the rows, and those of the columns in w.
template <class T, bool thresholds, int V>
ASTGNN_SHARED void weigh_both(const SimilarityBlock<T>& b, const Weighing<T>& weighing, int64_t i,
                              int64_t j, int rows, T* u, T* w, int64_t stride) {
  constexpr int L = kLanes<T>;
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      T* place = u + r * stride + v * L;
      const Vec<T> score = load(place);
      Vec<T> exponent;
      const auto weight = [&]<Side side>() ASTGNN_INLINE_LAMBDA {
        return weighing.template weight<side>(b, score, i + r, j + v * L, exponent);
      };
      if constexpr (thresholds) {
        const auto flat = score <= T(0);
        const Vec<T> by_row = weight.template operator()<Side::kRow>(),
                     by_column = weight.template operator()<Side::kColumn>();
        store<T>(place, flat ? Vec<T>{} : by_row);
        store<T>(w + r * stride + v * L, flat ? Vec<T>{} : by_column);
      } else {
        store<T>(place, weight.template operator()<Side::kNone>());
      }
    }
  }
}

// 0 in u for j <= i and past the last stock.
template <class T, int V>
ASTGNN_SHARED void keep_above_diagonal(const SimilarityBlock<T>& b, int64_t i, int64_t j, int rows,
                                       T* u, int64_t stride) {
  constexpr int L = kLanes<T>;
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      T* place = u + r * stride + v * L;
      const auto column = columns_from<T>(j + v * L);
      using Index = decltype(column[0] + 0);
      const auto outside =
          (column <= static_cast<Index>(i + r)) | (column >= static_cast<Index>(b.rows));
      store<T>(place, outside ? Vec<T>{} : load(place));
    }
  }
}

// U of R rows from i and V vectors from j into u; with thresholds, w holds the columns' weights.
template <class T, bool thresholds, int R, int V>
ASTGNN_INLINE void gradient_tile(const SimilarityBlock<T>& b, const SimilarityGradient<T>& g,
                                 const Weighing<T>& weighing, int64_t i, int64_t j, T* u,
                                 int64_t stride, const T* kept, T* w) {
  constexpr int L = kLanes<T>;
  const int64_t panel = j / kSimilarityPanel * kSimilarityPanel, column = j - panel;
  if (j + V * L - 1 <= i) {
    for (int r = 0; r < R; ++r) {
      for (int v = 0; v < V; ++v) store<T>(u + r * stride + v * L, Vec<T>{});
    }
    return;
  }
  if (!kept) {
    scores_tile<T, R, V>(b, i, j, u, stride);
    weigh_both<T, thresholds, V>(b, weighing, i, j, R, u, w, stride);
  }
  const T* left = g.weighted + i * g.stride;  // G and V of the rows; V^T and G^T of the panel
  const T* right = g.values + i * g.stride;
  const T* panels = g.panels + panel * 2 * g.stride + column;
  const int64_t width = panel_width(b, panel);
  Vec<T> sums[R][V] = {};
  multiply_tile<T, R, V>(
      sums, g.stride, [&](int r, int64_t k) ASTGNN_INLINE_LAMBDA { return left[r * g.stride + k]; },
      panels, width);
  if constexpr (thresholds) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) {
        const Vec<T> e = load(u + r * stride + v * L);
        store<T>(u + r * stride + v * L, e == T(0) ? Vec<T>{} : e * (sums[r][v] - g.mean[i + r]));
        sums[r][v] = Vec<T>{};
      }
    }
  }
  multiply_tile<T, R, V>(
      sums, g.stride,
      [&](int r, int64_t k) ASTGNN_INLINE_LAMBDA { return right[r * g.stride + k]; },
      panels + g.stride * width, width);
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      T* place = u + r * stride + v * L;
      const Vec<T> means = load(g.mean + j + v * L);
      Vec<T> out;
      if constexpr (thresholds) {
        const Vec<T> e = load(w + r * stride + v * L);
        out = load(place) + (e == T(0) ? Vec<T>{} : e * (sums[r][v] - means));
      } else {
        const Vec<T> e = load(kept ? kept + r * stride + v * L : place);
        out = e <= weighing.zero ? Vec<T>{} : e * (sums[r][v] - (means + g.mean[i + r]));
      }
      store<T>(place, out);
    }
  }
  if (j < i + R || j + V * L > b.rows) keep_above_diagonal<T, V>(b, i, j, R, u, stride);
}

template <class T, bool thresholds>
void gradient_rows(const SimilarityBlock<T>& b, const SimilarityGradient<T>& g) {
  constexpr int L = kLanes<T>;
  alignas(64) T u[kSimilarityBlock * kSimilarityPanel];
  alignas(64) T w[thresholds ? kSimilarityBlock * kSimilarityPanel : L];
  const Weighing<T> weighing(b);
  const int64_t end = g.row + g.rows, factors = b.factor_stride;
  for (int64_t panel = g.row / kSimilarityPanel * kSimilarityPanel; panel < b.rows;
       panel += kSimilarityPanel) {
    const int64_t width = panel_width(b, panel),
                  depth = b.rows - panel < kSimilarityPanel ? b.rows - panel : kSimilarityPanel;
    for (int64_t row = g.row; row < end; row += kSimilarityBlock) {
      if (panel + depth - 1 <= row) break;
      const int64_t last = row + kSimilarityBlock < end ? row + kSimilarityBlock : end;
      const T* kept = b.filled ? b.kept + panel * b.rows + row * width : nullptr;
      each_tile<kTileRows, kTileVectors>(
          row, last, width / L, [&]<int R, int V>(int64_t i, int64_t v) ASTGNN_INLINE_LAMBDA {
            const int64_t place = (i - row) * width + v * L;
            gradient_tile<T, thresholds, R, V>(b, g, weighing, i, panel + v * L, u + place, width,
                                               kept ? kept + place : nullptr,
                                               thresholds ? w + place : nullptr);
          });
      add_product<T, kTallRows, kTallVectors>(g.out + row * factors, factors, last - row,
                                              factors / L, depth, true, RowMajor<T>{u, width},
                                              b.m + panel * factors, factors);
      add_product<T, kTallRows, kTallVectors>(g.out + panel * factors, factors, depth, factors / L,
                                              last - row, true, ColumnMajor<T>{u, width},
                                              b.m + row * factors, factors);
    }
  }
}

template <class T>
void similarity_gradient(const SimilarityBlock<T>& b, const SimilarityGradient<T>& g) {
  if (b.threshold)
    gradient_rows<T, true>(b, g);
  else
    gradient_rows<T, false>(b, g);
}

}  // namespace astgnn::ops::ASTGNN_ISA
