// Philox4x32-10 (philox.h), many counters at once: 32-bit words in 64-bit lanes, because that is
// how the hardware multiplies; what stands in the upper halves is never read.
#pragma once

#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/isa/vector.h"

namespace astgnn::ops::ASTGNN_ISA {

typedef uint64_t Words __attribute__((vector_size(kVectorBytes)));
constexpr int kCounters = kVectorBytes / 8;
constexpr int kStreams = 2;  // independent chains hide the latency of the multiplications

ASTGNN_INLINE Words multiply_low_halves(Words a, uint64_t b) {
#if defined(__AVX512F__)
  return reinterpret_cast<Words>(
      _mm512_mul_epu32(reinterpret_cast<__m512i>(a), _mm512_set1_epi64(static_cast<int64_t>(b))));
#elif defined(__AVX2__)
  return reinterpret_cast<Words>(
      _mm256_mul_epu32(reinterpret_cast<__m256i>(a), _mm256_set1_epi64x(static_cast<int64_t>(b))));
#elif defined(__SSE2__)
  return reinterpret_cast<Words>(
      _mm_mul_epu32(reinterpret_cast<__m128i>(a), _mm_set1_epi64x(static_cast<int64_t>(b))));
#else
  return (a & 0xFFFFFFFFu) * b;
#endif
}

// The words of counters block, block + 1, ... , a counter's four one after the other.
ASTGNN_INLINE void philox(Words (&out)[2 * kStreams], const DropoutSite& site, uint64_t date,
                          uint64_t place, uint64_t block) {
  Words w[4][kStreams], numbers = {};
  for (int k = 0; k < kCounters; ++k) numbers[k] = static_cast<uint64_t>(k);
  for (int s = 0; s < kStreams; ++s) {
    w[0][s] = Words{} + uint64_t{site.where};
    w[1][s] = Words{} + date;
    w[2][s] = Words{} + place;
    w[3][s] = numbers + (block + static_cast<uint64_t>(s * kCounters));
  }
  uint32_t key0 = site.seed, key1 = site.step;
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round) {
    for (int s = 0; s < kStreams; ++s) {
      const Words first = multiply_low_halves(w[0][s], 0xD2511F53),
                  second = multiply_low_halves(w[2][s], 0xCD9E8D57);
      w[0][s] = (second >> 32) ^ w[1][s] ^ uint64_t { key0 };
      w[1][s] = second;
      w[2][s] = (first >> 32) ^ w[3][s] ^ uint64_t { key1 };
      w[3][s] = first;
    }
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  // Pairs of a counter's words lie in two vectors; brought together they alternate.
  Words front, back;
  for (int k = 0; k < kCounters; ++k) {
    const uint64_t from = static_cast<uint64_t>(k / 2 + (k % 2 ? kCounters : 0));
    front[k] = from;
    back[k] = from + kCounters / 2;
  }
  for (int s = 0; s < kStreams; ++s) {
    const Words low = (w[0][s] & 0xFFFFFFFFu) | (w[1][s] << 32),
                high = (w[2][s] & 0xFFFFFFFFu) | (w[3][s] << 32);
    out[2 * s] = __builtin_shuffle(low, high, front);
    out[2 * s + 1] = __builtin_shuffle(low, high, back);
  }
}

template <class T>
void dropout_mask(T* mask, const DropoutSite& site, int64_t row, int64_t first, int64_t count) {
  constexpr int64_t kColumns = 4 * kStreams * kCounters;
  typedef uint32_t Halves __attribute__((vector_size(kVectorBytes)));
  const uint64_t date = static_cast<uint32_t>(site.keys[2 * (row + 1)]),
                 place = static_cast<uint32_t>(site.keys[2 * (row + 1) + 1]);
  const int64_t end = first + count;
  const float kept = static_cast<float>(site.kept);
  for (int64_t column = first / 4 * 4; column < end; column += kColumns) {
    Words words[2 * kStreams];
    philox(words, site, date, place, static_cast<uint64_t>(column / 4));
    alignas(64) float values[kColumns];
    const bool whole = sizeof(T) == 4 && column >= first && column + kColumns <= end;
    float* out = whole ? reinterpret_cast<float*>(mask + (column - first)) : values;
    for (int v = 0; v < 2 * kStreams; ++v) {
      const auto keep = reinterpret_cast<Halves>(words[v]) > site.dropped;
      store<float>(out + v * kLanes<float>, keep ? broadcast(kept) : Vec<float>{});
    }
    if (whole) continue;
    const int64_t from = column < first ? first - column : 0,
                  to = column + kColumns > end ? end - column : kColumns;
    const T scale = static_cast<T>(site.kept);
    T* edge = mask + (column - first);
    for (int64_t k = from; k < to; ++k) edge[k] = values[k] != 0.0f ? scale : T(0);
  }
}

}  // namespace astgnn::ops::ASTGNN_ISA
