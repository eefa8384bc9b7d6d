#pragma once

#include <c10/core/CPUAllocator.h>

#include <cstdint>

namespace astgnn::ops {

// Memory that is not cleared and grows only.
template <class T>
class Scratch {
 public:
  T* get(int64_t count) {
    if (count > size_) {
      memory_ = c10::GetCPUAllocator()->allocate(static_cast<size_t>(count) * sizeof(T));
      size_ = count;
    }
    return static_cast<T*>(memory_.get());
  }

 private:
  c10::DataPtr memory_;
  int64_t size_ = 0;
};

}  // namespace astgnn::ops
