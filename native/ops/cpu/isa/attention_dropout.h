// Values are dropped once, in the forward; what was dropped stays readable from the sign of a zero.
#pragma once

#include "ops/cpu/isa/dropout.h"
#include "ops/cpu/isa/vector.h"

namespace astgnn::ops::ASTGNN_ISA {

template <class T>
void drop_values(T* out, const T* v, const DropoutSite& site, int64_t row, int64_t width) {
  constexpr int64_t kStretch = 256;
  T mask[kStretch];
  for (int64_t first = 0; first < width; first += kStretch) {
    const int64_t count = width - first < kStretch ? width - first : kStretch;
    dropout_mask(mask, site, row, first, count);
    const auto drop = [&]<class X>(X value, X kept) ASTGNN_INLINE_LAMBDA {
      const X product = value * kept;                          // of a dropped value: 0 or NaN
      return kept != 0 ? product + T(0) : -product * product;  // -0 + 0 is +0
    };
    int64_t k = 0;
    for (; k + kLanes<T> <= count; k += kLanes<T>)
      store<T>(out + first + k, drop(load(v + first + k), load(mask + k)));
    for (; k < count; ++k) out[first + k] = drop(v[first + k], mask[k]);
  }
}

// The gradient of the value that became `dropped`; kept 0: no dropout.
ASTGNN_INLINE Vec<double> undropped(Vec<double> gradient, Vec<double> dropped, double kept) {
  if (kept == 0) return gradient;
  using Whole = VectorOf<double>::Whole;
  return reinterpret_cast<Whole>(dropped) == INT64_MIN ? Vec<double>{} : gradient * kept;
}

}  // namespace astgnn::ops::ASTGNN_ISA
