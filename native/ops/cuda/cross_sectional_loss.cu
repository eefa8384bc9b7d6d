// A block per date and pair, whose threads take every kThreads-th row; all sums in double and in an
// order that the sizes fix. Rows are read from memory once and from the cache after that: 5000 of
// them are 40 KB.
#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"

namespace astgnn::ops::cuda {
namespace {

constexpr int kThreads = 512, kLanes = 32, kWarps = kThreads / kLanes;

struct Sum {
  __device__ static double of(double a, double b) { return a + b; }
};
struct Largest {
  __device__ static double of(double a, double b) { return a > b ? a : b; }
};

// Each value becomes that of all threads of the block together, in every one of them.
template <class Together, int n>
__device__ void over_block(double (&values)[n]) {
  __shared__ double of_warps[n][kWarps];
  const int lane = static_cast<int>(threadIdx.x % kLanes),
            warp = static_cast<int>(threadIdx.x / kLanes);
  for (int k = 0; k < n; ++k) {
    for (int step = kLanes / 2; step > 0; step /= 2)
      values[k] = Together::of(values[k], __shfl_xor_sync(0xffffffffu, values[k], step));
    if (lane == 0) of_warps[k][warp] = values[k];
  }
  __syncthreads();
  for (int k = 0; k < n; ++k) {
    values[k] = of_warps[k][0];
    for (int other = 1; other < kWarps; ++other)
      values[k] = Together::of(values[k], of_warps[k][other]);
  }
  __syncthreads();  // before the next call writes
}

// Neither NaN nor infinite.
template <class T>
__device__ bool is_label(T y) {
  return y - y == T(0);
}

template <class T>
__global__ void forward_kernel(CrossSections<T> c, ColumnPairs pairs) {
  const int64_t date = blockIdx.x, pair = blockIdx.y, lo = c.date_offsets[date],
                hi = c.date_offsets[date + 1], entry = pair * c.dates + date;
  const T* predictions = c.predictions + pairs.prediction[pair];
  const T* labels = c.labels + pairs.label[pair];
  double* slope = c.slopes + pair * c.rows;
  const auto each_row = [&](const auto& body) {
    for (int64_t row = lo + threadIdx.x; row < hi; row += kThreads) {
      const T y = labels[row * c.label_width];
      if (is_label(y))
        body(row, static_cast<double>(predictions[row * c.prediction_width]),
             static_cast<double>(y));
      else
        slope[row] = 0;
    }
  };
  double first[4] = {};  // rows, sums of p, of y and of (p - y)^2
  double ends[2] = {-INFINITY, -INFINITY};
  each_row([&](int64_t, double p, double y) {
    first[0] += 1;
    first[1] += p;
    first[2] += y;
    first[3] += (p - y) * (p - y);
    ends[0] = Largest::of(ends[0], y);
    ends[1] = Largest::of(ends[1], -y);
  });
  over_block<Sum>(first);
  over_block<Largest>(ends);
  const double n = first[0];
  const bool defined = c.mse ? n > 0 : n > 0 && ends[0] != -ends[1];
  if (!defined) {
    for (int64_t row = lo + threadIdx.x; row < hi; row += kThreads) slope[row] = 0;
    if (threadIdx.x == 0) c.values[entry] = c.shares[entry] = 0;
    return;
  }
  if (c.mse) {
    each_row([&](int64_t row, double p, double y) { slope[row] = 2 * (p - y) / n; });
    if (threadIdx.x == 0) {
      c.values[entry] = first[3] / n;
      c.shares[entry] = 1;
    }
    return;
  }
  const double mean_p = first[1] / n, mean_y = first[2] / n;
  double second[3] = {};  // squares of p, of y, and their products, all about the means
  each_row([&](int64_t, double p, double y) {
    second[0] += (p - mean_p) * (p - mean_p);
    second[1] += (y - mean_y) * (y - mean_y);
    second[2] += (p - mean_p) * (y - mean_y);
  });
  over_block<Sum>(second);
  const double a = sqrt(second[0]), b = sqrt(second[1]), scale = a * b + c.eps,
               along_p = a == 0 ? 0 : second[2] * b / (a * scale * scale);
  each_row([&](int64_t row, double p, double y) {
    slope[row] = along_p * (p - mean_p) - (y - mean_y) / scale;
  });
  if (threadIdx.x == 0) {
    c.values[entry] = -second[2] / scale;
    c.shares[entry] = 1;
  }
}

// One block: the mean over dates of the mean over a date's pairs, and what each counted in it.
__global__ void mean_kernel(const double* values, double* shares, int64_t pairs, int64_t dates,
                            double* mean) {
  double sums[2] = {};  // means of dates, dates that are defined
  for (int64_t date = threadIdx.x; date < dates; date += kThreads) {
    double sum = 0, defined = 0;
    for (int64_t pair = 0; pair < pairs; ++pair) {
      sum += values[pair * dates + date];
      defined += shares[pair * dates + date];
    }
    if (defined == 0) continue;
    for (int64_t pair = 0; pair < pairs; ++pair) shares[pair * dates + date] /= defined;
    sums[0] += sum / defined;
    sums[1] += 1;
  }
  over_block<Sum>(sums);
  for (int64_t date = threadIdx.x; date < dates && sums[1] > 0; date += kThreads) {
    for (int64_t pair = 0; pair < pairs; ++pair) shares[pair * dates + date] /= sums[1];
  }
  if (threadIdx.x == 0) *mean = sums[0] / sums[1];
}

// A block per date and column of the predictions.
template <class T>
__global__ void backward_kernel(CrossSectionGradients<T> g, ColumnPairs pairs, bool add) {
  const int64_t date = blockIdx.x, column = blockIdx.y, lo = g.date_offsets[date];
  // Rows behind the last date have no loss.
  const int64_t hi = g.date_offsets[date + 1], end = date + 1 == g.dates ? g.rows : hi;
  for (int64_t row = lo + threadIdx.x; row < end; row += kThreads) {
    double sum = 0;
    for (int pair = 0; pair < pairs.count && row < hi; ++pair) {
      const double share = g.shares[pair * g.dates + date];
      if (pairs.prediction[pair] == column && share != 0)
        sum += *g.grad * share * g.slopes[pair * g.rows + row];
    }
    T* out = g.dpredictions + row * g.prediction_width + column;
    *out = static_cast<T>(sum) + (add ? *out : T(0));
  }
}

}  // namespace

template <class T>
void cross_sections(const CrossSections<T>& sections, const ColumnPairs& pairs, Stream stream) {
  launch(forward_kernel<T>, dim3(count_of(sections.dates, 1), count_of(pairs.count, 1)),
         dim3(kThreads), stream, sections, pairs);
}

void cross_sections_mean(const double* values, double* shares, int64_t pairs, int64_t dates,
                         double* mean, Stream stream) {
  launch(mean_kernel, dim3(1), dim3(kThreads), stream, values, shares, pairs, dates, mean);
}

template <class T>
void cross_sections_backward(const CrossSectionGradients<T>& gradients, const ColumnPairs& pairs,
                             bool add, Stream stream) {
  launch(backward_kernel<T>,
         dim3(count_of(gradients.dates, 1), count_of(gradients.prediction_width, 1)),
         dim3(kThreads), stream, gradients, pairs, add);
}

template void cross_sections(const CrossSections<float>&, const ColumnPairs&, Stream);
template void cross_sections(const CrossSections<double>&, const ColumnPairs&, Stream);
template void cross_sections_backward(const CrossSectionGradients<float>&, const ColumnPairs&, bool,
                                      Stream);
template void cross_sections_backward(const CrossSectionGradients<double>&, const ColumnPairs&,
                                      bool, Stream);

}  // namespace astgnn::ops::cuda
