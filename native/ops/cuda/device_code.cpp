#include "ops/cuda/device_code.h"

#include <cuda_runtime_api.h>

// For the loader, which finds it by name (lib/binding/load.ts): why one of the GPUs runs none of
// this library's code; null where all do.
extern "C" __attribute__((visibility("default"))) const char* astgnn_cuda_lacks_code() {
  static std::string text;
  int count = 0, driver = 0, major = 0, minor = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || cudaDriverGetVersion(&driver) != cudaSuccess)
    return nullptr;  // the runtime says more of this itself
  text.clear();
  for (int device = 0; device < count && text.empty(); ++device) {
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess)
      continue;
    text = astgnn::ops::cuda::lacks_code({ASTGNN_CUDA_CODE, CUDART_VERSION}, major, minor, driver);
  }
  return text.empty() ? nullptr : text.c_str();
}
