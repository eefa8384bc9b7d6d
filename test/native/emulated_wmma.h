// The little of CUDA's bf16 and of its products of 16 x 16 tiles (nvcuda::wmma) that the kernels
// use, for emulated_cuda.h. A warp's first thread holds a whole tile and does the work. Products
// are exact; of their sum the bits below float32's are cut off every four of them, which is no
// better than what tensor cores are known to do (eight or sixteen on GPUs that have bf16).
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

struct __nv_bfloat16 {
  uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float out;
  std::memcpy(&out, &bits, sizeof out);
  return out;
}
inline uint16_t __bfloat16_as_ushort(__nv_bfloat16 value) { return value.bits; }
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if (value != value) return {0x7FFF};
  return {static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major };

template <class Use, int M, int N, int K, class T, class Order = void>
struct fragment {
  static_assert(M == 16 && N == 16 && K == 16);
  static constexpr int num_elements = 256;
  float x[num_elements];
};

inline bool leads() { return threadIdx.x % emulated::kWarp == 0; }

// What the hardware asks of an address and of the elements from one row to the next.
inline void check_place(const void* place, unsigned int step) {
  if (reinterpret_cast<uintptr_t>(place) % 32 == 0 && step % 16 == 0) return;
  std::fprintf(stderr, "emulated CUDA: a tile lies where wmma cannot reach it\n");
  std::abort();
}

template <class Use, class Order>
void load_matrix_sync(fragment<Use, 16, 16, 16, __nv_bfloat16, Order>& to,
                      const __nv_bfloat16* from, unsigned int row) {
  check_place(from, row * sizeof *from);
  if (!leads()) return;
  for (unsigned int i = 0; i < 16; ++i) {
    for (unsigned int k = 0; k < 16; ++k)
      to.x[std::is_same_v<Order, row_major> ? i * 16 + k : k * 16 + i] =
          __bfloat162float(from[i * row + k]);
  }
}

using Sum = fragment<accumulator, 16, 16, 16, float>;

inline void fill_fragment(Sum& sum, float value) {
  for (float& each : sum.x) each = value;
}

inline void store_matrix_sync(float* to, const Sum& sum, unsigned int row, layout_t) {
  check_place(to, row * sizeof *to);
  if (!leads()) return;
  for (unsigned int i = 0; i < 16; ++i) std::memcpy(to + i * row, sum.x + i * 16, 16 * sizeof *to);
}

template <class Order>
void mma_sync(Sum& out, const fragment<matrix_a, 16, 16, 16, __nv_bfloat16, row_major>& a,
              const fragment<matrix_b, 16, 16, 16, __nv_bfloat16, Order>& b, const Sum& c) {
  if (!leads()) return;
  for (int i = 0; i < 16; ++i) {
    double sum[16];
    for (int j = 0; j < 16; ++j) sum[j] = static_cast<double>(c.x[i * 16 + j]);
    for (int k = 0; k < 16; ++k) {
      const double left = static_cast<double>(a.x[i * 16 + k]);
      for (int j = 0; j < 16; ++j) sum[j] += left * static_cast<double>(b.x[k * 16 + j]);
      if (k % 4 != 3) continue;
      for (double& each : sum) {
        uint64_t bits;
        std::memcpy(&bits, &each, sizeof bits);
        bits &= ~uint64_t{0} << 29;
        std::memcpy(&each, &bits, sizeof bits);
      }
    }
    for (int j = 0; j < 16; ++j) out.x[i * 16 + j] = static_cast<float>(sum[j]);
  }
}

}  // namespace nvcuda::wmma
