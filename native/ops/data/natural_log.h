// The natural logarithm of fdlibm, the one that JavaScript engines compute Math.log with: the same
// bits on every processor and with every C library, which std::log does not promise.
//
// Method and constants are those of e_log.c, which carries this notice:
//   Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved.
//   Developed at SunSoft, a Sun Microsystems, Inc. business. Permission to use, copy, modify, and
//   distribute this software is freely granted, provided that this notice is preserved.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace astgnn::ops {

// x = 2^k (1 + f) with sqrt(1/2) < 1 + f < sqrt(2), and log(1 + f) as a series in s = f / (2 + f).
inline double natural_log(double x) {
  constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;
  constexpr double kTwo54 = 1.80143985094819840000e+16;
  int64_t bits = std::bit_cast<int64_t>(x);
  int32_t high = static_cast<int32_t>(bits >> 32);
  int32_t k = 0;
  if (high < 0x00100000) {  // below the normal numbers, or negative
    if ((bits & 0x7fffffffffffffff) == 0) return -std::numeric_limits<double>::infinity();
    if (high < 0) return std::numeric_limits<double>::quiet_NaN();
    k = -54;
    bits = std::bit_cast<int64_t>(x * kTwo54);
    high = static_cast<int32_t>(bits >> 32);
  }
  if (high >= 0x7ff00000) return x + x;
  k += (high >> 20) - 1023;
  high &= 0x000fffff;
  const int32_t carry = (high + 0x95f64) & 0x100000;
  k += carry >> 20;
  const int64_t upper = high | (carry ^ 0x3ff00000);
  const double f = std::bit_cast<double>((upper << 32) | (bits & 0xffffffff)) - 1.0;
  const double dk = k;
  if ((0x000fffff & (2 + high)) < 3) {  // |f| < 2^-20
    if (f == 0) return k == 0 ? 0 : dk * kLn2High + dk * kLn2Low;
    const double r = f * f * (0.5 - 0.33333333333333333 * f);
    return k == 0 ? f - r : dk * kLn2High - ((r - dk * kLn2Low) - f);
  }
  const double s = f / (2.0 + f), z = s * s, w = z * z;
  const double even =
      w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  const double odd =
      z * (6.666666666666735130e-01 +
           w * (2.857142874366239149e-01 +
                w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  const double r = odd + even;
  if (((high - 0x6147a) | (0x6b851 - high)) > 0) {
    const double half = 0.5 * f * f;
    return k == 0 ? f - (half - s * (half + r))
                  : dk * kLn2High - ((half - (s * (half + r) + dk * kLn2Low)) - f);
  }
  return k == 0 ? f - s * (f - r) : dk * kLn2High - ((s * (f - r) - dk * kLn2Low) - f);
}

}  // namespace astgnn::ops
