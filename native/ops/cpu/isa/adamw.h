// The update of AdamW with clipping and the moving average in one pass over the weights. Nothing is
// fused and sums have lanes of a fixed number: the same bits with every instruction set.
#pragma once

#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/isa/vector.h"

namespace astgnn::ops::ASTGNN_ISA {

template <class T>
double square_sum(const T* x, int64_t count) {
  constexpr int64_t kSums = 16;
  double sums[kSums] = {};
  int64_t k = 0;
  for (; k + kSums <= count; k += kSums) {
    for (int64_t i = 0; i < kSums; ++i) {
      const double value = static_cast<double>(x[k + i]);
      sums[i] += value * value;
    }
  }
  for (int64_t i = 0; k < count; ++k, ++i)
    sums[i] += static_cast<double>(x[k]) * static_cast<double>(x[k]);
  double total = 0;
  for (int64_t i = 0; i < kSums; ++i) total += sums[i];
  return total;
}

// Of a vector, or of one number: V.
template <class V, class T>
ASTGNN_INLINE void adamw_numbers(const AdamwStep<T>& step, V gradient, V& weight, V& first,
                                 V& second) {
  const V g = gradient * step.clip;
  first = first * step.beta1 + g * step.other1;
  second = second * step.beta2 + g * g * step.other2;
  weight = weight * step.decay - first * step.rate / (root(second) * step.root + step.eps);
}

template <class T>
void adamw(const AdamwStep<T>& step, const AdamwPart<T>& part) {
  int64_t k = 0;
  for (; k + kLanes<T> <= part.count; k += kLanes<T>) {
    Vec<T> weight = load(part.weight + k), first = load(part.first + k),
           second = load(part.second + k);
    adamw_numbers<Vec<T> >(step, load(part.gradient + k), weight, first, second);
    store<T>(part.weight + k, weight);
    store<T>(part.first + k, first);
    store<T>(part.second + k, second);
    if (!part.average) continue;
    const Vec<T> average = load(part.average + k);
    store<T>(part.average + k, average + (weight - average) * step.share);
  }
  for (; k < part.count; ++k) {
    adamw_numbers<T>(step, part.gradient[k], part.weight[k], part.first[k], part.second[k]);
    if (part.average) part.average[k] += (part.weight[k] - part.average[k]) * step.share;
  }
}

}  // namespace astgnn::ops::ASTGNN_ISA
