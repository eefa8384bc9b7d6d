// What every instruction set exports. Included last by avx512.cpp, avx2.cpp and scalar.cpp.
#pragma once

#include "ops/cpu/isa/adamw.h"
#include "ops/cpu/isa/attention.h"
#include "ops/cpu/isa/dropout.h"
#include "ops/cpu/isa/edge_attention.h"
#include "ops/cpu/isa/gru.h"
#include "ops/cpu/isa/norm.h"
#include "ops/cpu/isa/similarity_gradient.h"

namespace astgnn::ops::ASTGNN_ISA {

template <class T>
constexpr KernelsOf<T> table() {
  return {kLanes<T>,
          dropout_mask<T>,
          gru_scratch<T>,
          gru_forward<T>,
          gru_backward<T>,
          nullptr,
          nullptr,
          drop_values<T>,
          attention_scratch<T>,
          attention_forward<T>,
          attention_backward<T>,
          edge_scratch<T>,
          edge_forward<T>,
          edge_backward<T>,
          row_products<T>,
          similarity_scores<T>,
          similarity_apply<T>,
          similarity_combine<T>,
          similarity_prepare<T>,
          similarity_gradient<T>,
          norm_forward<T>,
          norm_backward<T>,
          square_sum<T>,
          adamw<T>};
}

}  // namespace astgnn::ops::ASTGNN_ISA
