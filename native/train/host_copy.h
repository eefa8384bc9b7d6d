// A few numbers of the device on their way to the host.
#pragma once

#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

namespace astgnn::train {

class HostCopy {
 public:
  // Starts the copy; a device works on after this returns.
  explicit HostCopy(const at::Tensor& numbers) {
    const at::Device device = numbers.device();
    if (device.is_cpu()) {
      host_ = numbers.cpu();
      return;
    }
    host_ = at::empty(numbers.sizes(), numbers.options().device(at::kCPU).pinned_memory(true));
    host_.copy_(numbers, /*non_blocking=*/true);
    arrival_.emplace(device.type());
    arrival_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
  }
  bool is_here() const { return !arrival_ || arrival_->query(); }
  const at::Tensor& wait() {
    if (arrival_) arrival_->synchronize();
    return host_;
  }

 private:
  at::Tensor host_;
  std::optional<c10::Event> arrival_;
};

}  // namespace astgnn::train
