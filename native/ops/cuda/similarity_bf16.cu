// The two products over pairs of stocks once more, on tensor cores: every factor is the sum of one
// or two bf16 values, sums are float32. Scores, and the exponentials that they are amplified by,
// stay float32 as in similarity.cu: one product over a few factors is cheap, and its sign decides.
//
// What all stocks have in common is taken off before anything is rounded, because the layers before
// may leave stocks that differ by less than bf16 resolves: V is taken relative to its segment's
// first row, and a weight relative to the smallest that its row can have, base = exp(-peak): A V =
// (A - base) V + base (sum of V). Where A is close to the plain average little is left to round.
// With thresholds, under which a weight may be 0, base is 0. The weights that are summed up are
// those that were multiplied, so a row of A adds up to 1 whatever rounding did.
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

struct Scores {
  Slice<float> left, right;
};
using Stages = float[kWarps][kSquare][kSquare];

__device__ inline float base_of(const Similarity<float>& graph, int64_t row) {
  return graph.threshold ? 0.0f : exp(-graph.peak[row]);
}

template <int kParts>
struct alignas(128) ApplyMemory {
  union {
    Scores scores;
    Stages stages;
  };
  alignas(32) Parts<kParts, kTile, kTile + kAside> weights;
  alignas(32) Parts<kParts, kDepthOfV, kColumns + kAside> values;
  float base[kTile];         // of the tile's rows, or of its stocks where A is transposed
  double columns[kThreads];  // halves of the sums of V, times base where A is transposed
  double totals[kTile];      // of the rows' weights
};

// A warp has 32 rows and 32 columns of the 64 x 128 sums.
template <int kParts>
__device__ void apply(ApplyMemory<kParts>& memory, const Similarity<float>& graph,
                      const SimilarityPass<float>& pass) {
  constexpr int kQuarter = 2 * kSquare;
  const SimilarityTile tile = graph.tiles[blockIdx.x];
  const int64_t first_column = static_cast<int64_t>(blockIdx.y) * kColumns;
  const int thread = static_cast<int>(threadIdx.x), y = thread / kSide, x = thread % kSide,
            warp = thread / 32, own_row = warp % 2 * kQuarter, own_column = warp / 2 * kQuarter;
  const bool collects = pass.others && blockIdx.y == 0;
  const int column_of_v = thread % kColumns;
  const float first = first_column + column_of_v < pass.width
                          ? pass.values[tile.lo * pass.width + first_column + column_of_v]
                          : 0;
  Sums<2, 2> sums;
  clear(sums);
  double others[kPart] = {}, moments[kPart] = {}, column_sum = 0;
  if (!pass.transposed && thread < kTile)
    memory.base[thread] = tile.row + thread < tile.hi ? base_of(graph, tile.row + thread) : 0;
  for (int64_t j = tile.lo; j < tile.hi; j += kTile) {
    if (pass.transposed && thread < kTile)
      memory.base[thread] = j + thread < tile.hi ? base_of(graph, j + thread) : 0;
    float scores[kPart][kPart];
    scores_of<float>(scores, memory.scores.left, memory.scores.right, graph, tile, j);
    for (int a = 0; a < kPart; ++a) {
      float total = 0, moment = 0;
      for (int b = 0; b < kPart; ++b) {
        const int64_t row = tile.row + y + a * kSide, column = j + x + b * kSide;
        const bool inside = row < tile.hi && column < tile.hi;
        float weight = 0, exponent = 0, beyond = 0;
        if (inside)
          weight = weight_of(graph, scores[a][b], pass.transposed ? column : row, exponent);
        if (inside && column != row) {
          const float base = memory.base[pass.transposed ? x + b * kSide : y + a * kSide];
          beyond = split<kParts>(weight - base, memory.weights, y + a * kSide, x + b * kSide);
          weight = base + beyond;
          total += weight;
          if (weight != 0) moment += weight * exponent;
        } else {
          split<kParts>(0, memory.weights, y + a * kSide, x + b * kSide);
          if (inside && collects) {
            pass.own[row] = graph.self ? weight : 0;
            if (graph.self && weight != 0) moment += weight * exponent;
          }
        }
      }
      others[a] += static_cast<double>(total);
      moments[a] += static_cast<double>(moment);
    }
    Sums<2, 2> part;
    clear(part);
    float seen = 0;
    for (int depth = 0; depth < kTile && j + depth < tile.hi; depth += kDepthOfV) {
      const int column = column_of_v;
      for (int row = thread / kColumns; row < kDepthOfV; row += kThreads / kColumns) {
        const int64_t from = j + depth + row;
        const bool inside = from < tile.hi && first_column + column < pass.width;
        const float value =
            inside ? pass.values[from * pass.width + first_column + column] - first : 0;
        split<kParts>(value, memory.values, row, column);
        seen += pass.transposed ? memory.base[depth + row] * value : value;
      }
      __syncthreads();
#pragma unroll
      for (int k = 0; k < kDepthOfV; k += kSquare)
        multiply<wmma::row_major>(part, memory.weights, own_row, depth + k, memory.values, k,
                                  own_column);
      __syncthreads();
    }
    add(sums, part);
    column_sum += static_cast<double>(seen);
  }
  for (int a = 0; a < kPart; ++a) {
    const int64_t row = tile.row + y + a * kSide;
    const double total = sum_over<kSide>(others[a]), moment = sum_over<kSide>(moments[a]);
    if (x == 0) memory.totals[y + a * kSide] = total;
    if (collects && x == 0 && row < tile.hi) {
      pass.others[row] = total;
      pass.moments[row] = moment;
    }
  }
  memory.columns[thread] = column_sum;
  __syncthreads();
  store_each(sums, memory.stages[warp], [&](int i, int k, float sum) {
    const int64_t row = tile.row + own_row + i, column = first_column + own_column + k;
    if (row >= tile.hi || column >= pass.width) return;
    const float first = pass.values[tile.lo * pass.width + column];
    const double all = memory.columns[own_column + k] + memory.columns[kColumns + own_column + k],
                 own = static_cast<double>(pass.values[row * pass.width + column] - first),
                 base = static_cast<double>(base_of(graph, row)),
                 apart = pass.transposed ? all - base * own : base * (all - own);
    float* out = pass.out + row * pass.width + column;
    sum += static_cast<float>(apart + memory.totals[own_row + i] * static_cast<double>(first));
    *out = pass.add ? *out + sum : sum;
  });
}

