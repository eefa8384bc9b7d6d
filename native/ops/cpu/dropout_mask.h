// The mask of ops.h, a stretch of one row at a time, for every CPU kernel that drops something.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <optional>

#include "ops/cpu/isa/kernels.h"
#include "ops/philox.h"

namespace astgnn::ops {

class DropoutMask {
 public:
  DropoutMask(double p, const std::optional<at::Tensor>& key, int64_t site) {
    if (!(p > 0)) return;
    key_ = key->contiguous();
    const int64_t* keys = key_.const_data_ptr<int64_t>();
    site_ = {static_cast<uint32_t>(keys[0]),
             static_cast<uint32_t>(keys[1]),
             static_cast<uint32_t>(site * 65536),
             last_dropped_word(p),
             keys,
             1.0 / (1.0 - p)};
  }

  bool active() const { return site_.kept != 0; }
  double scale() const { return active() ? site_.kept : 1; }
  // For kernels that write their own masks; valid while this object lives.
  const DropoutSite& site() const { return site_; }

  // mask[i] = 0 or 1 / (1 - p) for columns first .. first + count of a packed row.
  template <class T>
  void write(T* mask, int64_t row, int64_t first, int64_t count, int64_t time = 0) const {
    DropoutSite site = site_;
    site.where += static_cast<uint32_t>(time);
    kernels_of<T>().dropout_mask(mask, site, row, first, count);
  }

  // x *= mask over the same columns.
  template <class T>
  void apply(T* x, int64_t row, int64_t first, int64_t count, int64_t time = 0) const {
    constexpr int64_t kStretch = 256;
    T mask[kStretch];
    for (int64_t done = 0; done < count; done += kStretch) {
      const int64_t length = std::min(kStretch, count - done);
      write(mask, row, first + done, length, time);
      for (int64_t i = 0; i < length; ++i) x[done + i] *= mask[i];
    }
  }

 private:
  at::Tensor key_;
  DropoutSite site_{};
};

}  // namespace astgnn::ops
