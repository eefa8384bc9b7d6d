// One thread per four columns, the words of one counter.
#include "ops/cuda/philox.h"

namespace astgnn::ops::cuda {
namespace {

constexpr int kThreads = 256;

template <class T>
__global__ void dropout_kernel(const T* x, T* out, const int64_t* place, int64_t times,
                               int64_t rows, int64_t columns, DropoutSite site) {
  const int64_t quads = (columns + 3) / 4,
                index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= times * rows * quads) return;
  const int64_t line = index / quads, quad = index % quads, row = line % rows;
  site.where += static_cast<uint32_t>(line / rows);
  const Words words = philox(site, place ? place[row] : row, static_cast<uint32_t>(quad));
  for (int k = 0; k < 4 && 4 * quad + k < columns; ++k) {
    const int64_t at = line * columns + 4 * quad + k;
    out[at] = x[at] * static_cast<T>(words.word[k] > site.dropped ? site.scale : 0.0);
  }
}

}  // namespace

template <class T>
void dropout(const T* x, T* out, const int64_t* place, int64_t times, int64_t rows, int64_t columns,
             const DropoutSite& site, Stream stream) {
  launch(dropout_kernel<T>, dim3(count_of(times * rows * ((columns + 3) / 4), kThreads)),
         dim3(kThreads), stream, x, out, place, times, rows, columns, site);
}

template void dropout(const float*, float*, const int64_t*, int64_t, int64_t, int64_t,
                      const DropoutSite&, Stream);
template void dropout(const double*, double*, const int64_t*, int64_t, int64_t, int64_t,
                      const DropoutSite&, Stream);

}  // namespace astgnn::ops::cuda
