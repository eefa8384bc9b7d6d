// What CUDA's runtime is asked.
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include "ops/cuda/device.h"

namespace astgnn::ops::cuda {

Stream current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

bool has_bf16(c10::DeviceIndex device) {
  int major = 0;
  return cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
         major >= 8;
}

bool has_shared_memory(c10::DeviceIndex device, int64_t bytes) {
  int most = 0;
  return cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) ==
             cudaSuccess &&
         most >= bytes;
}

int64_t multiprocessors(c10::DeviceIndex device) {
  int count = 0;
  return cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) == cudaSuccess
             ? count
             : 1;
}

}  // namespace astgnn::ops::cuda
