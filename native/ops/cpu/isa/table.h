// What every instruction set exports. Included last by avx512.cpp, avx2.cpp and scalar.cpp.
#pragma once

#include "ops/cpu/isa/dropout.h"
#include "ops/cpu/isa/gru.h"
#include "ops/cpu/isa/similarity_gradient.h"

namespace astgnn::ops::ASTGNN_ISA {

template <class T>
constexpr KernelsOf<T> table() {
  return {kLanes<T>,
          dropout_mask<T>,
          gru_scratch<T>,
          gru_forward<T>,
          gru_backward<T>,
          similarity_scores<T>,
          similarity_apply<T>,
          similarity_combine<T>,
          similarity_prepare<T>,
          similarity_gradient<T>};
}

}  // namespace astgnn::ops::ASTGNN_ISA