template <int kParts>
struct alignas(128) GradientMemory {
  union {
    Scores scores;
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
  const int64_t first_factor = static_cast<int64_t>(blockIdx.y) * kFactors;
  const int thread = static_cast<int>(threadIdx.x), y = thread / kSide, x = thread % kSide,
            warp = thread / 32, product = warp / 4, quarter_row = warp % 2 * kQuarter,
            quarter_column = warp / 2 % 2 * kQuarter, own_row = warp % 4 * kSquare,
            own_factor = warp / 4 * kQuarter;
  const bool has_factors = first_factor + own_factor < graph.factors;
  Sums<1, 2> sums;
  clear(sums);
  for (int64_t j = tile.lo; j < tile.hi; j += kTile) {
    Sums<2, 2> dots, part;
    clear(dots);
    clear(part);
    for (int64_t c = 0; c < g.width; c += kSquare) {
      for (int at = thread; at < 4 * kTile * kSquare; at += kThreads) {
        const int which = at / (kTile * kSquare), i = at / kSquare % kTile, k = at % kSquare;
        const int64_t row = (which < 2 ? tile.row : j) + i;
        float value = 0;
        if (row < tile.hi && c + k < g.width)
          value = which % 2 == 0
                      ? g.weighted[row * g.width + c + k]
                      : g.values[row * g.width + c + k] - g.values[tile.lo * g.width + c + k];
        split<kParts>(value, memory.slices[which], i, k);
      }
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
    scores_of<float>(scores, memory.scores.left, memory.scores.right, graph, tile, j);
    for (int a = 0; a < kPart; ++a) {
      for (int b = 0; b < kPart; ++b) {
        const int i = y + a * kSide, k = x + b * kSide;
        const int64_t row = tile.row + i, column = j + k;
        const float score = scores[a][b];
        float value = 0;
        if (row < tile.hi && column < tile.hi && row != column && !(score <= 0)) {
          float exponent;
          value =
              weight_of(graph, score, row, exponent) * (memory.products[0][i][k] - g.mean[row]) +
              weight_of(graph, score, column, exponent) *
                  (memory.products[1][i][k] - g.mean[column]);
        }
        scores[a][b] = value;
      }
    }
    __syncthreads();
    for (int a = 0; a < kPart; ++a) {
      for (int b = 0; b < kPart; ++b)
        split<kParts>(scores[a][b], memory.u, y + a * kSide, x + b * kSide);
    }
    for (int at = thread; at < kTile * kFactors; at += kThreads) {
      const int i = at / kFactors, k = at % kFactors;
      const bool inside = j + i < tile.hi && first_factor + k < graph.factors;
      split<kParts>(inside ? graph.m[(j + i) * graph.factors + first_factor + k] : 0, memory.m, i,
                    k);
    }
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

template <int kParts>
__global__ void __launch_bounds__(kThreads, 2)
    apply_kernel(Similarity<float> graph, SimilarityPass<float> pass) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
  __shared__ ApplyMemory<kParts> memory;
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

}  // namespace

void apply_bf16(const Similarity<float>& graph, const SimilarityPass<float>& pass, Stream stream) {
  launch(graph.parts == 2 ? apply_kernel<2> : apply_kernel<1>,
         dim3(count_of(graph.tile_count, 1), count_of(pass.width, kColumns)), dim3(kThreads),
         stream, graph, pass);
}
void gradient_bf16(const Similarity<float>& graph, const SimilarityGradient<float>& gradient,
                   Stream stream) {
  launch(relative_means_kernel, dim3(count_of(graph.tile_count, 1)), dim3(kThreads), stream, graph,
         gradient);
  launch(graph.parts == 2 ? gradient_kernel<2> : gradient_kernel<1>,
         dim3(count_of(graph.tile_count, 1), count_of(graph.factors, kFactors)), dim3(kThreads),
         stream, graph, gradient);
}

}  // namespace astgnn::ops::cuda
