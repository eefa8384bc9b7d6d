// The graph of the TGC as tiles: scores of a tile of rows against a tile of stocks are summed in
// registers, become weights in shared memory and multiply the values of the stocks there. Nothing
// is rows x stocks.
#include <type_traits>

#include "ops/cuda/similarity_tile.h"

namespace astgnn::ops::cuda {
namespace {

// sums[a][c] += the tile's weights of this thread's rows times rows j .. end of a matrix [..,
// width], columns from `column` on. A tile's sums are added up on their own before they join the
// total: rounding grows with the length of a tile and the number of tiles, not with their product.
template <class T, int kWide>
__device__ void add_product(T (&sums)[kPer<T>][kWide],
                            const T (&weights)[kSimilarityTile<T>][kSimilarityTile<T> + 1],
                            T (&slice)[kDepth][kWide * kSide], const T* matrix, int64_t width,
                            int64_t j, int64_t end, int64_t column) {
  constexpr int kAll = kWide * kSide;
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  T part[kPer<T>][kWide] = {};
  for (int64_t depth = 0; depth < kSimilarityTile<T> && j + depth < end; depth += kDepth) {
    for (int at = static_cast<int>(threadIdx.x); at < kDepth * kAll; at += kThreads) {
      const int64_t row = j + depth + at / kAll, from = column + at % kAll;
      slice[at / kAll][at % kAll] = row < end && from < width ? matrix[row * width + from] : T(0);
    }
    __syncthreads();
    for (int k = 0; k < kDepth; ++k) {
      T own[kPer<T>];
      for (int a = 0; a < kPer<T>; ++a) own[a] = weights[y + a * kSide][depth + k];
      for (int c = 0; c < kWide; ++c) {
        const T value = slice[k][x + c * kSide];
        for (int a = 0; a < kPer<T>; ++a) part[a][c] = fused(own[a], value, part[a][c]);
      }
    }
    __syncthreads();
  }
  for (int a = 0; a < kPer<T>; ++a) {
    for (int c = 0; c < kWide; ++c) sums[a][c] += part[a][c];
  }
}

// The kSide threads that share rows are neighbours within a warp.
template <class T>
__device__ T row_largest(T value) {
  for (int lane = kSide / 2; lane > 0; lane /= 2) {
    const T other = __shfl_xor_sync(0xffffffffu, value, lane);
    value = other > value || other != other ? other : value;  // NaN wins
  }
  return value;
}

template <class T>
__global__ void peaks_kernel(Similarity<T> graph, T* peak) {
  __shared__ Slice<T> left, right;
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  T largest[kPer<T>] = {};
  for (int64_t j = tile.lo; j < tile.hi; j += kSimilarityTile<T>) {
    T scores[kPer<T>][kPer<T>];
    scores_of(scores, left, right, graph, tile, j);
    for (int a = 0; a < kPer<T>; ++a) {
      for (int b = 0; b < kPer<T>; ++b) {
        const int64_t row = tile.row + y + a * kSide, column = j + x + b * kSide;
        const T score = scores[a][b];
        if (column < tile.hi && (graph.self || column != row))
          largest[a] = score > largest[a] || score != score ? score : largest[a];
      }
    }
  }
  for (int a = 0; a < kPer<T>; ++a) {
    const T found = row_largest(largest[a]);
    const int64_t row = tile.row + y + a * kSide;
    if (x == 0 && row < tile.hi) peak[row] = found;
  }
}

template <class T>
__global__ void scores_kernel(Similarity<T> graph, T* out, int64_t width) {
  __shared__ Slice<T> left, right;
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  const int64_t first = graph.tiles[0].row;
  for (int64_t j = tile.lo; j < tile.lo + width; j += kSimilarityTile<T>) {
    T scores[kPer<T>][kPer<T>];
    scores_of(scores, left, right, graph, tile, j);
    for (int a = 0; a < kPer<T>; ++a) {
      for (int b = 0; b < kPer<T>; ++b) {
        const int64_t row = tile.row + y + a * kSide, column = j + x + b * kSide;
        if (row >= tile.hi || column - tile.lo >= width) continue;
        const bool counts = column < tile.hi && (graph.self || column != row);
        out[(row - first) * width + column - tile.lo] = counts ? scores[a][b] : -T(INFINITY);
      }
    }
  }
}

template <class T>
__global__ void apply_kernel(Similarity<T> graph, SimilarityPass<T> pass) {
  constexpr int kTile = kSimilarityTile<T>, kWide = kColumns / kSide;
  __shared__ Slice<T> left, right;
  __shared__ T weights[kTile][kTile + 1];
  __shared__ T values[kDepth][kColumns];
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int64_t first_column = static_cast<int64_t>(blockIdx.y) * kColumns;
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  const bool collects = pass.others && blockIdx.y == 0;
  T sums[kPer<T>][kWide] = {};
  double others[kPer<T>] = {}, moments[kPer<T>] = {};  // emptied into double tile by tile
  for (int64_t j = tile.lo; j < tile.hi; j += kTile) {
    T scores[kPer<T>][kPer<T>];
    scores_of(scores, left, right, graph, tile, j);
    for (int a = 0; a < kPer<T>; ++a) {
      T total = 0, moment = 0;
      for (int b = 0; b < kPer<T>; ++b) {
        const int64_t row = tile.row + y + a * kSide, column = j + x + b * kSide;
        T weight = 0, exponent = 0;
        if (row < tile.hi && column < tile.hi)
          weight = weight_of(graph, scores[a][b], pass.transposed ? column : row, exponent);
        if (column == row && column < tile.hi) {
          if (collects) {
            pass.own[row] = graph.self ? weight : T(0);
            if (graph.self && weight != T(0)) moment += weight * exponent;
          }
          weight = 0;
        } else {
          total += weight;
          if (weight != T(0)) moment += weight * exponent;
        }
        weights[y + a * kSide][x + b * kSide] = weight;
      }
      others[a] += static_cast<double>(total);
      moments[a] += static_cast<double>(moment);
    }
    add_product(sums, weights, values, pass.values, pass.width, j, tile.hi, first_column);
  }
  for (int a = 0; a < kPer<T>; ++a) {
    const int64_t row = tile.row + y + a * kSide;
    const double total = sum_over<kSide>(others[a]), moment = sum_over<kSide>(moments[a]);
    if (row >= tile.hi) continue;
    if (collects && x == 0) {
      pass.others[row] = total;
      pass.moments[row] = moment;
    }
    for (int c = 0; c < kWide; ++c) {
      const int64_t column = first_column + x + c * kSide;
      if (column >= pass.width) continue;
      T* out = pass.out + row * pass.width + column;
      *out = pass.add ? *out + sums[a][c] : sums[a][c];
    }
  }
}

template <class T>
__global__ void gradient_kernel(Similarity<T> graph, SimilarityGradient<T> g) {
  constexpr int kTile = kSimilarityTile<T>, kWide = kFactors / kSide;
  __shared__ Slice<T> left, right;
  __shared__ T u[kTile][kTile + 1];
  __shared__ T factors[kDepth][kFactors];
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int64_t first_factor = static_cast<int64_t>(blockIdx.y) * kFactors;
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  T sums[kPer<T>][kWide] = {};
  for (int64_t j = tile.lo; j < tile.hi; j += kTile) {
    T scores[kPer<T>][kPer<T>], to_row[kPer<T>][kPer<T>] = {}, to_column[kPer<T>][kPer<T>] = {};
    scores_of(scores, left, right, graph, tile, j);
    for (int64_t c = 0; c < g.width; c += kDepth) {  // G_i . V_j and V_i . G_j
      load_slice<T>(left, g.weighted, tile.row, tile.hi, c, g.width);
      load_slice<T>(right, g.values, j, tile.hi, c, g.width);
      __syncthreads();
      multiply_slices<T>(to_row, left, right);
      __syncthreads();
      load_slice<T>(left, g.values, tile.row, tile.hi, c, g.width);
      load_slice<T>(right, g.weighted, j, tile.hi, c, g.width);
      __syncthreads();
      multiply_slices<T>(to_column, left, right);
      __syncthreads();
    }
    for (int a = 0; a < kPer<T>; ++a) {
      for (int b = 0; b < kPer<T>; ++b) {
        const int64_t row = tile.row + y + a * kSide, column = j + x + b * kSide;
        const T score = scores[a][b];
        T value = 0;
        if (row < tile.hi && column < tile.hi && row != column && !(score <= T(0))) {
          T exponent;
          value = weight_of(graph, score, row, exponent) * (to_row[a][b] - g.mean[row]) +
                  weight_of(graph, score, column, exponent) * (to_column[a][b] - g.mean[column]);
        }
        u[y + a * kSide][x + b * kSide] = value;
      }
    }
    add_product(sums, u, factors, graph.m, graph.factors, j, tile.hi, first_factor);
  }
  for (int a = 0; a < kPer<T>; ++a) {
    const int64_t row = tile.row + y + a * kSide;
    for (int c = 0; c < kWide; ++c) {
      const int64_t factor = first_factor + x + c * kSide;
      if (row < tile.hi && factor < graph.factors) g.out[row * graph.factors + factor] = sums[a][c];
    }
  }
}

}  // namespace

template <class T>
void similarity_peaks(const Similarity<T>& graph, T* peak, Stream stream) {
  launch(peaks_kernel<T>, dim3(count_of(graph.tile_count, 1)), dim3(kThreads), stream, graph, peak);
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
  launch(apply_kernel<T>, dim3(count_of(graph.tile_count, 1), count_of(pass.width, kColumns)),
         dim3(kThreads), stream, graph, pass);
}
template <class T>
void similarity_gradient(const Similarity<T>& graph, const SimilarityGradient<T>& gradient,
                         Stream stream) {
  if constexpr (std::is_same_v<T, float>) {
    if (graph.parts > 0) return gradient_bf16(graph, gradient, stream);
  }
  launch(gradient_kernel<T>, dim3(count_of(graph.tile_count, 1), count_of(graph.factors, kFactors)),
         dim3(kThreads), stream, graph, gradient);
}

template void similarity_peaks(const Similarity<float>&, float*, Stream);
template void similarity_peaks(const Similarity<double>&, double*, Stream);
template void similarity_scores(const Similarity<float>&, float*, int64_t, Stream);
template void similarity_scores(const Similarity<double>&, double*, int64_t, Stream);
template void similarity_apply(const Similarity<float>&, const SimilarityPass<float>&, Stream);
template void similarity_apply(const Similarity<double>&, const SimilarityPass<double>&, Stream);
template void similarity_gradient(const Similarity<float>&, const SimilarityGradient<float>&,
                                  Stream);
template void similarity_gradient(const Similarity<double>&, const SimilarityGradient<double>&,
                                  Stream);

}  // namespace astgnn::ops::cuda
