// The vectors of one instruction set. avx512.cpp, avx2.cpp and scalar.cpp each include the kernels
// with ASTGNN_ISA set to their own name, so that nothing compiled for one is ever linked into
// another: no header of the standard library or of LibTorch may be included from here.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define ASTGNN_INLINE inline __attribute__((always_inline))
#define ASTGNN_INLINE_LAMBDA __attribute__((always_inline))
// Called from many places, at most once per tile: copies of it would be most of the code.
#define ASTGNN_SHARED __attribute__((noinline))

namespace astgnn::ops::ASTGNN_ISA {

// kTileRows x kTileVectors accumulators fill the registers beside one row of the other operand;
// kTallRows x kTallVectors do the same with half the columns.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kTileRows = 6, kTileVectors = 4, kTallRows = 12, kTallVectors = 2;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
constexpr int kTileRows = 6, kTileVectors = 2, kTallRows = 6, kTallVectors = 2;
#else
constexpr int kVectorBytes = 16;
constexpr int kTileRows = 6, kTileVectors = 2, kTallRows = 6, kTallVectors = 2;
#endif

template <class T>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float Type __attribute__((vector_size(kVectorBytes)));
  typedef float Loose __attribute__((vector_size(kVectorBytes), aligned(4), may_alias));
  typedef int32_t Whole __attribute__((vector_size(kVectorBytes)));
};
template <>
struct VectorOf<double> {
  typedef double Type __attribute__((vector_size(kVectorBytes)));
  typedef double Loose __attribute__((vector_size(kVectorBytes), aligned(8), may_alias));
  typedef int64_t Whole __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vec = typename VectorOf<T>::Type;
template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

ASTGNN_INLINE int64_t rounded_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
template <class T>
ASTGNN_INLINE int64_t whole_vectors(int64_t n) {
  return rounded_up(n, kLanes<T>);
}

template <class T>
ASTGNN_INLINE Vec<T> load(const T* p) {
  return *reinterpret_cast<const typename VectorOf<T>::Loose*>(p);
}
template <class T>
ASTGNN_INLINE void store(T* p, Vec<T> v) {
  *reinterpret_cast<typename VectorOf<T>::Loose*>(p) = v;
}
template <class T>
ASTGNN_INLINE Vec<T> broadcast(T x) {
  return x - Vec<T>{};  // minus zero keeps every bit, plus zero would lose the sign of -0
}
// a b + c, rounded once where the instruction set can. These files are compiled without
// contraction: what is fused is written, so that two places that compute one sum agree to the last
// bit.
#if defined(__AVX512F__)
ASTGNN_INLINE Vec<float> fused(Vec<float> a, Vec<float> b, Vec<float> c) {
  return _mm512_fmadd_ps(a, b, c);
}
ASTGNN_INLINE Vec<double> fused(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm512_fmadd_pd(a, b, c);
}
#elif defined(__AVX2__)
ASTGNN_INLINE Vec<float> fused(Vec<float> a, Vec<float> b, Vec<float> c) {
  return _mm256_fmadd_ps(a, b, c);
}
ASTGNN_INLINE Vec<double> fused(Vec<double> a, Vec<double> b, Vec<double> c) {
  return _mm256_fmadd_pd(a, b, c);
}
#else
ASTGNN_INLINE Vec<float> fused(Vec<float> a, Vec<float> b, Vec<float> c) { return a * b + c; }
ASTGNN_INLINE Vec<double> fused(Vec<double> a, Vec<double> b, Vec<double> c) { return a * b + c; }
#endif
template <class T>
ASTGNN_INLINE T sum(Vec<T> v) {
  T total = 0;
  for (int k = 0; k < kLanes<T>; ++k) total += v[k];
  return total;
}
// The smaller and the larger of the two; a NaN in x stays.
#if defined(__AVX512F__)
ASTGNN_INLINE Vec<float> at_most(float most, Vec<float> x) {
  return _mm512_min_ps(broadcast(most), x);
}
ASTGNN_INLINE Vec<float> at_least(float least, Vec<float> x) {
  return _mm512_max_ps(broadcast(least), x);
}
ASTGNN_INLINE Vec<double> at_least(double least, Vec<double> x) {
  return _mm512_max_pd(broadcast(least), x);
}
#elif defined(__AVX2__)
ASTGNN_INLINE Vec<float> at_most(float most, Vec<float> x) {
  return _mm256_min_ps(broadcast(most), x);
}
ASTGNN_INLINE Vec<float> at_least(float least, Vec<float> x) {
  return _mm256_max_ps(broadcast(least), x);
}
ASTGNN_INLINE Vec<double> at_least(double least, Vec<double> x) {
  return _mm256_max_pd(broadcast(least), x);
}
#else
ASTGNN_INLINE Vec<float> at_most(float most, Vec<float> x) {
  return x > most ? broadcast(most) : x;
}
ASTGNN_INLINE Vec<float> at_least(float least, Vec<float> x) {
  return x < least ? broadcast(least) : x;
}
ASTGNN_INLINE Vec<double> at_least(double least, Vec<double> x) {
  return x < least ? broadcast(least) : x;
}
#endif
// NaN stays.
template <class T>
ASTGNN_INLINE Vec<T> positive(Vec<T> v) {
  return at_least(T(0), v);
}

// Square roots, rounded as IEEE 754 says.
#if defined(__AVX512F__)
ASTGNN_INLINE Vec<float> root(Vec<float> x) { return _mm512_sqrt_ps(x); }
ASTGNN_INLINE Vec<double> root(Vec<double> x) { return _mm512_sqrt_pd(x); }
#elif defined(__AVX2__)
ASTGNN_INLINE Vec<float> root(Vec<float> x) { return _mm256_sqrt_ps(x); }
ASTGNN_INLINE Vec<double> root(Vec<double> x) { return _mm256_sqrt_pd(x); }
#else
ASTGNN_INLINE Vec<float> root(Vec<float> x) {
  for (int k = 0; k < kLanes<float>; ++k) x[k] = __builtin_sqrtf(x[k]);
  return x;
}
ASTGNN_INLINE Vec<double> root(Vec<double> x) {
  for (int k = 0; k < kLanes<double>; ++k) x[k] = __builtin_sqrt(x[k]);
  return x;
}
#endif
ASTGNN_INLINE float root(float x) { return __builtin_sqrtf(x); }
ASTGNN_INLINE double root(double x) { return __builtin_sqrt(x); }

// 2^y for y in [-126, 126], by a polynomial in the distance to the nearest whole number: its
// coefficients from the highest power down.
template <int N>
ASTGNN_INLINE Vec<float> exp2_by(const float (&coefficients)[N], Vec<float> y) {
#if defined(__AVX512F__)
  const Vec<float> f = _mm512_reduce_ps(y, 0);  // y - nearest whole number
#else
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: its last bit is worth 1
  const Vec<float> shifted = y + kRound, f = y - (shifted - kRound);
#endif
  Vec<float> p = broadcast(coefficients[0]);
#pragma GCC unroll 8
  for (int k = 1; k < N; ++k) p = fused(p, f, broadcast(coefficients[k]));
#if defined(__AVX512F__)
  return _mm512_scalef_ps(p, y - f);
#else
  // Without a sign: lanes that nobody reads may be out of range, and wrap around.
  using Bits __attribute__((vector_size(sizeof(Vec<float>)))) = uint32_t;
  const Bits power = (reinterpret_cast<Bits>(shifted) << 23) + (uint32_t{127} << 23);
  return p * reinterpret_cast<Vec<float> >(power);
#endif
}

// 2^y, relative error 8e-8 for y in [-126, 126], where it has to be, or NaN; exactly 1 at 0.
ASTGNN_INLINE Vec<float> exp2_within(Vec<float> y) {
  constexpr float kPowers[] = {0.00015353362f, 0.0013398875f, 0.009618437f, 0.055503324f,
                               0.24022648f,    0.6931472f,    1.0f};
  return exp2_by(kPowers, y);
}

// As it comes: -126 (0 with AVX-512) and 126 are the limits of what counts.
ASTGNN_INLINE Vec<float> clamped(Vec<float> y) {
#if defined(__AVX512F__)
  return at_most(126.0f, y);
#else
  return at_least(-126.0f, at_most(126.0f, y));
#endif
}
ASTGNN_INLINE Vec<float> exp2(Vec<float> y) { return exp2_within(clamped(y)); }

// One power less, relative error 1.6e-7: of the gates below nothing is left of the difference.
ASTGNN_INLINE Vec<float> exp2_for_gates(Vec<float> y) {
  constexpr float kPowers[] = {0.0013264727f, 0.009671513f, 0.055507336f,
                               0.24022242f,   0.693147f,    1.0f};
  return exp2_by(kPowers, clamped(y));
}

constexpr float kLog2OfE = 1.44269504f;

ASTGNN_INLINE Vec<float> exp(Vec<float> x) { return exp2(x * kLog2OfE); }
ASTGNN_INLINE Vec<double> exp(Vec<double> x) {
  for (int k = 0; k < kLanes<double>; ++k) x[k] = __builtin_exp(x[k]);
  return x;
}

// x is finite and not 0.
ASTGNN_INLINE Vec<float> reciprocal(Vec<float> x) {
#if defined(__AVX512F__)
  const Vec<float> r = _mm512_rcp14_ps(x);  // one Newton step on 14 bits: relative error 1e-7
  return r * fused(-x, r, broadcast(2.0f));
#else
  return 1.0f / x;
#endif
}

ASTGNN_INLINE Vec<float> sigmoid(Vec<float> x) {
  return reciprocal(1.0f + exp2_for_gates(x * -kLog2OfE));
}
ASTGNN_INLINE Vec<double> sigmoid(Vec<double> x) { return 1.0 / (1.0 + exp(-x)); }

// Absolute error 2e-7.
ASTGNN_INLINE Vec<float> tanh(Vec<float> x) {
  return fused(broadcast(-2.0f), reciprocal(1.0f + exp2_for_gates(x * (2 * kLog2OfE))),
               broadcast(1.0f));
}
ASTGNN_INLINE Vec<double> tanh(Vec<double> x) {
  for (int k = 0; k < kLanes<double>; ++k) x[k] = __builtin_tanh(x[k]);
  return x;
}

// accumulator[i][v] += sum over k < depth of a(i, k) * b[k * stride + v * lanes ...], one k after
// the other: the order does not depend on R or V, so an element has the same bits in any tile.
template <class T, int R, int V, class A>
ASTGNN_INLINE void multiply_tile(Vec<T> (&accumulator)[R][V], int64_t depth, A&& a, const T* b,
                                 int64_t stride) {
  for (int64_t k = 0; k < depth; ++k, b += stride) {
    Vec<T> other[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) other[v] = load(b + v * kLanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const Vec<T> own = broadcast<T>(a(i, k));
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) accumulator[i][v] = fused(own, other[v], accumulator[i][v]);
    }
  }
}

