// What the kernels of the similarity graph share (similarity.cu, similarity_bf16.cu): scores of a
// tile of rows against a tile of stocks, and the weights that they become. A score is one chain of
// fused products over the factors in the same order everywhere, so score(i, j) and score(j, i) have
// the same bits and a comparison with a threshold never differs from one pass to the next.
#pragma once

#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"

namespace astgnn::ops::cuda {

// kSide x kSide threads: thread (y, x) has rows y kPer .. and columns x kPer .. of a tile, kPer of
// either, which are 16 bytes: one load from shared memory.
constexpr int kSide = 16, kThreads = kSide * kSide;
template <class T>
constexpr int kPer = kSimilarityTile<T> / kSide;
static_assert(kPer<float> * sizeof(float) == 16 && kPer<double> * sizeof(double) == 16);
constexpr int kFactorDepth = 32;  // factors in shared memory at a time
constexpr int kDepth = 16;        // columns of G and V, for their products

template <class T, int n>
struct alignas(n * sizeof(T)) Pack {
  T at[n];
};
template <class T>
using Own = Pack<T, kPer<T>>;

// A slice of a matrix in shared memory, [depth, row]; four banks wider than it is, so that neither
// its loads nor its stores meet in one.
template <class T, int kRows>
using Slice = T[kRows][kSimilarityTile<T> + kPer<T>];

__device__ inline float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double fused(double a, double b, double c) { return fma(a, b, c); }

// How many of a slice's rows columns .. width fill, in whole steps of 8.
template <int kRows>
__device__ int depth_of(int64_t column, int64_t width) {
  const int64_t left = (width - column + 7) / 8 * 8;
  return left < kRows ? static_cast<int>(left) : kRows;
}

// slice[k][i] = matrix[row + i, column + k], 0 outside of rows .. end and columns .. width. Eight
// neighbouring threads read 32 or 64 bytes of one row.
template <class T, int kRows>
__device__ void load_slice(Slice<T, kRows>& slice, const T* matrix, int64_t row, int64_t end,
                           int64_t column, int64_t width) {
  constexpr int kTile = kSimilarityTile<T>;
  const T* from = matrix + row * width + column;
  const int rows = static_cast<int>(end - row < kTile ? end - row : kTile),
            columns = static_cast<int>(width - column < kRows ? width - column : kRows),
            count = depth_of<kRows>(column, width) * kTile, step = static_cast<int>(width);
  for (int at = static_cast<int>(threadIdx.x); at < count; at += kThreads) {
    const int k = at % 8 + at / (8 * kTile) * 8, i = at / 8 % kTile;
    slice[k][i] = i < rows && k < columns ? from[i * step + k] : T(0);
  }
}

// sums[a][b] += left rows times right rows over `depth` rows of the slices.
template <class T, int kRows>
__device__ void multiply_slices(T (&sums)[kPer<T>][kPer<T>], const Slice<T, kRows>& left,
                                const Slice<T, kRows>& right, int depth) {
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  for (int start = 0; start < depth; start += 8) {
#pragma unroll
    for (int step = 0; step < 8; ++step) {
      const int k = start + step;
      const auto own = *reinterpret_cast<const Own<T>*>(&left[k][y * kPer<T>]),
                 other = *reinterpret_cast<const Own<T>*>(&right[k][x * kPer<T>]);
#pragma unroll
      for (int a = 0; a < kPer<T>; ++a) {
#pragma unroll
        for (int b = 0; b < kPer<T>; ++b) sums[a][b] = fused(own.at[a], other.at[b], sums[a][b]);
      }
    }
  }
}

// Scores of the tile's rows against stocks from j on. The factors of the rows stay in `left` from
// one j to the next where they all fit. A barrier lies behind the last read of `right`.
template <class T, int kRows>
__device__ void scores_of(T (&scores)[kPer<T>][kPer<T>], Slice<T, kRows>& left,
                          Slice<T, kRows>& right, const Similarity<T>& graph,
                          const SimilarityTile& tile, int64_t j) {
#pragma unroll
  for (int a = 0; a < kPer<T>; ++a) {
#pragma unroll
    for (int b = 0; b < kPer<T>; ++b) scores[a][b] = T(0);
  }
  for (int64_t k = 0; k < graph.factors; k += kRows) {
    if (j == tile.lo || graph.factors > kRows)
      load_slice<T, kRows>(left, graph.m, tile.row, tile.hi, k, graph.factors);
    load_slice<T, kRows>(right, graph.m, j, tile.hi, k, graph.factors);
    __syncthreads();
    multiply_slices<T, kRows>(scores, left, right, depth_of<kRows>(k, graph.factors));
    __syncthreads();
  }
  const T scale = *graph.scale;
#pragma unroll
  for (int a = 0; a < kPer<T>; ++a) {
#pragma unroll
    for (int b = 0; b < kPer<T>; ++b) scores[a][b] *= scale;
  }
}

// Row i's weight for a score, and its exponent.
template <class T>
__device__ T weight_of(const Similarity<T>& graph, T score, int64_t row, T& exponent) {
  exponent = (score < T(0) ? T(0) : score) - graph.peak[row];  // NaN stays
  if (graph.threshold && score < graph.threshold[row]) return T(0);
  return exp(exponent);
}

// The same for kPer rows from `first` on, which wait in registers.
template <class T>
struct Shifts {
  T peak[kPer<T>], threshold[kPer<T>];

  __device__ void load(const Similarity<T>& graph, int64_t first, int64_t end) {
#pragma unroll
    for (int a = 0; a < kPer<T>; ++a) {
      const bool inside = first + a < end;
      peak[a] = inside ? graph.peak[first + a] : T(0);
      threshold[a] = inside && graph.threshold ? graph.threshold[first + a] : -T(INFINITY);
    }
  }
  // The weight for a score in row a, and its exponent.
  __device__ T weight(int a, T score, T& exponent) const {
    exponent = (score < T(0) ? T(0) : score) - peak[a];  // NaN stays
    return score < threshold[a] ? T(0) : exp(exponent);
  }
};

// For graph.parts > 0: similarity_bf16.cu.
void apply_bf16(const Similarity<float>& graph, const SimilarityPass<float>& pass, Stream stream);
void gradient_bf16(const Similarity<float>& graph, const SimilarityGradient<float>& gradient,
                   Stream stream);

}  // namespace astgnn::ops::cuda
