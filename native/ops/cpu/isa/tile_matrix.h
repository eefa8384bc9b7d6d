// Matrix products in tiles, each operand as kParts bf16 values: 2 (x = high + low to 2^-17, three
// of the four products) or 1. Packed operands are [row or column tile][depth tile][part] tiles.
#pragma once

#include "ops/cpu/isa/tiles.h"

namespace astgnn::ops::ASTGNN_ISA {

ASTGNN_INLINE int64_t tiles_of(int64_t n, int64_t to) { return (n + to - 1) / to; }

typedef uint32_t Bits __attribute__((vector_size(64)));

// x = sum of the parts, each in the upper half of its words.
template <int kParts>
struct Split {
  Bits part[kParts];
};

// Nearest bf16, halves away from zero. Rounding towards zero would leave a low part of one sign
// whose products add up; a NaN may not be carried over into a number.
template <int kParts>
ASTGNN_INLINE Split<kParts> split(Vec<float> x) {
  Split<kParts> out;
  for (int k = 0; k < kParts; ++k) {
    const Bits nearest = (reinterpret_cast<Bits>(x) + 0x8000u) & 0xFFFF0000u;
    out.part[k] = x == x ? nearest : Bits{} + 0x7FC00000u;
    x -= reinterpret_cast<Vec<float> >(out.part[k]);
  }
  return out;
}

// Half a row of a left operand's tile.
template <int kParts>
ASTGNN_INLINE void store_row(Brain* tile, int64_t row, int64_t half, const Split<kParts>& x) {
  for (int k = 0; k < kParts; ++k) {
    const __m256i brains = _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(x.part[k] >> 16));
    __builtin_memcpy(tile + k * kTileElements + row * kTileDepth + half * 16, &brains, 32);
  }
}

// A pair of rows of a right operand's tile.
template <int kParts>
ASTGNN_INLINE void store_pair(Brain* tile, int64_t pair, const Split<kParts>& even,
                              const Split<kParts>& odd) {
  for (int k = 0; k < kParts; ++k) {
    const Bits words = (even.part[k] >> 16) | odd.part[k];
    __builtin_memcpy(tile + k * kTileElements + pair * kTileDepth, &words, 64);
  }
}

// Tiles of rows [depth, 16] as a right operand; row(k) points at row k.
template <int kParts, class Row>
ASTGNN_INLINE void pack_right(Brain* tile, int64_t depth, Row&& row) {
  for (int64_t k = 0; k < rounded_up(depth, kTileDepth); k += 2) {
    const Vec<float> even = k < depth ? load<float>(row(k)) : Vec<float>{},
                     odd = k + 1 < depth ? load<float>(row(k + 1)) : Vec<float>{};
    store_pair<kParts>(tile + k / kTileDepth * kParts * kTileElements, k % kTileDepth / 2,
                       split<kParts>(even), split<kParts>(odd));
  }
}

// A right operand's tile [pair of rows][column] as the left operand's of the transposed matrix.
inline void transpose_tile(const Brain* from, Brain* to) {
  Bits v[16], lane = {};
  for (uint32_t k = 0; k < 16; ++k) lane[k] = k;
#pragma GCC unroll 16
  for (int k = 0; k < 16; ++k) __builtin_memcpy(&v[k], from + k * kTileDepth, 64);
#pragma GCC unroll 4
  for (int step = 8; step > 0; step /= 2) {
    const Bits s = Bits{} + static_cast<uint32_t>(step);
    const Bits own = (lane & s) == 0 ? lane : lane - s + 16, other = own + s;
#pragma GCC unroll 16
    for (int k = 0; k < 16; ++k) {
      if (k & step) continue;
      const Bits a = v[k], b = v[k + step];
      v[k] = __builtin_shuffle(a, b, own);
      v[k + step] = __builtin_shuffle(a, b, other);
    }
  }
#pragma GCC unroll 16
  for (int k = 0; k < 16; ++k) __builtin_memcpy(to + k * kTileDepth, &v[k], 64);
}

// Packed operands of a product and how far apart their row and column tiles are.
struct TileProduct {
  const Brain* left;
  int64_t left_stride;
  const Brain* right;
  int64_t right_stride, depth;  // depth in tiles
};

// R x C sums of tiles in registers; sum (r, c) in register 2 r + c + kFirst.
template <int R, int C, int kFirst = 0>
struct TileSums {
  static_assert(R <= 2 && C + kFirst <= 2);

