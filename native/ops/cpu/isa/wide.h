// Float64 vectors over values of either type: sums of many products are kept in them. Blocks of up
// to 8 such vectors fill the registers of a sweep; a width that is not whole vectors ends in a
// part.
#pragma once

#include "ops/cpu/isa/vector.h"

namespace astgnn::ops::ASTGNN_ISA {

typedef float NarrowLoose __attribute__((vector_size(kVectorBytes / 2), aligned(4), may_alias));

ASTGNN_INLINE Vec<double> widen(const float* p) {
  return __builtin_convertvector(*reinterpret_cast<const NarrowLoose*>(p), Vec<double>);
}
ASTGNN_INLINE Vec<double> widen(const double* p) { return load(p); }
ASTGNN_INLINE void narrow(float* p, Vec<double> v) {
  *reinterpret_cast<NarrowLoose*>(p) = __builtin_convertvector(v, NarrowLoose);
}
ASTGNN_INLINE void narrow(double* p, Vec<double> v) { store<double>(p, v); }

// Only the first `part` elements where kPart: the rest reads 0 and is not written.
template <class T, bool kPart>
ASTGNN_INLINE Vec<double> widen(const T* p, int part) {
  if constexpr (!kPart) return widen(p);
  Vec<double> v = {};
  for (int k = 0; k < part; ++k) v[k] = static_cast<double>(p[k]);
  return v;
}
template <class T, bool kPart>
ASTGNN_INLINE void narrow(T* p, Vec<double> v, int part) {
  if constexpr (!kPart) return narrow(p, v);
  for (int k = 0; k < part; ++k) p[k] = static_cast<T>(v[k]);
}

// body<vectors, part?>(first column, size of the part) over all columns.
template <class T, class Body>
ASTGNN_INLINE void each_wide_block(int64_t width, Body&& body) {
  constexpr int64_t L = kLanes<double>;
  int64_t first = 0;
  for (; first + 8 * L <= width; first += 8 * L) body.template operator()<8, false>(first, 0);
  for (; first + 4 * L <= width; first += 4 * L) body.template operator()<4, false>(first, 0);
  for (; first + 2 * L <= width; first += 2 * L) body.template operator()<2, false>(first, 0);
  for (; first + L <= width; first += L) body.template operator()<1, false>(first, 0);
  if (first < width) body.template operator()<1, true>(first, static_cast<int>(width - first));
}
// The same, vector by vector.
template <class T, class Body>
ASTGNN_INLINE void each_wide(int64_t width, Body&& body) {
  int64_t first = 0;
  for (; first + kLanes<double> <= width; first += kLanes<double>)
    body.template operator()<false>(first, 0);
  if (first < width) body.template operator()<true>(first, static_cast<int>(width - first));
}

ASTGNN_INLINE double wide_sum(Vec<double> v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_pd(v);
#elif defined(__AVX2__)
  const __m128d half = _mm256_castpd256_pd128(v) + _mm256_extractf128_pd(v, 1);
  return half[0] + half[1];
#else
  return v[0] + v[1];
#endif
}

// e^x for x <= 0, relative error 3e-16 down to -708 and 0 below.
ASTGNN_INLINE Vec<double> exp_unit(Vec<double> x) {
  using Bits __attribute__((vector_size(sizeof(Vec<double>)))) = uint64_t;
  constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52: its last bit is worth 1
  const auto gone = x < -708.0;
  x = gone ? Vec<double>{} : x;
  const Vec<double> shifted = fused(x, broadcast(1.4426950408889634), broadcast(kRound)),
                    whole = shifted - kRound;
  const Vec<double> f = fused(whole, broadcast(-1.90821492927058770002e-10),
                              fused(whole, broadcast(-0.693147180369123816490), x));
  constexpr double kFactorials[] = {39916800, 3628800, 362880, 40320, 5040, 720,
                                    120,      24,      6,      2,     1,    1};
  Vec<double> p = broadcast(1.0 / 479001600);  // Taylor: |f| <= ln 2 / 2
#pragma GCC unroll 16
  for (const double each : kFactorials) p = fused(p, f, broadcast(1 / each));
  const Bits power = (reinterpret_cast<Bits>(shifted) << 52) + (uint64_t{1023} << 52);
  return gone ? Vec<double>{} : p * reinterpret_cast<Vec<double> >(power);
}

}  // namespace astgnn::ops::ASTGNN_ISA
