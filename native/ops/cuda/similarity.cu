// The graph of the TGC as tiles: scores of a tile of rows against a tile of stocks are summed in
// registers, become weights in shared memory and multiply the values of the stocks there. Nothing
// is rows x stocks.
#include <type_traits>

#include "ops/cuda/similarity_tile.h"

namespace astgnn::ops::cuda {
namespace {

// A tile's weights in shared memory, [stock, row]: the rows of thread (y, x) are pack y ^ the
// stock's x, so that neither the stores of a warp nor its loads meet in a bank.
template <class T>
using Weights = T[kSimilarityTile<T>][kSimilarityTile<T>];

template <class T>
__device__ Own<T>& weights_of(Weights<T>& weights, int stock, int y) {
  return *reinterpret_cast<Own<T>*>(&weights[stock][(y ^ stock / kPer<T>)*kPer<T>]);
}

// What this thread made of its rows and stocks, by stock.
template <class T>
__device__ void keep_weights(Weights<T>& weights, const T (&made)[kPer<T>][kPer<T>], int x, int y) {
#pragma unroll
  for (int b = 0; b < kPer<T>; ++b) {
    Own<T> own;
#pragma unroll
    for (int a = 0; a < kPer<T>; ++a) own.at[a] = made[a][b];
    weights_of<T>(weights, x * kPer<T> + b, y) = own;
  }
}

// Columns of values that a block of threads sums up: kColumns / kSide for each thread, in packs of
// at most 16 bytes.
template <class T>
constexpr int kValueDepth = 128 / sizeof(T);  // rows of values in shared memory at a time
template <class T, int kColumns>
using Values = T[kValueDepth<T>][kColumns];
template <int kColumns>
constexpr int kWide = kColumns / kSide;
template <class T, int kColumns>
constexpr int kPack = kWide<kColumns> < kPer<T> ? kWide<kColumns> : kPer<T>;

// The place of a thread's c-th column.
template <class T, int kColumns>
__device__ int column_of(int x, int c) {
  constexpr int kOne = kPack<T, kColumns>;
  return c / kOne * (kSide * kOne) + x * kOne + c % kOne;
}

// sums[a][c] += the tile's weights of this thread's rows times rows j .. end of a matrix [..,
// width], columns from `column` on. A tile's sums are added up on their own before they join the
// total: rounding grows with the length of a tile and the number of tiles, not with their product.
// A barrier lies behind the last read of either.
template <class T, int kColumns>
__device__ void add_product(T (&sums)[kPer<T>][kWide<kColumns>], Weights<T>& weights,
                            Values<T, kColumns>& values, const T* matrix, int64_t width, int64_t j,
                            int64_t end, int64_t column) {
  constexpr int kTile = kSimilarityTile<T>, kOne = kPack<T, kColumns>;
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide,
            rows = static_cast<int>(end - j < kTile ? end - j : kTile),
            step = static_cast<int>(width),
            columns = static_cast<int>(width - column < kColumns ? width - column : kColumns);
  const T* from = matrix + j * width + column;
  T part[kPer<T>][kWide<kColumns>] = {};
  for (int depth = 0; depth < rows; depth += kValueDepth<T>) {
    for (int at = static_cast<int>(threadIdx.x); at < kValueDepth<T> * kColumns; at += kThreads) {
      const int row = at / kColumns, c = at % kColumns;
      values[row][c] = depth + row < rows && c < columns ? from[(depth + row) * step + c] : T(0);
    }
    __syncthreads();
#pragma unroll 8
    for (int k = 0; k < kValueDepth<T>; ++k) {
      const Own<T> own = weights_of<T>(weights, depth + k, y);
#pragma unroll
      for (int c = 0; c < kWide<kColumns>; c += kOne) {
        const auto value =
            *reinterpret_cast<const Pack<T, kOne>*>(&values[k][column_of<T, kColumns>(x, c)]);
#pragma unroll
        for (int a = 0; a < kPer<T>; ++a) {
#pragma unroll
          for (int e = 0; e < kOne; ++e)
            part[a][c + e] = fused(own.at[a], value.at[e], part[a][c + e]);
        }
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int a = 0; a < kPer<T>; ++a) {
#pragma unroll
    for (int c = 0; c < kWide<kColumns>; ++c) sums[a][c] += part[a][c];
  }
}

template <class T>
__device__ T larger_or_nan(T a, T b) {
  return b > a || b != b ? b : a;
}

// The kSide threads that share rows are neighbours within a warp.
template <class T>
__device__ T row_largest(T value) {
  for (int lane = kSide / 2; lane > 0; lane /= 2)
    value = larger_or_nan(value, __shfl_xor_sync(0xffffffffu, value, lane));
  return value;
}

template <class T>
struct alignas(16) ScoreMemory {
  Slice<T, kFactorDepth> left, right;
};

// |m_i|^2 by a warp for each row.
template <class T>
__global__ void norms_kernel(Similarity<T> graph, T* norms) {
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int64_t row = tile.row + warp; row < tile.row + kSimilarityTile<T> && row < tile.hi;
       row += kThreads / 32) {
    T sum = 0;
    for (int64_t k = lane; k < graph.factors; k += 32) {
      const T value = graph.m[row * graph.factors + k];
      sum = fused(value, value, sum);
    }
    sum = sum_over<32>(sum);
    if (lane == 0) norms[row] = sum;
  }
}

// Scores up to this need no row maximum: sums of their exponentials stay in the range of float32.
constexpr double kSafe = 80;

// No score is larger than |scale| |m_i| |m_j|. Where that is safe for the whole tile it decides:
// no shift up to half of kSafe, half the bound above, which centres the weights about 1.
template <class T>
__global__ void __launch_bounds__(kThreads, 2)
    peaks_kernel(Similarity<T> graph, const T* norms, T* peak) {
  constexpr int kTile = kSimilarityTile<T>;
  __shared__ ScoreMemory<T> memory;
  __shared__ T largest_norm[kThreads / 32];
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int thread = static_cast<int>(threadIdx.x), y = thread / kSide, x = thread % kSide;
  T norm = 0;
  for (int64_t row = tile.lo + thread; row < tile.hi; row += kThreads)
    norm = larger_or_nan(norm, norms[row]);
  for (int lane = 16; lane > 0; lane /= 2)
    norm = larger_or_nan(norm, __shfl_xor_sync(0xffffffffu, norm, lane));
  if (thread % 32 == 0) largest_norm[thread / 32] = norm;
  __syncthreads();
  for (const T other : largest_norm) norm = larger_or_nan(norm, other);
  const double scale = fabs(static_cast<double>(*graph.scale)),
               of_segment = static_cast<double>(norm),
               spread = log(static_cast<double>(tile.hi - tile.lo));
  if (scale * of_segment + spread <= kSafe) {  // false where there is a NaN
    const int64_t row = tile.row + thread;
    if (thread >= kTile || row >= tile.hi) return;
    const double bound = scale * sqrt(static_cast<double>(norms[row]) * of_segment) + spread;
    peak[row] = static_cast<T>(bound > kSafe / 2 ? bound / 2 : 0);
    return;
  }
  T largest[kPer<T>] = {};
  for (int64_t j = tile.lo; j < tile.hi; j += kTile) {
    T scores[kPer<T>][kPer<T>];
    scores_of<T, kFactorDepth>(scores, memory.left, memory.right, graph, tile, j);
    for (int a = 0; a < kPer<T>; ++a) {
      for (int b = 0; b < kPer<T>; ++b) {
        const int64_t row = tile.row + y * kPer<T> + a, column = j + x * kPer<T> + b;
        if (column < tile.hi && (graph.self || column != row))
          largest[a] = larger_or_nan(largest[a], scores[a][b]);
      }
    }
  }
  for (int a = 0; a < kPer<T>; ++a) {
    const T found = row_largest(largest[a]);
    const int64_t row = tile.row + y * kPer<T> + a;
    if (x == 0 && row < tile.hi) peak[row] = found;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, 2)
    scores_kernel(Similarity<T> graph, T* out, int64_t width) {
  __shared__ ScoreMemory<T> memory;
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  const int64_t first = graph.tiles[0].row;
  for (int64_t j = tile.lo; j < tile.lo + width; j += kSimilarityTile<T>) {
    T scores[kPer<T>][kPer<T>];
    scores_of<T, kFactorDepth>(scores, memory.left, memory.right, graph, tile, j);
    for (int a = 0; a < kPer<T>; ++a) {
      for (int b = 0; b < kPer<T>; ++b) {
        const int64_t row = tile.row + y * kPer<T> + a, column = j + x * kPer<T> + b;
        if (row >= tile.hi || column - tile.lo >= width) continue;
        const bool counts = column < tile.hi && (graph.self || column != row);
        out[(row - first) * width + column - tile.lo] = counts ? scores[a][b] : -T(INFINITY);
      }
    }
  }
}

template <class T, int kColumns>
struct alignas(16) ApplyMemory {
  Slice<T, kFactorDepth> left;
  Weights<T> weights;
  union {
    Slice<T, kFactorDepth> right;
    Values<T, kColumns> values;
  };
};

template <class T, int kColumns>
__global__ void __launch_bounds__(kThreads, 2)
    apply_kernel(Similarity<T> graph, SimilarityPass<T> pass) {
  __shared__ ApplyMemory<T, kColumns> memory;
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int64_t first_column = static_cast<int64_t>(blockIdx.y) * kColumns;
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  const int64_t first_row = tile.row + y * kPer<T>;
  const bool collects = pass.others && blockIdx.y == 0;
  T sums[kPer<T>][kWide<kColumns>] = {};
  double others[kPer<T>] = {}, moments[kPer<T>] = {};  // emptied into double tile by tile
  Shifts<T> shifts;
  if (!pass.transposed) shifts.load(graph, first_row, tile.hi);
  for (int64_t j = tile.lo; j < tile.hi; j += kSimilarityTile<T>) {
    const int64_t first = j + x * kPer<T>;
    T scores[kPer<T>][kPer<T>];
    if (pass.transposed) shifts.load(graph, first, tile.hi);
    scores_of<T, kFactorDepth>(scores, memory.left, memory.right, graph, tile, j);
#pragma unroll
    for (int a = 0; a < kPer<T>; ++a) {
      T total = 0, moment = 0;
#pragma unroll
      for (int b = 0; b < kPer<T>; ++b) {
        const int64_t row = first_row + a, column = first + b;
        T weight = 0, exponent = 0;
        if (row < tile.hi && column < tile.hi)
          weight = shifts.weight(pass.transposed ? b : a, scores[a][b], exponent);
        if (column == row && column < tile.hi) {
          if (collects) {
            pass.own[row] = graph.self ? weight : T(0);
            if (graph.self && weight != T(0)) moment += weight * exponent;
          }
          weight = 0;
        } else if (collects) {
          total += weight;
          if (weight != T(0)) moment += weight * exponent;
        }
        scores[a][b] = weight;
      }
      others[a] += static_cast<double>(total);
      moments[a] += static_cast<double>(moment);
    }
    keep_weights<T>(memory.weights, scores, x, y);
    add_product<T, kColumns>(sums, memory.weights, memory.values, pass.values, pass.width, j,
                             tile.hi, first_column);
  }
  for (int a = 0; a < kPer<T>; ++a) {
    const int64_t row = first_row + a;
    const double total = sum_over<kSide>(others[a]), moment = sum_over<kSide>(moments[a]);
    if (row >= tile.hi) continue;
    if (collects && x == 0) {
      pass.others[row] = total;
      pass.moments[row] = moment;
    }
    for (int c = 0; c < kWide<kColumns>; ++c) {
      const int64_t column = first_column + column_of<T, kColumns>(x, c);
      if (column >= pass.width) continue;
      T* out = pass.out + row * pass.width + column;
      *out = pass.add ? *out + sums[a][c] : sums[a][c];
    }
  }
}

template <class T, int kFactors>
struct alignas(16) GradientMemory {
  Slice<T, kFactorDepth> left;
  union {
    Slice<T, kFactorDepth> right;
    Slice<T, kDepth> slices[4];  // G and V of the tile's rows, then of its stocks
    Weights<T> u;
  };
  Values<T, kFactors> factors;
};

template <class T, int kFactors>
__global__ void __launch_bounds__(kThreads, 2)
    gradient_kernel(Similarity<T> graph, SimilarityGradient<T> g) {
  __shared__ GradientMemory<T, kFactors> memory;
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int64_t first_factor = static_cast<int64_t>(blockIdx.y) * kFactors;
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  const int64_t first_row = tile.row + y * kPer<T>;
  T sums[kPer<T>][kWide<kFactors>] = {};
  Shifts<T> of_rows, of_columns;
  of_rows.load(graph, first_row, tile.hi);
  for (int64_t j = tile.lo; j < tile.hi; j += kSimilarityTile<T>) {
    const int64_t first = j + x * kPer<T>;
    T scores[kPer<T>][kPer<T>], to_row[kPer<T>][kPer<T>] = {}, to_column[kPer<T>][kPer<T>] = {};
    scores_of<T, kFactorDepth>(scores, memory.left, memory.right, graph, tile, j);
    for (int64_t c = 0; c < g.width; c += kDepth) {  // G_i . V_j and V_i . G_j
      load_slice<T, kDepth>(memory.slices[0], g.weighted, tile.row, tile.hi, c, g.width);
      load_slice<T, kDepth>(memory.slices[1], g.values, tile.row, tile.hi, c, g.width);
      load_slice<T, kDepth>(memory.slices[2], g.weighted, j, tile.hi, c, g.width);
      load_slice<T, kDepth>(memory.slices[3], g.values, j, tile.hi, c, g.width);
      __syncthreads();
      const int depth = depth_of<kDepth>(c, g.width);
      multiply_slices<T, kDepth>(to_row, memory.slices[0], memory.slices[3], depth);
      multiply_slices<T, kDepth>(to_column, memory.slices[1], memory.slices[2], depth);
      __syncthreads();
    }
    of_columns.load(graph, first, tile.hi);
#pragma unroll
    for (int a = 0; a < kPer<T>; ++a) {
#pragma unroll
      for (int b = 0; b < kPer<T>; ++b) {
        const int64_t row = first_row + a, column = first + b;
        const T score = scores[a][b];
        T value = 0;
        if (row < tile.hi && column < tile.hi && row != column && !(score <= T(0))) {
          T exponent;
          value = of_rows.weight(a, score, exponent) * (to_row[a][b] - g.mean[row]) +
                  of_columns.weight(b, score, exponent) * (to_column[a][b] - g.mean[column]);
        }
        scores[a][b] = value;
      }
    }
    keep_weights<T>(memory.u, scores, x, y);
    add_product<T, kFactors>(sums, memory.u, memory.factors, graph.m, graph.factors, j, tile.hi,
                             first_factor);
  }
  for (int a = 0; a < kPer<T>; ++a) {
    const int64_t row = first_row + a;
    for (int c = 0; c < kWide<kFactors>; ++c) {
      const int64_t factor = first_factor + column_of<T, kFactors>(x, c);
      if (row < tile.hi && factor < graph.factors) g.out[row * graph.factors + factor] = sums[a][c];
    }
  }
}

template <class T, int kColumns>
void apply_columns(const Similarity<T>& graph, const SimilarityPass<T>& pass, Stream stream) {
  launch(apply_kernel<T, kColumns>,
         dim3(count_of(graph.tile_count, 1), count_of(pass.width, kColumns)), dim3(kThreads),
         stream, graph, pass);
}
template <class T, int kFactors>
void gradient_factors(const Similarity<T>& graph, const SimilarityGradient<T>& gradient,
                      Stream stream) {
  launch(gradient_kernel<T, kFactors>,
         dim3(count_of(graph.tile_count, 1), count_of(graph.factors, kFactors)), dim3(kThreads),
         stream, graph, gradient);
}

}  // namespace

template <class T>
void similarity_peaks(const Similarity<T>& graph, T* norms, T* peak, Stream stream) {
  const dim3 tiles(count_of(graph.tile_count, 1));
  launch(norms_kernel<T>, tiles, dim3(kThreads), stream, graph, norms);
  launch(peaks_kernel<T>, tiles, dim3(kThreads), stream, graph, static_cast<const T*>(norms), peak);
}
template <class T>
void similarity_scores(const Similarity<T>& graph, T* out, int64_t width, Stream stream) {
  launch(scores_kernel<T>, dim3(count_of(graph.tile_count, 1)), dim3(kThreads), stream, graph, out,
         width);
}
template <class T>
void similarity_apply(const Similarity<T>& graph, const SimilarityPass<T>& pass, Stream stream) {
  if constexpr (std::is_same_v<T, float>) {
    if (graph.parts > 0) return apply_bf16(graph, pass, stream);
  }
  if (pass.width <= 32) return apply_columns<T, 32>(graph, pass, stream);
  if (pass.width <= 64) return apply_columns<T, 64>(graph, pass, stream);
  apply_columns<T, 128>(graph, pass, stream);
}
template <class T>
void similarity_gradient(const Similarity<T>& graph, const SimilarityGradient<T>& gradient,
                         Stream stream) {
  if constexpr (std::is_same_v<T, float>) {
    if (graph.parts > 0) return gradient_bf16(graph, gradient, stream);
  }
  if (graph.factors <= 32) return gradient_factors<T, 32>(graph, gradient, stream);
  gradient_factors<T, 64>(graph, gradient, stream);
}

template void similarity_peaks(const Similarity<float>&, float*, float*, Stream);
template void similarity_peaks(const Similarity<double>&, double*, double*, Stream);
template void similarity_scores(const Similarity<float>&, float*, int64_t, Stream);
template void similarity_scores(const Similarity<double>&, double*, int64_t, Stream);
template void similarity_apply(const Similarity<float>&, const SimilarityPass<float>&, Stream);
template void similarity_apply(const Similarity<double>&, const SimilarityPass<double>&, Stream);
template void similarity_gradient(const Similarity<float>&, const SimilarityGradient<float>&,
                                  Stream);
template void similarity_gradient(const Similarity<double>&, const SimilarityGradient<double>&,
                                  Stream);

}  // namespace astgnn::ops::cuda
