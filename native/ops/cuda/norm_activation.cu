// A warp per row; what is summed over rows is summed per range of rows, in a fixed order.
#include "ops/cuda/philox.h"

namespace astgnn::ops::cuda {
namespace {

constexpr int kWarps = 4, kLanes = 32;
constexpr int kRelu = 1, kTanh = 2;

// The gradient before the activation. y > 0 says both that ReLU let it pass and that it was kept.
template <class T>
__device__ T through(int activation, T grad, T y, T passed) {
  if (activation == kRelu) return y > T(0) ? grad * passed : T(0);
  return activation == kTanh ? grad * (T(1) - y * y) : grad;
}

template <class T>
__global__ void forward_kernel(NormRows<T> rows, DropoutSite site) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kLanes;
  const int lane = static_cast<int>(threadIdx.x % kLanes);
  if (row >= rows.rows) return;
  const T* x = rows.x + row * rows.columns;
  T sum = 0, squares = 0;
  for (int64_t c = lane; c < rows.columns; c += kLanes) sum += x[c];
  const T mean = sum_over<kLanes>(sum) / static_cast<T>(rows.columns);
  for (int64_t c = lane; c < rows.columns; c += kLanes) squares += (x[c] - mean) * (x[c] - mean);
  const T variance = sum_over<kLanes>(squares) / static_cast<T>(rows.columns),
          inverse = T(1) / sqrt(variance + rows.eps);
  if (lane == 0) {
    rows.moments[2 * row] = mean;
    rows.moments[2 * row + 1] = inverse;
  }
  for (int64_t c = lane; c < rows.columns; c += kLanes) {
    T y = (x[c] - mean) * inverse * rows.weight[c] + rows.bias[c];
    if (rows.residual) y += rows.residual[row * rows.columns + c];
    if (rows.activation == kRelu) y = y < T(0) ? T(0) : y;  // NaN stays
    if (rows.activation == kTanh) y = tanh(y);
    if (site.scale != 0) y *= static_cast<T>(dropout_factor(site, row, c));
    rows.y[row * rows.columns + c] = y;
  }
}

template <class T>
__global__ void backward_kernel(NormGradients<T> g) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / kLanes;
  const int lane = static_cast<int>(threadIdx.x % kLanes);
  if (row >= g.rows) return;
  const int64_t first = row * g.columns;
  const T mean = g.moments[2 * row], inverse = g.moments[2 * row + 1];
  T sum = 0, product = 0;
  for (int64_t c = lane; c < g.columns; c += kLanes) {
    const T h = through(g.activation, g.grad[first + c], g.y[first + c], g.passed) * g.weight[c];
    sum += h;
    product += h * (g.x[first + c] - mean) * inverse;
  }
  const T mean_h = sum_over<kLanes>(sum) / static_cast<T>(g.columns),
          mean_hn = sum_over<kLanes>(product) / static_cast<T>(g.columns);
  for (int64_t c = lane; c < g.columns; c += kLanes) {
    const T before = through(g.activation, g.grad[first + c], g.y[first + c], g.passed);
    const T n = (g.x[first + c] - mean) * inverse;
    g.dx[first + c] = (before * g.weight[c] - mean_h - n * mean_hn) * inverse;
    if (g.dresidual) g.dresidual[first + c] = before;
  }
}

// One block per kLanes columns and range of rows; warps take every kWarps-th row.
template <class T>
__global__ void sums_kernel(NormGradients<T> g) {
  __shared__ double weights[kWarps][kLanes], biases[kWarps][kLanes];  // terms may cancel
  const int lane = static_cast<int>(threadIdx.x % kLanes),
            warp = static_cast<int>(threadIdx.x / kLanes);
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kLanes + lane,
                begin = static_cast<int64_t>(blockIdx.y) * kNormRange,
                end = begin + kNormRange < g.rows ? begin + kNormRange : g.rows;
  double weight = 0, bias = 0;
  if (column < g.columns) {
    for (int64_t row = begin + warp; row < end; row += kWarps) {
      const int64_t at = row * g.columns + column;
      const T before = through(g.activation, g.grad[at], g.y[at], g.passed);
      weight +=
          static_cast<double>(before * (g.x[at] - g.moments[2 * row]) * g.moments[2 * row + 1]);
      bias += static_cast<double>(before);
    }
  }
  weights[warp][lane] = weight;
  biases[warp][lane] = bias;
  __syncthreads();
  if (warp > 0 || column >= g.columns) return;
  for (int other = 1; other < kWarps; ++other) {
    weight += weights[other][lane];
    bias += biases[other][lane];
  }
  double* sums = g.sums + static_cast<int64_t>(blockIdx.y) * 2 * g.columns;
  sums[column] = weight;
  sums[g.columns + column] = bias;
}

}  // namespace

template <class T>
void norm_forward(const NormRows<T>& rows, const DropoutSite& site, Stream stream) {
  launch(forward_kernel<T>, dim3(count_of(rows.rows, kWarps)), dim3(kWarps * kLanes), stream, rows,
         site);
}

template <class T>
void norm_backward(const NormGradients<T>& gradients, Stream stream) {
  launch(backward_kernel<T>, dim3(count_of(gradients.rows, kWarps)), dim3(kWarps * kLanes), stream,
         gradients);
  launch(sums_kernel<T>,
         dim3(count_of(gradients.columns, kLanes), count_of(gradients.rows, kNormRange)),
         dim3(kWarps * kLanes), stream, gradients);
}

template void norm_forward(const NormRows<float>&, const DropoutSite&, Stream);
template void norm_forward(const NormRows<double>&, const DropoutSite&, Stream);
template void norm_backward(const NormGradients<float>&, Stream);
template void norm_backward(const NormGradients<double>&, Stream);

}  // namespace astgnn::ops::cuda
