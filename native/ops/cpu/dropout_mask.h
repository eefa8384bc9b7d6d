// The mask of ops.h, a stretch of one row at a time, for every CPU kernel that drops something.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "ops/philox.h"

namespace astgnn::ops {

class DropoutMask {
 public:
  DropoutMask(double p, const std::optional<at::Tensor>& key, int64_t site)
      : active_(p > 0), site_(site) {
    if (!active_) return;
    key_ = key->contiguous();
    keys_ = key_.const_data_ptr<int64_t>();
    scale_ = 1.0 / (1.0 - p);
    // word * 2^-32 >= p in whole numbers, word > ceil(p * 2^32) - 1: exact, because times 2^32 only
    // changes the exponent.
    dropped_ = static_cast<uint32_t>(std::ceil(std::ldexp(p, 32)) - 1);
  }

  bool active() const { return active_; }
  double scale() const { return scale_; }

  // mask[i] = 0 or 1 / (1 - p) for columns first .. first + count of a packed row.
  template <class T>
  void write(T* mask, int64_t row, int64_t first, int64_t count, int64_t time = 0) const {
    constexpr int kLanes = 8;  // counters at once, so that the compiler can use vector registers
    const T kept = static_cast<T>(scale_);
    const int64_t end = first + count;
    uint32_t words[4][kLanes];
    T block_mask[4 * kLanes];
    for (int64_t block = first / 4; 4 * block < end; block += kLanes) {
      lanes<kLanes>(words, row, block, time);
      for (int k = 0; k < kLanes; ++k) {
        for (int w = 0; w < 4; ++w) block_mask[4 * k + w] = words[w][k] > dropped_ ? kept : T(0);
      }
      const int64_t lo = std::max(first, 4 * block), hi = std::min(end, 4 * (block + kLanes));
      std::copy(block_mask + (lo - 4 * block), block_mask + (hi - 4 * block), mask + (lo - first));
    }
  }

  // x *= mask over the same columns.
  template <class T>
  void apply(T* x, int64_t row, int64_t first, int64_t count, int64_t time = 0) const {
    constexpr int64_t kStretch = 64;
    T mask[kStretch];
    for (int64_t done = 0; done < count; done += kStretch) {
      const int64_t length = std::min(kStretch, count - done);
      write(mask, row, first + done, length, time);
      for (int64_t i = 0; i < length; ++i) x[done + i] *= mask[i];
    }
  }

 private:
  // Same rounds as philox() for counters block, block + 1, ...
  template <int kLanes>
  void lanes(uint32_t (&words)[4][kLanes], int64_t row, int64_t block, int64_t time) const {
    const uint32_t where = static_cast<uint32_t>(site_ * 65536 + time);
    const uint32_t date = static_cast<uint32_t>(keys_[2 * (row + 1)]),
                   in_date = static_cast<uint32_t>(keys_[2 * (row + 1) + 1]);
    uint32_t key0 = static_cast<uint32_t>(keys_[0]), key1 = static_cast<uint32_t>(keys_[1]);
    for (int k = 0; k < kLanes; ++k) {
      words[0][k] = where;
      words[1][k] = date;
      words[2][k] = in_date;
      words[3][k] = static_cast<uint32_t>(block + k);
    }
    for (int round = 0; round < 10; ++round) {
      for (int k = 0; k < kLanes; ++k) {
        const uint64_t first = uint64_t{0xD2511F53} * words[0][k];
        const uint64_t second = uint64_t{0xCD9E8D57} * words[2][k];
        words[0][k] = static_cast<uint32_t>(second >> 32) ^ words[1][k] ^ key0;
        words[1][k] = static_cast<uint32_t>(second);
        words[2][k] = static_cast<uint32_t>(first >> 32) ^ words[3][k] ^ key1;
        words[3][k] = static_cast<uint32_t>(first);
      }
      key0 += 0x9E3779B9;
      key1 += 0xBB67AE85;
    }
  }

  bool active_;
  int64_t site_;
  at::Tensor key_;
  const int64_t* keys_ = nullptr;
  double scale_ = 1;
  uint32_t dropped_ = 0;  // the largest word that is dropped
};

}  // namespace astgnn::ops
