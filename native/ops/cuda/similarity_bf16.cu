// The two products over pairs of stocks once more, on tensor cores: every factor is the sum of one
// or two bf16 values, sums are float32. Scores, and the exponentials that they are amplified by,
// stay float32 as in similarity.cu: one product over a few factors is cheap, and its sign decides.
//
// What all stocks have in common is taken off before anything is rounded, because the layers before
// may leave stocks that differ by less than bf16 resolves: V is taken relative to its segment's
// first row, and a weight relative to the smallest that its row can have, base = exp(-peak): A V =
// (A - base) V + base (sum of V). Where A is close to the plain average little is left to round.
// With thresholds, under which a weight may be 0, base is 0. What A^T multiplies is taken as it is:
// its rows are divided by their sums of weights, which may be of any size. The weights that are
// summed up are those that were multiplied, so a row of A adds up to 1 whatever rounding did.
//
// Factors that do not depend on the pair, V, G and M, are rounded once, before the pairs.
//
// What a tensor core has added joins a sum of the ordinary kind every 64 products (bf16_tiles.h).
#include "ops/cuda/bf16_tiles.h"
#include "ops/cuda/similarity_tile.h"

namespace astgnn::ops::cuda {
namespace {

constexpr int kTile = kSimilarityTile<float>;

// GPUs before compute capability 8.0 have no bf16: nothing is launched there.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
constexpr int kPart = kPer<float>;
constexpr int kAside = 8;      // unused columns of a row, against bank conflicts
constexpr int kDepthOfV = 32;  // rows of V in shared memory at a time
constexpr int kWarps = kThreads / 32;

using Stages = float[kWarps][kSquare][kSquare];

__device__ inline float base_of(const Similarity<float>& graph, int64_t row) {
  return graph.threshold ? 0.0f : exp(-graph.peak[row]);
}

template <int kParts, int kColumns>
struct alignas(128) ApplyMemory {
  alignas(32) Parts<kParts, kTile, kTile + kAside> weights;
  alignas(32) Slice<float, kFactorDepth> left;
  union {
    alignas(32) Slice<float, kFactorDepth> right;
    alignas(32) Parts<kParts, kDepthOfV, kColumns + kAside> values;
    alignas(32) Stages stages;
  };
  float base[kTile];         // of the tile's rows, or of its stocks where A is transposed
  double columns[kColumns];  // sums of V over the segment, times base where A is transposed
  double totals[kTile];      // of the rows' weights
};

// A warp has 32 rows and a quarter of the columns of the sums.
template <int kParts, int kColumns>
__device__ void apply(ApplyMemory<kParts, kColumns>& memory, const Similarity<float>& graph,
                      const SimilarityPass<float>& pass) {
  constexpr int kSquares = kColumns / 4 / kSquare;
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int64_t first_column = static_cast<int64_t>(blockIdx.y) * kColumns,
                stride = rounded_columns(pass.width), plane = graph.rows * stride;
  const int thread = static_cast<int>(threadIdx.x), y = thread / kSide, x = thread % kSide,
            warp = thread / 32, own_row = warp % 2 * 2 * kSquare,
            own_column = warp / 2 * kSquares * kSquare;
  const int64_t first_row = tile.row + y * kPart;
  const bool collects = pass.others && blockIdx.y == 0;
  const Rounded* v = reinterpret_cast<const Rounded*>(pass.scratch.rounded) + first_column;
  if (thread < kColumns) {
    const int64_t first_tile = blockIdx.x - (tile.row - tile.lo) / kTile,
                  tiles = (tile.hi - tile.lo + kTile - 1) / kTile;
    const double* from = pass.scratch.columns + first_tile * stride + first_column + thread;
    double sum = 0;
    for (int64_t t = 0; t < tiles; ++t) sum += from[t * stride];
    memory.columns[thread] = sum;
  }
  Sums<2, kSquares> sums;
  clear(sums);
  double others[kPart] = {}, moments[kPart] = {};
  Shifts<float> shifts;
  if (!pass.transposed) {
    shifts.load(graph, first_row, tile.hi);
    if (thread < kTile)
      memory.base[thread] = tile.row + thread < tile.hi ? base_of(graph, tile.row + thread) : 0;
  }
  for (int64_t j = tile.lo; j < tile.hi; j += kTile) {
    const int64_t first = j + x * kPart;
    if (pass.transposed) {
      shifts.load(graph, first, tile.hi);
      if (thread < kTile)
        memory.base[thread] = j + thread < tile.hi ? base_of(graph, j + thread) : 0;
    }
    float scores[kPart][kPart];
    scores_of<float, kFactorDepth>(scores, memory.left, memory.right, graph, tile, j);
#pragma unroll
    for (int a = 0; a < kPart; ++a) {
      const int64_t row = first_row + a;
      float exponents[kPart], bases[kPart], beyond[kPart];
#pragma unroll
      for (int b = 0; b < kPart; ++b) {
        const int64_t column = first + b;
        const bool inside = row < tile.hi && column < tile.hi;
        float weight = 0, exponent = 0;
        if (inside) weight = shifts.weight(pass.transposed ? b : a, scores[a][b], exponent);
        if (inside && column == row && collects) {
          pass.own[row] = graph.self ? weight : 0;
          if (graph.self && weight != 0) moments[a] += static_cast<double>(weight * exponent);
        }
        exponents[b] = exponent;
        bases[b] = inside && column != row
                       ? memory.base[pass.transposed ? x * kPart + b : y * kPart + a]
                       : 0;
        beyond[b] = inside && column != row ? weight - bases[b] : 0;
      }
      split<kParts>(beyond, &memory.weights[0][y * kPart + a][x * kPart],
                    sizeof memory.weights[0] / sizeof(Rounded));
      float total = 0, moment = 0;
#pragma unroll
      for (int b = 0; b < kPart; ++b) {
        const float weight = bases[b] + beyond[b];
        total += weight;
        if (weight != 0) moment += weight * exponents[b];
      }
      others[a] += static_cast<double>(total);
      moments[a] += static_cast<double>(moment);
    }
    Sums<2, kSquares> part;
    clear(part);
    for (int depth = 0; depth < kTile && j + depth < tile.hi; depth += kDepthOfV) {
      load_parts<kParts, kColumns>(memory.values, v, plane, stride, j + depth, tile.hi, kThreads);
      __syncthreads();
#pragma unroll
      for (int k = 0; k < kDepthOfV; k += kSquare)
        multiply<wmma::row_major>(part, memory.weights, own_row, depth + k, memory.values, k,
                                  own_column);
      __syncthreads();
    }
    add(sums, part);
  }
  for (int a = 0; a < kPart; ++a) {
    const int64_t row = first_row + a;
    const double total = sum_over<kSide>(others[a]), moment = sum_over<kSide>(moments[a]);
    if (x == 0) memory.totals[y * kPart + a] = total;
    if (collects && x == 0 && row < tile.hi) {
      pass.others[row] = total;
      pass.moments[row] = moment;
    }
  }
  __syncthreads();
  store_each(sums, memory.stages[warp], [&](int i, int k, float sum) {
    const int64_t row = tile.row + own_row + i, column = first_column + own_column + k;
    if (row >= tile.hi || column >= pass.width) return;
    const float first = pass.transposed ? 0 : pass.values[tile.lo * pass.width + column];
    const double all = memory.columns[own_column + k],
                 own = static_cast<double>(pass.values[row * pass.width + column] - first),
                 base = static_cast<double>(base_of(graph, row)),
                 apart = pass.transposed ? all - base * own : base * (all - own);
    float* out = pass.out + row * pass.width + column;
    sum += static_cast<float>(apart + memory.totals[own_row + i] * static_cast<double>(first));
    *out = pass.add ? *out + sum : sum;
  });
}

constexpr int kFactors = 64;  // of dM that one block of threads sums up

template <int kParts>
struct alignas(128) GradientMemory {
  union {
    struct {
      Slice<float, kDepth> left, right;
    };
    Stages stages;
  };
  union {
    // G and V of the tile's rows, then of its stocks.
    alignas(32) Parts<kParts, kTile, kSquare + kAside> slices[4];
    // G_i . V_j, then V_i . G_j.
    alignas(32) float products[2][kTile][kTile + kAside];
    struct {
      alignas(32) Parts<kParts, kTile, kTile + kAside> u;
      alignas(32) Parts<kParts, kTile, kFactors + kAside> m;
    };
  };
};

// Of G_i . V_j the first four warps have 32 rows and 32 stocks each, of V_i . G_j the others; of
// U M a warp has 16 rows and 32 factors.
template <int kParts>
__device__ void gradient(GradientMemory<kParts>& memory, const Similarity<float>& graph,
                         const SimilarityGradient<float>& g) {
  constexpr int kQuarter = 2 * kSquare;
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int64_t first_factor = static_cast<int64_t>(blockIdx.y) * kFactors,
                stride = rounded_columns(g.width), plane = graph.rows * stride,
                m_stride = rounded_columns(graph.factors), m_plane = graph.rows * m_stride;
  const int thread = static_cast<int>(threadIdx.x), y = thread / kSide, x = thread % kSide,
            warp = thread / 32, product = warp / 4, quarter_row = warp % 2 * kQuarter,
            quarter_column = warp / 2 % 2 * kQuarter, own_row = warp % 4 * kSquare,
            own_factor = warp / 4 * kQuarter;
  const int64_t first_row = tile.row + y * kPart;
  const bool has_factors = first_factor + own_factor < graph.factors;
  const Rounded *weighted = reinterpret_cast<const Rounded*>(g.scratch.rounded),
                *values = weighted + kParts * plane, *m = values + kParts * plane + first_factor;
  Sums<1, 2> sums;
  clear(sums);
  for (int64_t j = tile.lo; j < tile.hi; j += kTile) {
    Sums<2, 2> dots, part;
    clear(dots);
    clear(part);
    for (int64_t c = 0; c < g.width; c += kSquare) {
      const auto load = [&](auto& to, const Rounded* from, int64_t row) {
        load_parts<kParts, kSquare>(to, from + c, plane, stride, row, tile.hi, kThreads);
      };
      load(memory.slices[0], weighted, tile.row);
      load(memory.slices[1], values, tile.row);
      load(memory.slices[2], weighted, j);
      load(memory.slices[3], values, j);
      __syncthreads();
      multiply<wmma::col_major>(part, memory.slices[product], quarter_row, 0,
                                memory.slices[3 - product], quarter_column, 0);
      __syncthreads();
      if ((c / kSquare + 1) % 4 == 0) {
        add(dots, part);
        clear(part);
      }
    }
    add(dots, part);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
#pragma unroll
      for (int c = 0; c < 2; ++c)
        wmma::store_matrix_sync(
            &memory.products[product][quarter_row + r * kSquare][quarter_column + c * kSquare],
            dots[r][c], kTile + kAside, wmma::mem_row_major);
    }
    float scores[kPart][kPart];  // a barrier lies behind them
    scores_of<float, kDepth>(scores, memory.left, memory.right, graph, tile, j);
    const int64_t first = j + x * kPart;
    Shifts<float> of_rows, of_columns;
    of_rows.load(graph, first_row, tile.hi);
    of_columns.load(graph, first, tile.hi);
#pragma unroll
    for (int a = 0; a < kPart; ++a) {
#pragma unroll
      for (int b = 0; b < kPart; ++b) {
        const int i = y * kPart + a, k = x * kPart + b;
        const int64_t row = tile.row + i, column = j + k;
        const float score = scores[a][b];
        float value = 0;
        if (row < tile.hi && column < tile.hi && row != column && !(score <= 0)) {
          float exponent;
          value =
              of_rows.weight(a, score, exponent) * (memory.products[0][i][k] - g.mean[row]) +
              of_columns.weight(b, score, exponent) * (memory.products[1][i][k] - g.mean[column]);
        }
        scores[a][b] = value;
      }
    }
    __syncthreads();
#pragma unroll
    for (int a = 0; a < kPart; ++a)
      split<kParts>(scores[a], &memory.u[0][y * kPart + a][x * kPart],
                    sizeof memory.u[0] / sizeof(Rounded));
    load_parts<kParts, kFactors>(memory.m, m, m_plane, m_stride, j, tile.hi, kThreads);
    __syncthreads();
    if (has_factors) {
      Sums<1, 2> add_up;
      clear(add_up);
#pragma unroll
      for (int k = 0; k < kTile; k += kSquare)
        multiply<wmma::row_major>(add_up, memory.u, own_row, k, memory.m, k, own_factor);
      add(sums, add_up);
    }
    __syncthreads();
  }
  store_each(sums, memory.stages[warp], [&](int i, int k, float sum) {
    const int64_t row = tile.row + own_row + i, factor = first_factor + own_factor + k;
    if (row < tile.hi && factor < graph.factors) g.out[row * graph.factors + factor] = sum;
  });
}
#endif

// Four columns of a tile's rows a thread: matrix [rows, width], less its segment's first row where
// `relative`, into `to` [parts, rows, rounded_columns]; sums of its columns, times base_of its row
// where `weighted`, into columns [tiles, rounded_columns] where that is not null.
template <int kParts>
__global__ void __launch_bounds__(kThreads)
    round_kernel(Similarity<float> graph, const float* matrix, int64_t width, bool relative,
                 bool weighted, uint16_t* to, double* columns) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  constexpr int kColumns = 64, kQuads = kColumns / 4, kRows = kThreads / kQuads;
  __shared__ double parts[kRows][kColumns];
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int thread = static_cast<int>(threadIdx.x), quad = thread % kQuads;
  const int64_t stride = rounded_columns(width),
                first = static_cast<int64_t>(blockIdx.y) * kColumns + quad * 4;
  double sums[4] = {};
  for (int64_t row = tile.row + thread / kQuads; row < tile.row + kTile && row < tile.hi;
       row += kRows) {
    float x[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t column = first + i;
      x[i] = column < width
                 ? matrix[row * width + column] - (relative ? matrix[tile.lo * width + column] : 0)
                 : 0;
      sums[i] += static_cast<double>(weighted ? base_of(graph, row) * x[i] : x[i]);
    }
    split<kParts>(x, reinterpret_cast<Rounded*>(to) + row * stride + first, graph.rows * stride);
  }
  if (columns == nullptr) return;
  for (int i = 0; i < 4; ++i) parts[thread / kQuads][quad * 4 + i] = sums[i];
  __syncthreads();
  if (thread >= kColumns) return;
  double sum = 0;
  for (int row = 0; row < kRows; ++row) sum += parts[row][thread];
  columns[blockIdx.x * stride + static_cast<int64_t>(blockIdx.y) * kColumns + thread] = sum;
#endif
}

