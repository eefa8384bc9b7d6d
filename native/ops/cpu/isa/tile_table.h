// The float kernels in bf16 tiles. Included last by amx.cpp and by the test that emulates tiles.
#pragma once

#include "ops/cpu/isa/gru_tiles.h"
#include "ops/cpu/isa/similarity_tiles.h"

namespace astgnn::ops::ASTGNN_ISA {

template <int kParts>
constexpr TileKernels tile_kernels() {
  return {gru_tile_scratch<kParts>, gru_tile_forward<kParts>, gru_tile_backward<kParts>,
          gru_packed_size<kParts>,  gru_pack<kParts>,         similarity_tile_apply};
}

}  // namespace astgnn::ops::ASTGNN_ISA
