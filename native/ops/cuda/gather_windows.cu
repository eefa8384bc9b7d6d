// One thread per feature of a row and kDates of its dates: neighbouring threads read neighbouring
// features of one stock's date. Where a number lies within its date is divided out once a thread,
// in 32 bits.
#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"

namespace astgnn::ops::cuda {
namespace {

constexpr int kThreads = 256;

constexpr int kDates = 20;

template <class T>
__global__ void gather_kernel(const float* panel, const int64_t* date, const int64_t* stock,
                              int64_t stocks, int features, int window, int numbers, T* out,
                              int64_t out_step) {
  const int index = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (index >= numbers) return;
  const int row = index / features, feature = index % features,
            first = static_cast<int>(blockIdx.y) * kDates,
            end = first + kDates < window ? first + kDates : window;
  const int64_t step = stocks * features;  // from a date to the next
  const float* from =
      panel + (date[row] - window + 1 + first) * step + stock[row] * features + feature;
  T* to = out + first * out_step + index;
#pragma unroll 4
  for (int t = first; t < end; ++t, from += step, to += out_step) *to = static_cast<T>(*from);
}

}  // namespace

template <class T>
void gather_windows(const float* panel, const int64_t* date, const int64_t* stock, int64_t stocks,
                    int64_t features, int64_t window, int64_t rows, T* out, Stream stream) {
  if (features == 0) return;
  // Rows whose numbers of one date an int counts, and a block's threads behind the last.
  const int64_t most = (INT32_MAX - kThreads) / features;
  for (int64_t row = 0; row < rows; row += most) {
    const int64_t count = rows - row < most ? rows - row : most;
    launch(gather_kernel<T>, dim3(count_of(count * features, kThreads), count_of(window, kDates)),
           dim3(kThreads), stream, panel, date + row, stock + row, stocks,
           static_cast<int>(features), static_cast<int>(window), static_cast<int>(count * features),
           out + row * features, rows * features);
  }
}

template void gather_windows(const float*, const int64_t*, const int64_t*, int64_t, int64_t,
                             int64_t, int64_t, float*, Stream);
template void gather_windows(const float*, const int64_t*, const int64_t*, int64_t, int64_t,
                             int64_t, int64_t, double*, Stream);

}  // namespace astgnn::ops::cuda
