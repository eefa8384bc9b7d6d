// What the kernels of the similarity graph share (similarity.cu, similarity_bf16.cu): scores of a
// tile of rows against a tile of stocks, and the weights that they become. A score is one chain of
// fused products over the factors in the same order everywhere, so score(i, j) and score(j, i) have
// the same bits and a comparison with a threshold never differs from one pass to the next.
#pragma once

#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"

namespace astgnn::ops::cuda {

// kSide x kSide threads; each has kPer<T> rows and columns of a tile.
constexpr int kSide = 16, kThreads = kSide * kSide;
template <class T>
constexpr int kPer = kSimilarityTile<T> / kSide;
constexpr int kDepth = 16;     // of a product's slice in shared memory
constexpr int kColumns = 128;  // of values that one block of threads sums up
constexpr int kFactors = 64;   // of dM that one block of threads sums up

// A slice of a matrix in shared memory, [depth, row], a column wider than it is against bank
// conflicts.
template <class T>
using Slice = T[kDepth][kSimilarityTile<T> + 1];

__device__ inline float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double fused(double a, double b, double c) { return fma(a, b, c); }

// slice[k][i] = matrix[row + i, column + k], 0 outside of rows .. end and columns .. width.
template <class T>
__device__ void load_slice(Slice<T>& slice, const T* matrix, int64_t row, int64_t end,
                           int64_t column, int64_t width) {
  for (int at = static_cast<int>(threadIdx.x); at < kDepth * kSimilarityTile<T>; at += kThreads) {
    const int i = at / kDepth, k = at % kDepth;
    slice[k][i] =
        row + i < end && column + k < width ? matrix[(row + i) * width + column + k] : T(0);
  }
}

// sums[a][b] += left rows times right rows over one slice.
template <class T>
__device__ void multiply_slices(T (&sums)[kPer<T>][kPer<T>], const Slice<T>& left,
                                const Slice<T>& right) {
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  for (int k = 0; k < kDepth; ++k) {
    T own[kPer<T>], other[kPer<T>];
    for (int a = 0; a < kPer<T>; ++a) own[a] = left[k][y + a * kSide];
    for (int b = 0; b < kPer<T>; ++b) other[b] = right[k][x + b * kSide];
    for (int a = 0; a < kPer<T>; ++a) {
      for (int b = 0; b < kPer<T>; ++b) sums[a][b] = fused(own[a], other[b], sums[a][b]);
    }
  }
}

// Scores of the tile's rows against stocks from j on. Row a of this thread is the tile's row
// y + a kSide, column b is j + x + b kSide.
template <class T>
__device__ void scores_of(T (&scores)[kPer<T>][kPer<T>], Slice<T>& left, Slice<T>& right,
                          const Similarity<T>& graph, const SimilarityTile& tile, int64_t j) {
  for (int a = 0; a < kPer<T>; ++a) {
    for (int b = 0; b < kPer<T>; ++b) scores[a][b] = T(0);
  }
  for (int64_t k = 0; k < graph.factors; k += kDepth) {
    load_slice<T>(left, graph.m, tile.row, tile.hi, k, graph.factors);
    load_slice<T>(right, graph.m, j, tile.hi, k, graph.factors);
    __syncthreads();
    multiply_slices<T>(scores, left, right);
    __syncthreads();
  }
  const T scale = *graph.scale;
  for (int a = 0; a < kPer<T>; ++a) {
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

// For graph.parts > 0: similarity_bf16.cu.
void apply_bf16(const Similarity<float>& graph, const SimilarityPass<float>& pass, Stream stream);
void gradient_bf16(const Similarity<float>& graph, const SimilarityGradient<float>& gradient,
                   Stream stream);

}  // namespace astgnn::ops::cuda
