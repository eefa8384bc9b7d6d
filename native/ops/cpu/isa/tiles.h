// The eight matrix registers of AMX: 16 rows of 64 bytes, either 16 floats or 32 bf16 of one row
// (left operand) or of a pair of rows (right operand: column j of rows 2 k and 2 k + 1 side by
// side). The hardware's form is assembly of our own with a memory clobber: GCC 12's intrinsics have
// none, so stores before them were dropped. With ASTGNN_EMULATED_TILES the registers are memory,
// for tests on machines without them.
#pragma once

#include "ops/cpu/isa/vector.h"

namespace astgnn::ops::ASTGNN_ISA {

typedef uint16_t Brain;  // a bf16: the upper half of a float
static_assert(kLanes<float> == 16);
constexpr int64_t kTileHeight = 16, kTileDepth = 32, kTileElements = kTileHeight * kTileDepth;

#if defined(ASTGNN_EMULATED_TILES)

// Registers by number, all 16 rows of 64 bytes.
struct EmulatedTiles {
  static void configure(bool on) {
    if (on == configured) __builtin_trap();  // one that was not released
    configured = on;
  }
  static void zero(int tile) {
    check();
    __builtin_memset(registers[tile], 0, sizeof registers[tile]);
  }
  static void load(int tile, const void* from, int64_t stride) {
    check();
    for (int64_t i = 0; i < kTileHeight; ++i)
      __builtin_memcpy(registers[tile][i], static_cast<const char*>(from) + i * stride, 64);
  }
  static void store(int tile, void* to, int64_t stride) {
    check();
    for (int64_t i = 0; i < kTileHeight; ++i)
      __builtin_memcpy(static_cast<char*>(to) + i * stride, registers[tile][i], 64);
  }
  // Even and odd products are summed apart and added to the destination together, as TDPBF16PS
  // does; its flushing of denormal numbers is left out.
  static void dot(int sum, int left, int right) {
    check();
    for (int64_t i = 0; i < kTileHeight; ++i) {
      Vec<float> even = {}, odd = {};
      for (int64_t k = 0; k < kTileHeight; ++k) {
        const uint32_t own = registers[left][i][k];
        const Whole other = reinterpret_cast<Whole>(row(registers[right][k]));
        even += broadcast(__builtin_bit_cast(float, own << 16)) *
                reinterpret_cast<Vec<float> >(other << 16);
        odd += broadcast(__builtin_bit_cast(float, own & 0xFFFF0000u)) *
               reinterpret_cast<Vec<float> >(other & ~0xFFFF);
      }
      const Vec<float> total = row(registers[sum][i]) + (even + odd);
      __builtin_memcpy(registers[sum][i], &total, 64);
    }
  }

 private:
  using Whole = VectorOf<float>::Whole;
  static Vec<float> row(const uint32_t* p) {
    Vec<float> v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
  static void check() {
    if (!configured) __builtin_trap();
  }
  inline static thread_local bool configured = false;
  inline static thread_local uint32_t registers[8][kTileHeight][kTileHeight];
};

struct Tiles {
  static void configure() { EmulatedTiles::configure(true); }
  static void release() { EmulatedTiles::configure(false); }
  template <int kTile>
  static void zero() {
    EmulatedTiles::zero(kTile);
  }
  template <int kTile>
  static void load(const void* from, int64_t stride) {
    EmulatedTiles::load(kTile, from, stride);
  }
  template <int kTile>
  static void store(void* to, int64_t stride) {
    EmulatedTiles::store(kTile, to, stride);
  }
  template <int kSum, int kLeft, int kRight>
  static void dot() {
    EmulatedTiles::dot(kSum, kLeft, kRight);
  }
};

#else

struct Tiles {
  static ASTGNN_INLINE void configure() {
    struct alignas(64) Configuration {
      uint8_t palette, first_row, reserved[14];
      uint16_t bytes[16];  // of a row
      uint8_t rows[16];
    } configuration = {};
    configuration.palette = 1;
    for (int k = 0; k < 8; ++k) {
      configuration.bytes[k] = 64;
      configuration.rows[k] = kTileHeight;
    }
    asm volatile("ldtilecfg %0" : : "m"(configuration) : "memory");
  }
  static ASTGNN_INLINE void release() { asm volatile("tilerelease" : : : "memory"); }
  template <int kTile>
  static ASTGNN_INLINE void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile) : "memory");
  }
  // stride: bytes from one row to the next.
  template <int kTile>
  static ASTGNN_INLINE void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
  }
  template <int kTile>
  static ASTGNN_INLINE void store(void* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
  }
  // kSum += kLeft kRight
  template <int kSum, int kLeft, int kRight>
  static ASTGNN_INLINE void dot() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0"
                 :
                 : "i"(kSum), "i"(kLeft), "i"(kRight)
                 : "memory");
  }
};

#endif

}  // namespace astgnn::ops::ASTGNN_ISA
