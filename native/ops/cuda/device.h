// What every op of the CUDA library shares. The ops compute on whatever device their tensors are
// on: the tests run them on the CPU, over emulated kernels. The dispatcher changes the current
// device for no custom op: each starts with a guard of its own.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DeviceGuard.h>

#include <optional>

#include "ops/cuda/kernels.h"
#include "ops/philox.h"
#include "ops/to_device.h"

namespace astgnn::ops::cuda {

Stream current_stream();                                         // of the current device
bool has_bf16(c10::DeviceIndex device);                          // on its tensor cores
bool has_shared_memory(c10::DeviceIndex device, int64_t bytes);  // for one block of threads
int64_t multiprocessors(c10::DeviceIndex device);
int64_t device_memory(c10::DeviceIndex device);  // bytes, in all

// How many bf16 values stand for a float32 factor of a product in what computes so
// (ops/precision.h): 0, which is float32 itself, for kHighest and for whatever else cannot or must
// not be rounded; 2 for kHigh; 1 for kMedium.
int bf16_parts(const at::Tensor& x);

// The mask of a site, with the key (of any device) where the kernels can read it.
class DropoutMask {
 public:
  DropoutMask(double p, const std::optional<at::Tensor>& key, int64_t site, int64_t time,
              at::Device device) {
    if (!(p > 0)) return;
    key_ = to_device(*key, device).contiguous();
    site_ = {key_.const_data_ptr<int64_t>(), static_cast<uint32_t>(site * 65536 + time),
             last_dropped_word(p), 1 / (1 - p)};
  }
  bool active() const { return site_.scale != 0; }
  double scale() const { return active() ? site_.scale : 1; }
  const DropoutSite& site() const { return site_; }

  // x [R, ...] times the mask, or x where nothing is dropped; place as in kernels.h.
  at::Tensor apply(const at::Tensor& x, const at::Tensor& place = {}) const {
    return multiply(x, place, 1, x.size(0));
  }
  // x [T, R, H] times the masks of T times.
  at::Tensor apply_over_time(const at::Tensor& x) const {
    return multiply(x, {}, x.size(0), x.size(1));
  }

 private:
  at::Tensor multiply(const at::Tensor& x, const at::Tensor& place, int64_t times,
                      int64_t rows) const;

  at::Tensor key_;
  DropoutSite site_{};
};

}  // namespace astgnn::ops::cuda
