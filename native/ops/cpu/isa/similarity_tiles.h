// similarity_apply with its second product in bf16 tiles. Scores and weights stay float32: the
// exponential amplifies a score's error, and its sign decides. Two parts at every precision:
// weights close to 1 would lose their differences in one.
#pragma once

#include "ops/cpu/isa/similarity.h"
#include "ops/cpu/isa/tile_matrix.h"

namespace astgnn::ops::ASTGNN_ISA {

static_assert(kSimilarityBlock % kTileHeight == 0 && kSimilarityPanel % kTileDepth == 0);

struct SimilarityTileProducts {
  static constexpr int kParts = 2;
  static constexpr int64_t kTile = kParts * kTileElements, kDepth = kSimilarityPanel / kTileDepth;
  static constexpr int64_t kMostVectors = 16;

  const SimilarityPass<float>& pass;
  int64_t depth = 0;                                        // of the panel, in tiles
  alignas(64) Brain values[kMostVectors * kDepth * kTile];  // [vector][depth]
  alignas(
      64) Brain weights[kSimilarityBlock / kTileHeight * kDepth * kTile] = {};  // [row tile][depth]

  explicit SimilarityTileProducts(const SimilarityPass<float>& p) : pass(p) {}

  void take_panel(int64_t panel, int64_t stocks) {
    depth = tiles_of(stocks, kTileDepth);
    const float* from = pass.values + panel * pass.values_stride;
    for (int64_t v = 0; v < pass.vectors; ++v)
      pack_right<kParts>(values + v * depth * kTile, stocks, [&](int64_t k) ASTGNN_INLINE_LAMBDA {
        return from + k * pass.values_stride + v * kTileHeight;
      });
  }

  // Weights [rows, width]; 0 behind the panel's last stock.
  void add(int64_t row, int64_t rows, const float* from, int64_t width, bool add) {
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t k = 0; k < depth * kTileDepth; k += kTileHeight) {
        const Vec<float> value = k < width ? load(from + i * width + k) : Vec<float>{};
        store_row<kParts>(weights + (i / kTileHeight * depth + k / kTileDepth) * kTile,
                          i % kTileHeight, k / kTileHeight % 2, split<kParts>(value));
      }
    }
    float* out = pass.out + row * pass.out_stride;
    for (int64_t i = 0; !add && i < rows; ++i) {
      for (int64_t v = 0; v < pass.vectors; ++v)
        store<float>(out + i * pass.out_stride + v * kTileHeight, Vec<float>{});
    }
    add_tile_product<kParts>(out, pass.out_stride, rows, pass.vectors,
                             {weights, depth * kTile, values, depth * kTile, depth});
  }
};

inline void similarity_tile_apply(const SimilarityBlock<float>& b,
                                  const SimilarityPass<float>& pass) {
  if (pass.vectors > SimilarityTileProducts::kMostVectors) return similarity_apply<float>(b, pass);
  SimilarityTileProducts products(pass);
  Tiles::configure();
  apply_with<float>(b, pass, products);
  Tiles::release();
}

}  // namespace astgnn::ops::ASTGNN_ISA
