// For .cu files. As CUDA they launch; as plain C++ the includer has defined all of this already.
#pragma once

#ifndef ASTGNN_EMULATED_CUDA

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace astgnn::ops::cuda {

// Shared memory of a size that only the launch states (launch_with): more than 48 KB.
#define ASTGNN_LARGE_SHARED(Type, name)                     \
  extern __shared__ __align__(16) unsigned char bytes_of[]; \
  Type& name = *reinterpret_cast<Type*>(bytes_of)

inline void check_launched(cudaError_t error) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string("A CUDA kernel was not launched: ") +
                             cudaGetErrorString(error) + ".");
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, void* stream,
            const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  kernel<<<grid, block, 0, static_cast<cudaStream_t>(stream)>>>(arguments...);
  check_launched(cudaGetLastError());
}

template <class... Parameters, class... Arguments>
void launch_with(size_t shared, void (*kernel)(Parameters...), dim3 grid, dim3 block, void* stream,
                 const Arguments&... arguments) {
  if (grid.x == 0 || grid.y == 0) return;
  check_launched(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                      static_cast<int>(shared)));
  kernel<<<grid, block, shared, static_cast<cudaStream_t>(stream)>>>(arguments...);
  check_launched(cudaGetLastError());
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
