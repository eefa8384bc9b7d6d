// What a graph looks like, date by date, from the sums of its rows: a block of threads per date, so
// that the host need not know where a date begins. 40,000 rows of 20 bytes, 0.8 MB.
#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"

namespace astgnn::ops::cuda {
namespace {

constexpr int kThreads = 256, kWarp = 32;

template <class T>
__global__ void statistics_kernel(SimilarityStatistics<T> rows, double* out) {
  __shared__ double warps[kThreads / kWarp][3];
  const int64_t lo = rows.bounds[blockIdx.x], hi = rows.bounds[blockIdx.x + 1];
  double neighbours = 0, self = 0, somebody = 0;
  for (int64_t row = lo + threadIdx.x; row < hi; row += kThreads) {
    const double own = static_cast<double>(rows.own[row]), total = rows.others[row] + own;
    if (total == 0) continue;  // NaN counts as somebody and shows
    neighbours += exp(log(total) - rows.moments[row] / total);
    self += own / total;
    somebody += 1;
  }
  neighbours = sum_over<kWarp>(neighbours);
  self = sum_over<kWarp>(self);
  somebody = sum_over<kWarp>(somebody);
  if (threadIdx.x % kWarp == 0) {
    double* const sums = warps[threadIdx.x / kWarp];
    sums[0] = neighbours;
    sums[1] = self;
    sums[2] = somebody;
  }
  __syncthreads();
  if (threadIdx.x > 0) return;
  for (int warp = 1; warp < kThreads / kWarp; ++warp) {
    neighbours += warps[warp][0];
    self += warps[warp][1];
    somebody += warps[warp][2];
  }
  const double count = static_cast<double>(hi - lo);  // 0 / 0 is NaN
  out[3 * blockIdx.x] = neighbours / somebody;
  out[3 * blockIdx.x + 1] = self / count;
  out[3 * blockIdx.x + 2] = 1 - somebody / count;
}

}  // namespace

template <class T>
void similarity_statistics(const SimilarityStatistics<T>& rows, double* out, Stream stream) {
  launch(statistics_kernel<T>, dim3(count_of(rows.dates, 1)), dim3(kThreads), stream, rows, out);
}

template void similarity_statistics(const SimilarityStatistics<float>&, double*, Stream);
template void similarity_statistics(const SimilarityStatistics<double>&, double*, Stream);

}  // namespace astgnn::ops::cuda
