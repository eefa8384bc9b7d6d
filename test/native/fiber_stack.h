// A stack that is jumped to and from. AddressSanitizer has to hear of each jump: before it, where
// it leads; behind it, that it is there. Nothing where the sanitizer is not.
#pragma once

#include <cstddef>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulated {

class FiberStack {
 public:
  FiberStack() = default;
  FiberStack(const void* begin, size_t bytes) : begin_(begin), bytes_(bytes) {}

#ifdef __SANITIZE_ADDRESS__
  void leave_for(const FiberStack& other) {
    __sanitizer_start_switch_fiber(&kept_, other.begin_, other.bytes_);
  }
  // Learns where the stack lies that was left for this one.
  void arrive_from(FiberStack& other) {
    __sanitizer_finish_switch_fiber(kept_, &other.begin_, &other.bytes_);
  }
#else
  void leave_for(const FiberStack&) {}
  void arrive_from(FiberStack&) {}
#endif

 private:
  const void* begin_ = nullptr;
  size_t bytes_ = 0;
  void* kept_ = nullptr;  // the sanitizer's, of locals that it keeps elsewhere
};

}  // namespace emulated
