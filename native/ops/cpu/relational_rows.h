// Rows of the relational embedding: in the order of the segments and back, the columns of its
// layers, and ranges of rows.
#pragma once

#include <ATen/ops/empty_like.h>

#include <algorithm>
#include <vector>

#include "ops/cpu/dropout_mask.h"
#include "ops/cpu/matrix.h"
#include "ops/cpu/parallel.h"
#include "ops/ops.h"
#include "ops/segments.h"

namespace astgnn::ops {

using at::Tensor;

// Rows of a packed matrix in the order of the segments, and back.
template <class T>
Tensor ordered(const Tensor& packed_any, const Segments& segments) {
  const Tensor packed = packed_any.contiguous();
  if (segments.ordered) return packed;
  Tensor out = at::empty_like(packed);
  const int64_t width = packed.size(1);
  for (size_t place = 0; place < segments.rows.size(); ++place) {
    std::copy_n(packed.const_data_ptr<T>() + segments.rows[place] * width, width,
                out.mutable_data_ptr<T>() + place * width);
  }
  return out;
}
template <class T>
Tensor packed(const Tensor& ordered, const Segments& segments) {
  if (segments.ordered) return ordered;
  Tensor out = at::empty_like(ordered);
  const int64_t width = ordered.size(1);
  for (size_t place = 0; place < segments.rows.size(); ++place) {
    std::copy_n(ordered.const_data_ptr<T>() + place * width, width,
                out.mutable_data_ptr<T>() + segments.rows[place] * width);
  }
  return out;
}

// M as the similarity takes it, and the backward for its gradient: times the mask of site kRisk,
// row by row.
template <class T>
Tensor dropped_factors(const Tensor& ordered, const Segments& segments, const DropoutMask& mask) {
  if (!mask.active()) return ordered;
  Tensor out = ordered.clone();
  const int64_t factors = out.size(1);
  for (size_t place = 0; place < segments.rows.size(); ++place) {
    mask.apply(out.mutable_data_ptr<T>() + place * factors, segments.rows[place], 0, factors);
  }
  return out;
}

// How each layer goes over the graph and where its columns lie: (A X) W where X is narrower than
// X W, in vectors, else A (X W). `width` is that of what A multiplies.
struct Layout {
  std::vector<int64_t> widths, starts;
  std::vector<bool> inputs;  // A multiplies the layer's input
  int64_t total = 0;

  Layout(at::TensorList weights, int64_t lanes) {
    const auto whole = [&](int64_t width) { return (width + lanes - 1) / lanes * lanes; };
    for (const Tensor& weight : weights) {
      const int64_t in = weight.size(0), out = weight.size(1);
      inputs.push_back(whole(in) < whole(out));
      widths.push_back(inputs.back() ? in : out);
      starts.push_back(total);
      total += whole(widths.back());
    }
  }
  int64_t layers() const { return static_cast<int64_t>(widths.size()); }
  int64_t padded(int64_t layer) const {
    return (layer + 1 < layers() ? starts[layer + 1] : total) - starts[layer];
  }
};

// to [count, padded], stride apart = from [count, width], 0 behind its columns.
template <class T>
void pad_rows(const T* from, int64_t count, int64_t width, T* to, int64_t padded, int64_t stride) {
  for (int64_t i = 0; i < count; ++i)
    std::fill(std::copy_n(from + i * width, width, to + i * stride), to + i * stride + padded, T(0));
}

// to [count, width] = from, stride apart, + bias, without its negative part where positive_only.
template <class T>
void add_bias(const T* __restrict from, int64_t stride, int64_t count, int64_t width,
              const T* __restrict bias, bool positive_only, T* __restrict to) {
  for (int64_t i = 0; i < count; ++i, from += stride, to += width) {
    for (int64_t c = 0; c < width; ++c) {
      const T z = from[c] + bias[c];
      to[c] = positive_only && z < T(0) ? T(0) : z;
    }
  }
}

// body(range, first row, rows) with ATen and MKL on this thread only. Ranges depend on the number
// of rows alone.
inline int64_t rows_of_range(int64_t rows) {
  constexpr int64_t kRows = 128, kRanges = 32;
  return std::max(kRows, (rows / kRanges + kRows - 1) / kRows * kRows);
}
inline int64_t count_ranges(int64_t rows) {
  return (rows + rows_of_range(rows) - 1) / rows_of_range(rows);
}
template <class Body>
void each_range(int64_t rows, Body&& body) {
  const int64_t step = rows_of_range(rows);
  each_in_parallel(count_ranges(rows), [&](int64_t k) {
    const SequentialRegion sequential;
    body(k, k * step, std::min(step, rows - k * step));
  });
}

}  // namespace astgnn::ops
