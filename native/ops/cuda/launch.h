// For .cu files. As CUDA they launch; as plain C++ the includer has defined all of this already.
#pragma once

#ifndef ASTGNN_EMULATED_CUDA

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace astgnn::ops::cuda {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, void* stream,
            const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  kernel<<<grid, block, 0, static_cast<cudaStream_t>(stream)>>>(arguments...);
  if (const cudaError_t error = cudaGetLastError(); error != cudaSuccess)
    throw std::runtime_error(std::string("A CUDA kernel was not launched: ") +
                             cudaGetErrorString(error) + ".");
}

}  // namespace astgnn::ops::cuda

#endif

namespace astgnn::ops::cuda {

inline unsigned int count_of(int64_t total, int64_t each) {
  return static_cast<unsigned int>((total + each - 1) / each);
}

// The sum over kLanes neighbouring threads of a warp, in every one of them.
template <int kLanes, class T>
__device__ T sum_over(T value) {
  for (int lane = kLanes / 2; lane > 0; lane /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, lane);
  return value;
}

}  // namespace astgnn::ops::cuda