// Calls tile.operator()<R, V>(i, v) for rows begin .. end and vectors 0 .. vectors: whole tiles,
// then lower and narrower ones, so that no element outside is read or written.
template <int R, int V, class Tile>
ASTGNN_INLINE void each_tile(int64_t begin, int64_t end, int64_t vectors, Tile&& tile) {
  const auto strip = [&]<int kVectors>(int64_t v) ASTGNN_INLINE_LAMBDA {
    int64_t i = begin;
    for (; i + R <= end; i += R) tile.template operator()<R, kVectors>(i, v);
    for (; i < end; ++i) tile.template operator()<1, kVectors>(i, v);
  };
  int64_t v = 0;
  for (; v + V <= vectors; v += V) strip.template operator()<V>(v);
  if constexpr (V > 2) {
    for (; v + 2 <= vectors; v += 2) strip.template operator()<2>(v);
  }
  for (; v < vectors; ++v) strip.template operator()<1>(v);
}

// c [rows, vectors * lanes] (rows c_stride apart) += a b, with a(i, k) and b as above.
template <class T, int R, int V, class A>
ASTGNN_INLINE void multiply_add(T* c, int64_t c_stride, int64_t rows, int64_t vectors,
                                int64_t depth, A&& a, const T* b, int64_t b_stride) {
  each_tile<R, V>(
      0, rows, vectors, [&]<int kRows, int kVectors>(int64_t i, int64_t v) ASTGNN_INLINE_LAMBDA {
        Vec<T> sum[kRows][kVectors];
        T* out = c + i * c_stride + v * kLanes<T>;
        for (int r = 0; r < kRows; ++r)
          for (int w = 0; w < kVectors; ++w) sum[r][w] = load(out + r * c_stride + w * kLanes<T>);
        multiply_tile<T, kRows, kVectors>(
            sum, depth, [&](int r, int64_t k) ASTGNN_INLINE_LAMBDA { return a(i + r, k); },
            b + v * kLanes<T>, b_stride);
        for (int r = 0; r < kRows; ++r)
          for (int w = 0; w < kVectors; ++w)
            store<T>(out + r * c_stride + w * kLanes<T>, sum[r][w]);
      });
}

}  // namespace astgnn::ops::ASTGNN_ISA
