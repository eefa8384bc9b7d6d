// One thread per number; neighbouring threads read neighbouring features of one stock's date.
#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"

namespace astgnn::ops::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void gather_kernel(const float* panel, const int64_t* date, const int64_t* stock,
                              int64_t stocks, int64_t features, int64_t window, int64_t rows,
                              T* out) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= window * rows * features) return;
  const int64_t f = index % features, row = index / features % rows, t = index / features / rows;
  const int64_t day = date[row] - window + 1 + t;
  out[index] = static_cast<T>(panel[(day * stocks + stock[row]) * features + f]);
}

}  // namespace

template <class T>
void gather_windows(const float* panel, const int64_t* date, const int64_t* stock, int64_t stocks,
                    int64_t features, int64_t window, int64_t rows, T* out, Stream stream) {
  launch(gather_kernel<T>, dim3(count_of(window * rows * features, kThreads)), dim3(kThreads),
         stream, panel, date, stock, stocks, features, window, rows, out);
}

template void gather_windows(const float*, const int64_t*, const int64_t*, int64_t, int64_t,
                             int64_t, int64_t, float*, Stream);
template void gather_windows(const float*, const int64_t*, const int64_t*, int64_t, int64_t,
                             int64_t, int64_t, double*, Stream);

}  // namespace astgnn::ops::cuda
