// The graph of the TGC as matrices, block of rows by block of rows: cuBLAS makes the scores and
// multiplies what these kernels make of them in place. A block of 5,000 x 5,000 is 100 MB, read and
// written once: 70 us on an H100.
#include "ops/cuda/similarity_tile.h"

namespace astgnn::ops::cuda {
namespace {

constexpr int kWarps = kThreads / 32;

// Sums of two numbers over the threads of a block, in its first thread.
__device__ void sum_over_block(double& a, double& b) {
  __shared__ double sums[kWarps][2];
  a = sum_over<32>(a);
  b = sum_over<32>(b);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread % 32 == 0) {
    sums[thread / 32][0] = a;
    sums[thread / 32][1] = b;
  }
  __syncthreads();
  if (thread > 0) return;
  for (int warp = 1; warp < kWarps; ++warp) {
    a += sums[warp][0];
    b += sums[warp][1];
  }
}

// A row of the block for each block of threads.
template <class T>
__global__ void weights_kernel(Similarity<T> graph, SimilarityBlock<T> block) {
  const int64_t row = block.row + blockIdx.x;
  T* entries = block.entries + static_cast<int64_t>(blockIdx.x) * (block.hi - block.lo);
  const T scale = *graph.scale;
  double total = 0, moment = 0;
  for (int64_t j = threadIdx.x; j < block.hi - block.lo; j += kThreads) {
    T exponent;
    T weight = weight_of(graph, entries[j] * scale, row, exponent);
    const bool own = block.lo + j == row;
    if (own && !graph.self) weight = 0;
    if (weight != T(0)) moment += static_cast<double>(weight * exponent);
    if (!own) total += static_cast<double>(weight);
    if (own && block.others) block.own[row] = weight;
    entries[j] = own ? T(0) : weight;
  }
  if (!block.others) return;
  sum_over_block(total, moment);
  if (threadIdx.x > 0) return;
  block.others[row] = total;
  block.moments[row] = moment;
}

// The mean is that of these very products, so that a row's slopes add up to 0 as they should.
template <class T>
__global__ void slopes_kernel(Similarity<T> graph, SimilarityBlock<T> block, T* products) {
  __shared__ T mean;
  const int64_t row = block.row + blockIdx.x, columns = block.hi - block.lo,
                first = static_cast<int64_t>(blockIdx.x) * columns;
  const T scale = *graph.scale;
  double total = 0, product = 0;
  for (int64_t j = threadIdx.x; j < columns; j += kThreads) {
    T exponent;
    const T score = block.entries[first + j] * scale;
    T weight = weight_of(graph, score, row, exponent);
    const bool own = block.lo + j == row;
    if (own && !graph.self) weight = 0;
    total += static_cast<double>(weight);
    product += static_cast<double>(weight) * static_cast<double>(products[first + j]);
    block.entries[first + j] =
        own || score <= T(0) ? -weight : weight;  // without a slope: not above 0
  }
  sum_over_block(total, product);
  if (threadIdx.x == 0) mean = total == 0 ? T(0) : static_cast<T>(product / total);
  __syncthreads();
  for (int64_t j = threadIdx.x; j < columns; j += kThreads) {
    const T weight = block.entries[first + j];
    products[first + j] = weight <= T(0) ? T(0) : weight * (products[first + j] - mean);
  }
}

}  // namespace

template <class T>
void similarity_weights(const Similarity<T>& graph, const SimilarityBlock<T>& block,
                        Stream stream) {
  launch(weights_kernel<T>, dim3(count_of(block.rows, 1)), dim3(kThreads), stream, graph, block);
}
template <class T>
void similarity_slopes(const Similarity<T>& graph, const SimilarityBlock<T>& block, T* products,
                       Stream stream) {
  launch(slopes_kernel<T>, dim3(count_of(block.rows, 1)), dim3(kThreads), stream, graph, block,
         products);
}

template void similarity_weights(const Similarity<float>&, const SimilarityBlock<float>&, Stream);
template void similarity_weights(const Similarity<double>&, const SimilarityBlock<double>&, Stream);
template void similarity_slopes(const Similarity<float>&, const SimilarityBlock<float>&, float*,
                                Stream);
template void similarity_slopes(const Similarity<double>&, const SimilarityBlock<double>&, double*,
                                Stream);

}  // namespace astgnn::ops::cuda
