// Numbers, flags and texts out of the bytes that a fuzzer gives; zeros at their end.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool is_empty() const { return size_ == 0; }
  uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  // 0 .. limit - 1
  int64_t below(int64_t limit) {
    uint64_t value = byte();
    if (limit > 256) value = value << 8 | byte();
    return static_cast<int64_t>(value % static_cast<uint64_t>(limit));
  }
  bool flag() { return (byte() & 1) != 0; }
  // Also numbers at the edges of what is counted with.
  double number() {
    constexpr double kEdges[] = {0.0, -0.0, 1, -1, 0.5, 10, 1e-320, 1e-30, 1e30, 1e300, -1e300,
                                 std::numeric_limits<double>::max(), 3.5e38, 2147483648.0};
    const uint8_t kind = byte();
    if (kind < 40) return std::numeric_limits<double>::quiet_NaN();
    if (kind < 60) return kEdges[byte() % (sizeof kEdges / sizeof kEdges[0])];
    return 1 + 0.01 * byte();
  }
  // A price that a panel can hold: above 0, or missing.
  double price() {
    const double value = number();
    return value > 0 ? value : std::numeric_limits<double>::quiet_NaN();
  }
  int32_t index(int64_t count) {
    const uint8_t kind = byte();
    if (kind == 0) return -1;
    if (kind == 1) return static_cast<int32_t>(count);
    if (kind == 2) return std::numeric_limits<int32_t>::max();
    if (kind == 3) return std::numeric_limits<int32_t>::min();
    return static_cast<int32_t>(kind % std::max<int64_t>(1, count));
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

// What may not be: the fuzzer keeps the input.
inline void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "FAILED: %s\n", what);
  std::abort();
}

}  // namespace fuzz
