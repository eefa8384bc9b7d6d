// What both forms of graph attention share on the device: a warp works on kLanes entries, a lane on
// one entry or on one column of their vectors.
#pragma once

#include "ops/cuda/kernels.h"
#include "ops/cuda/launch.h"

namespace astgnn::ops::cuda {

constexpr int kWarps = 4, kLanes = 32;

// Products [entry, column]; a column wider than it is against bank conflicts.
using Tile = double[kLanes][kLanes + 1];

// The sum of the lane's own entry, once every lane has written its column.
__device__ inline double entry_sum(const Tile& products, int lane) {
  __syncwarp();
  double sum = 0;
  for (int column = 0; column < kLanes; ++column) sum += products[lane][column];
  __syncwarp();
  return sum;
}

__device__ inline double larger(double a, double b) { return b > a || b != b ? b : a; }  // NaN wins

// The largest of a warp, in every lane.
__device__ inline double largest_over_warp(double value) {
  for (int lane = kLanes / 2; lane > 0; lane /= 2)
    value = larger(value, __shfl_xor_sync(0xffffffffu, value, lane));
  return value;
}

// The gradient of the value that became `dropped`.
template <class T>
__device__ T undropped(double gradient, T dropped, double passed) {
  if (passed == 0) return static_cast<T>(gradient);
  const bool minus_zero = dropped == T(0) && T(1) / dropped < T(0);
  return minus_zero ? T(0) : static_cast<T>(gradient * passed);
}

}  // namespace astgnn::ops::cuda
