// The graph of the TGC as matrices, date by date: cuBLAS makes the scores and multiplies what these
// kernels make of them in place. Dates of fewer rows than the largest have rows and columns of 0
// behind theirs. A matrix of 5,000 x 5,000 is 100 MB, read and written once: 137 us on an H100.
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

// The row of a block of threads: its place, and where its entries begin.
struct Row {
  int64_t lo, size, place, first;
  bool inside;

  template <class T>
  __device__ explicit Row(const SimilarityMatrix<T>& matrix) {
    const int64_t date = blockIdx.y, row = blockIdx.x;
    lo = matrix.bounds[date];
    size = matrix.bounds[date + 1] - lo;
    place = lo + row;
    first = (date * matrix.rows + row) * matrix.rows;
    inside = row < size;
  }
};

template <class T>
__global__ void weights_kernel(Similarity<T> graph, SimilarityMatrix<T> matrix) {
  const Row row(matrix);
  T* entries = matrix.entries + row.first;
  const T scale = *graph.scale;
  double total = 0, moment = 0;
  for (int64_t j = threadIdx.x; j < matrix.rows; j += kThreads) {
    T weight = 0, exponent = 0;
    const bool own = row.lo + j == row.place;
    if (row.inside && j < row.size && (graph.self || !own))
      weight = weight_of(graph, entries[j] * scale, row.place, exponent);
    if (weight != T(0)) moment += static_cast<double>(weight * exponent);
    if (!own) total += static_cast<double>(weight);
    if (own && row.inside && matrix.others) matrix.own[row.place] = weight;
    entries[j] = own ? T(0) : weight;
  }
  if (!matrix.others || !row.inside) return;
  sum_over_block(total, moment);
  if (threadIdx.x > 0) return;
  matrix.others[row.place] = total;
  matrix.moments[row.place] = moment;
}

// The mean is that of these very products, so that a row's slopes add up to 0 as they should.
template <class T>
__global__ void slopes_kernel(Similarity<T> graph, SimilarityMatrix<T> matrix, T* all_products) {
  __shared__ T mean;
  const Row row(matrix);
  T *entries = matrix.entries + row.first, *products = all_products + row.first;
  const T scale = *graph.scale;
  double total = 0, product = 0;
  for (int64_t j = threadIdx.x; j < matrix.rows; j += kThreads) {
    const T score = entries[j] * scale;
    T weight = 0, exponent;
    const bool own = row.lo + j == row.place;
    if (row.inside && j < row.size && (graph.self || !own))
      weight = weight_of(graph, score, row.place, exponent);
    total += static_cast<double>(weight);
    product += static_cast<double>(weight) * static_cast<double>(products[j]);
    entries[j] = own || score <= T(0) ? -weight : weight;  // without a slope: not above 0
  }
  sum_over_block(total, product);
  if (threadIdx.x == 0) mean = total == 0 ? T(0) : static_cast<T>(product / total);
  __syncthreads();
  for (int64_t j = threadIdx.x; j < matrix.rows; j += kThreads) {
    const T weight = entries[j];
    products[j] = weight <= T(0) ? T(0) : weight * (products[j] - mean);
  }
}

template <class T>
dim3 grid_of(const SimilarityMatrix<T>& matrix) {
  return dim3(count_of(matrix.rows, 1), count_of(matrix.dates, 1));
}

}  // namespace

template <class T>
void similarity_weights(const Similarity<T>& graph, const SimilarityMatrix<T>& matrix,
                        Stream stream) {
  launch(weights_kernel<T>, grid_of(matrix), dim3(kThreads), stream, graph, matrix);
}
template <class T>
void similarity_slopes(const Similarity<T>& graph, const SimilarityMatrix<T>& matrix, T* products,
                       Stream stream) {
  launch(slopes_kernel<T>, grid_of(matrix), dim3(kThreads), stream, graph, matrix, products);
}

template void similarity_weights(const Similarity<float>&, const SimilarityMatrix<float>&, Stream);
template void similarity_weights(const Similarity<double>&, const SimilarityMatrix<double>&,
                                 Stream);
template void similarity_slopes(const Similarity<float>&, const SimilarityMatrix<float>&, float*,
                                Stream);
template void similarity_slopes(const Similarity<double>&, const SimilarityMatrix<double>&, double*,
                                Stream);

}  // namespace astgnn::ops::cuda