template <int kParts, int kColumns>
__global__ void __launch_bounds__(kThreads, 2)
    apply_kernel(Similarity<float> graph, SimilarityPass<float> pass) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  __shared__ ApplyMemory<kParts, kColumns> memory;
  apply(memory, graph, pass);
#endif
}

// mean_i = G_i . ((A V)_i - V of the segment's first row), by a warp for each row.
__global__ void relative_means_kernel(Similarity<float> graph, SimilarityGradient<float> g) {
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  for (int64_t row = tile.row + warp; row < tile.row + kTile && row < tile.hi;
       row += kThreads / 32) {
    float product = 0;
    for (int64_t c = lane; c < g.width; c += 32)
      product = fused(g.weighted[row * g.width + c], g.values[tile.lo * g.width + c], product);
    product = sum_over<32>(product);
    if (lane == 0) g.mean[row] -= product;
  }
}

template <int kParts>
__global__ void __launch_bounds__(kThreads, 2)
    gradient_kernel(Similarity<float> graph, SimilarityGradient<float> g) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  __shared__ GradientMemory<kParts> memory;
  gradient(memory, graph, g);
#endif
}

void round(const Similarity<float>& graph, const float* matrix, int64_t width, bool relative,
           bool weighted, uint16_t* to, double* columns, Stream stream) {
  launch(graph.parts == 2 ? round_kernel<2> : round_kernel<1>,
         dim3(count_of(graph.tile_count, 1), count_of(rounded_columns(width), 64)), dim3(kThreads),
         stream, graph, matrix, width, relative, weighted, to, columns);
}

