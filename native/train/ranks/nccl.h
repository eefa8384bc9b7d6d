// All-gather among GPUs by NCCL, which LibTorch's CUDA side brings. A few functions of its C
// interface, looked up by name: no build needs NCCL's headers or CUDA's.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

namespace astgnn::ranks {

// Machine and bus address of a GPU, the same from every process; "" where there is no NCCL.
std::string address_of_gpu(at::Device device);

class Nccl {
 public:
  // What all members are given, made by one of them.
  static std::string make_id();
  // Waits for the others. Throws c10::Error.
  Nccl(at::Device device, const std::string& id, int64_t rank, int64_t size);
  // [size, bytes] of everybody's [bytes], equally many, behind what the current stream does. Waits
  // for them, and meanwhile calls `look`, which may throw.
  at::Tensor gather(const at::Tensor& message, const std::function<void()>& look);
  // Ends what the GPU waits for. No other call may follow.
  void abort();

 private:
  at::Device device_;
  int64_t size_;
  void* communicator_ = nullptr;
};

}  // namespace astgnn::ranks