  static ASTGNN_INLINE void zero() {
    Tiles::zero<kFirst>();
    if constexpr (C == 2) Tiles::zero<1>();
    if constexpr (R == 2) Tiles::zero<2 + kFirst>();
    if constexpr (R == 2 && C == 2) Tiles::zero<3>();
  }
  static ASTGNN_INLINE void load(const float* from, int64_t stride) {
    const float* next = from + kTileHeight * stride;
    Tiles::load<kFirst>(from, 4 * stride);
    if constexpr (C == 2) Tiles::load<1>(from + kTileHeight, 4 * stride);
    if constexpr (R == 2) Tiles::load<2 + kFirst>(next, 4 * stride);
    if constexpr (R == 2 && C == 2) Tiles::load<3>(next + kTileHeight, 4 * stride);
  }
  static ASTGNN_INLINE void store(float* to, int64_t stride) {
    float* next = to + kTileHeight * stride;
    Tiles::store<kFirst>(to, 4 * stride);
    if constexpr (C == 2) Tiles::store<1>(to + kTileHeight, 4 * stride);
    if constexpr (R == 2) Tiles::store<2 + kFirst>(next, 4 * stride);
    if constexpr (R == 2 && C == 2) Tiles::store<3>(next + kTileHeight, 4 * stride);
  }
  // The products of a high and a low part come first or last, so that each part is loaded once.
  template <int kParts>
  static ASTGNN_INLINE void add(const TileProduct& p) {
    const Brain *left = p.left, *right = p.right;
    for (int64_t k = 0; k < p.depth; ++k) {
      load_left(left, p.left_stride);
      if constexpr (kParts == 2) {
        load_right(right + kTileElements, p.right_stride);
        dot();
      }
      load_right(right, p.right_stride);
      dot();
      if constexpr (kParts == 2) {
        load_left(left + kTileElements, p.left_stride);
        dot();
      }
      left += kParts * kTileElements;
      right += kParts * kTileElements;
    }
  }

 private:
  static constexpr int64_t kRow = kTileDepth * sizeof(Brain);
  static ASTGNN_INLINE void load_left(const Brain* tile, int64_t stride) {
    Tiles::load<4>(tile, kRow);
    if constexpr (R == 2) Tiles::load<5>(tile + stride, kRow);
  }
  static ASTGNN_INLINE void load_right(const Brain* tile, int64_t stride) {
    Tiles::load<6>(tile, kRow);
    if constexpr (C == 2) Tiles::load<7>(tile + stride, kRow);
  }
  static ASTGNN_INLINE void dot() {
    Tiles::dot<kFirst, 4, 6>();
    if constexpr (C == 2) Tiles::dot<1, 4, 7>();
    if constexpr (R == 2) Tiles::dot<2 + kFirst, 5, 6>();
    if constexpr (R == 2 && C == 2) Tiles::dot<3, 5, 7>();
  }
};

// c [rows, 16 columns] (rows c_stride apart) += the product. Its operands are whole tiles; of c no
// row past the last is read or written.
template <int kParts>
void add_tile_product(float* c, int64_t c_stride, int64_t rows, int64_t columns,
                      const TileProduct& product) {
  const auto block = [&]<int R, int C>(int64_t i, int64_t j) ASTGNN_INLINE_LAMBDA {
    using Sums = TileSums<R, C>;
    const TileProduct part = {product.left + i * product.left_stride, product.left_stride,
                              product.right + j * product.right_stride, product.right_stride,
                              product.depth};
    float* out = c + (i * c_stride + j) * kTileHeight;
    const int64_t left = rows - i * kTileHeight;
    if (left >= R * kTileHeight) {
      Sums::load(out, c_stride);
      Sums::template add<kParts>(part);
      Sums::store(out, c_stride);
      return;
    }
    alignas(64) float sums[R * kTileHeight][C * kTileHeight];
    Sums::zero();
    Sums::template add<kParts>(part);
    Sums::store(sums[0], C * kTileHeight);
    for (int64_t r = 0; r < left; ++r) {
      for (int64_t v = 0; v < C * kTileHeight; v += kTileHeight)
        store<float>(out + r * c_stride + v, load(out + r * c_stride + v) + load(sums[r] + v));
    }
  };
  const int64_t row_tiles = tiles_of(rows, kTileHeight);
  const auto column = [&]<int C>(int64_t j) ASTGNN_INLINE_LAMBDA {
    int64_t i = 0;
    for (; i + 2 <= row_tiles; i += 2) block.template operator()<2, C>(i, j);
    if (i < row_tiles) block.template operator()<1, C>(i, j);
  };
  int64_t j = 0;
  for (; j + 2 <= columns; j += 2) column.template operator()<2>(j);
  if (j < columns) column.template operator()<1>(j);
}

}  // namespace astgnn::ops::ASTGNN_ISA
