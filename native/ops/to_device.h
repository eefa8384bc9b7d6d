// What the host prepares for a step, on its way to the device that computes it.
#pragma once

#include <ATen/core/Tensor.h>

namespace astgnn::ops {

// A copy on `device`, or the tensor itself where it is there already. From pageable memory the host
// would wait until the GPU has done all that it was given before.
inline at::Tensor to_device(const at::Tensor& tensor, at::Device device) {
  if (tensor.device() == device || device.is_cpu() || tensor.numel() == 0)
    return tensor.to(device);
  return tensor.pin_memory().to(device, /*non_blocking=*/true);
}

}  // namespace astgnn::ops
