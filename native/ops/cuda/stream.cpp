// What CUDA's runtime is asked.
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <array>
#include <atomic>

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

// Asked once for each device: no capture need know whether it may.
int64_t device_memory(c10::DeviceIndex device) {
  static std::array<std::atomic<int64_t>, 64> known;
  const c10::cuda::CUDAGuard guard(device);
  size_t free = 0, total = 0;
  auto& own = known.at(static_cast<size_t>(device));
  if (own == 0 && cudaMemGetInfo(&free, &total) == cudaSuccess) own = static_cast<int64_t>(total);
  return own;
}

int64_t multiprocessors(c10::DeviceIndex device) {
  int count = 0;
  return cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) == cudaSuccess
             ? count
             : 1;
}

}  // namespace astgnn::ops::cuda
