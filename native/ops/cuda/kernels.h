// What the CUDA library computes in kernels of its own, without a word of LibTorch: device pointers
// and a stream. Every pointer is device memory; T is float or double. The .cu files also compile as
// plain C++ (test/native/emulated_cuda.h), which is how they are tested where there is no GPU.
#pragma once

#include <cstdint>

namespace astgnn::ops::cuda {

using Stream = void*;  // a cudaStream_t

// A dropout site of ops.h: word > dropped keeps an element. key: the op's key, [R + 1, 2].
struct DropoutSite {
  const int64_t* key;
  uint32_t where, dropped;
  double scale;  // 1 / (1 - p); 0 where nothing is dropped
};

// out = x times the mask, x [times, rows, columns] at the site's time and those after it. Row r
// takes the key of packed row place[r], or of r where place is null.
template <class T>
void dropout(const T* x, T* out, const int64_t* place, int64_t times, int64_t rows, int64_t columns,
             const DropoutSite& site, Stream stream);

template <class T>
struct NormRows {
  int64_t rows, columns;
  const T *x, *weight, *bias, *residual;  // residual may be null
  T *y, *moments;                         // [rows, columns], [rows, 2]
  T eps;
  int activation;  // ops::Activation
};
template <class T>
void norm_forward(const NormRows<T>& rows, const DropoutSite& site, Stream stream);

template <class T>
struct NormGradients {
  int64_t rows, columns;
  const T *grad, *x, *weight, *y, *moments;
  T *dx, *dresidual;  // dresidual may be null
  double* sums;       // [ranges, 2, columns]: dweight and dbias of kNormRange rows each
  T passed;           // 1 / (1 - p)
  int activation;
};
constexpr int64_t kNormRange = 64;
template <class T>
void norm_backward(const NormGradients<T>& gradients, Stream stream);

// out [window, rows, features] = panel [dates, stocks, features] at the window that ends at
// (date[r], stock[r]).
template <class T>
void gather_windows(const float* panel, const int64_t* date, const int64_t* stock, int64_t stocks,
                    int64_t features, int64_t window, int64_t rows, T* out, Stream stream);

// Rows that meet lie together: a segment is a run of places, and a tile is kSimilarityTile rows of
// one segment at most.
struct SimilarityTile {
  int64_t lo, hi;  // places of the segment
  int64_t row;     // first place of the tile
};
template <class T>
constexpr int kSimilarityTile = sizeof(T) == 4 ? 64 : 32;

// Weight of j for i: exp(max(score, 0) - peak_i) where the score is at least threshold_i, else 0.
template <class T>
struct Similarity {
  const SimilarityTile* tiles;
  int64_t tile_count;
  const T* m;  // [R, factors]
  int64_t factors;
  const T* scale;      // one number
  bool self;           // a stock's weight for itself counts
  const T* threshold;  // [R], or null: no score is too small
  const T* peak;       // [R]: largest score that counts, not below 0
};
// Largest scores into peak [R] of a graph whose own peak is not read.
template <class T>
void similarity_peaks(const Similarity<T>& graph, T* peak, Stream stream);
// Scores of the tiles' rows into out [R, width], column j - lo; -inf for oneself where self does
// not count, and past the segment's end.
template <class T>
void similarity_scores(const Similarity<T>& graph, T* out, int64_t width, Stream stream);

// out [R, width] (+)= A values, not normalised and without the diagonal; A^T where transposed.
template <class T>
struct SimilarityPass {
  const T* values;  // [R, width]
  T* out;
  int64_t width;
  bool add, transposed;
  double *others, *moments;  // null, or [R]: weights but the own one; weights times their exponents
  T* own;                    // beside them, [R]: weight of the row itself
};
template <class T>
void similarity_apply(const Similarity<T>& graph, const SimilarityPass<T>& pass, Stream stream);

// out [R, factors] = U M without the diagonal, U = dS + dS^T.
template <class T>
struct SimilarityGradient {
  const T *weighted, *values;  // G = sign g / total, V of all layers side by side, [R, width]
  int64_t width;
  const T* mean;  // [R]: G_i . (A V)_i
  T* out;
};
template <class T>
void similarity_gradient(const Similarity<T>& graph, const SimilarityGradient<T>& gradient,
                         Stream stream);

}  // namespace astgnn::ops::cuda