template <int kParts>
void apply_columns(const Similarity<float>& graph, const SimilarityPass<float>& pass,
                   Stream stream) {
  const bool narrow = pass.width <= 64;
  launch(narrow ? apply_kernel<kParts, 64> : apply_kernel<kParts, 128>,
         dim3(count_of(graph.tile_count, 1), count_of(pass.width, narrow ? 64 : 128)),
         dim3(kThreads), stream, graph, pass);
}

}  // namespace

void apply_bf16(const Similarity<float>& graph, const SimilarityPass<float>& pass, Stream stream) {
  round(graph, pass.values, pass.width, !pass.transposed, pass.transposed, pass.scratch.rounded,
        pass.scratch.columns, stream);
  if (graph.parts == 2) return apply_columns<2>(graph, pass, stream);
  apply_columns<1>(graph, pass, stream);
}
void gradient_bf16(const Similarity<float>& graph, const SimilarityGradient<float>& gradient,
                   Stream stream) {
  launch(relative_means_kernel, dim3(count_of(graph.tile_count, 1)), dim3(kThreads), stream, graph,
         gradient);
  const int64_t size = graph.parts * graph.rows * rounded_columns(gradient.width);
  uint16_t* rounded = gradient.scratch.rounded;
  round(graph, gradient.weighted, gradient.width, false, false, rounded, nullptr, stream);
  round(graph, gradient.values, gradient.width, true, false, rounded + size, nullptr, stream);
  round(graph, graph.m, graph.factors, false, false, rounded + 2 * size, nullptr, stream);
  launch(graph.parts == 2 ? gradient_kernel<2> : gradient_kernel<1>,
         dim3(count_of(graph.tile_count, 1), count_of(graph.factors, kFactors)), dim3(kThreads),
         stream, graph, gradient);
}

}  // namespace astgnn::ops::cuda
