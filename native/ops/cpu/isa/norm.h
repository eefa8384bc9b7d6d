// Rows of a layer norm with what follows it. A row is read twice out of cache: for its mean, and
// for its spread about the mean.
#pragma once

#include "ops/cpu/isa/dropout.h"
#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/isa/vector.h"

namespace astgnn::ops::ASTGNN_ISA {

constexpr int64_t kRelu = 1, kTanh = 2;  // ops.h, Activation

// The last columns of a row that fill no vector; the rest of the lanes is 0.
template <class T>
ASTGNN_INLINE Vec<T> load_some(const T* p, int64_t count) {
  Vec<T> v = {};
  for (int64_t k = 0; k < count; ++k) v[k] = p[k];
  return v;
}
template <class T>
ASTGNN_INLINE void store_some(T* p, Vec<T> v, int64_t count) {
  for (int64_t k = 0; k < count; ++k) p[k] = v[k];
}

// body(column, load, store) for every vector of a row, the last one in part.
template <class T, class Body>
ASTGNN_INLINE void each_vector(int64_t columns, Body&& body) {
  int64_t c = 0;
  for (; c + kLanes<T> <= columns; c += kLanes<T>)
    body(
        c, [](const T* p) ASTGNN_INLINE_LAMBDA { return load(p); },
        [](T* p, Vec<T> v) ASTGNN_INLINE_LAMBDA { store<T>(p, v); });
  const int64_t rest = columns - c;
  if (rest > 0)
    body(
        c, [rest](const T* p) ASTGNN_INLINE_LAMBDA { return load_some(p, rest); },
        [rest](T* p, Vec<T> v) ASTGNN_INLINE_LAMBDA { store_some(p, v, rest); });
}

template <class T>
void norm_forward(const NormRows<T>& rows, int64_t begin, int64_t end) {
  const int64_t columns = rows.columns;
  for (int64_t row = begin; row < end; ++row) {
    const T* x = rows.x + row * columns;
    T* y = rows.y + row * columns;
    Vec<T> total = {}, spread = {};
    each_vector<T>(columns,
                   [&](int64_t c, auto read, auto) ASTGNN_INLINE_LAMBDA { total += read(x + c); });
    const T mean = sum<T>(total) / static_cast<T>(columns);
    int64_t c = 0;
    for (; c + kLanes<T> <= columns; c += kLanes<T>) {
      const Vec<T> d = load(x + c) - mean;
      spread = fused(d, d, spread);
    }
    T rest = 0;
    for (; c < columns; ++c) rest += (x[c] - mean) * (x[c] - mean);
    const T variance = (sum<T>(spread) + rest) / static_cast<T>(columns);
    const T inverse = static_cast<T>(1 / __builtin_sqrt(static_cast<double>(variance) + rows.eps));
    rows.moments[2 * row] = mean;
    rows.moments[2 * row + 1] = inverse;
    const bool dropout = rows.dropout.kept != 0;
    if (dropout) dropout_mask(y, rows.dropout, row, 0, columns);
    each_vector<T>(columns, [&](int64_t k, auto read, auto write) ASTGNN_INLINE_LAMBDA {
      Vec<T> v =
          fused((read(x + k) - mean) * inverse, read(rows.weight + k), read(rows.bias + k));
      if (rows.residual) v += read(rows.residual + row * columns + k);
      if (rows.activation == kRelu) v = positive<T>(v);
      if (rows.activation == kTanh) v = tanh(v);
      if (dropout) v *= read(y + k);
      write(y + k, v);
    });
  }
}

template <class T>
void norm_backward(const NormGradients<T>& rows, int64_t begin, int64_t end, T* dweight, T* dbias) {
  const int64_t columns = rows.columns;
  for (int64_t row = begin; row < end; ++row) {
    const T *x = rows.x + row * columns, *y = rows.y + row * columns,
            *grad = rows.grad + row * columns;
    T* dx = rows.dx + row * columns;
    const T mean = rows.moments[2 * row], inverse = rows.moments[2 * row + 1];
    Vec<T> total = {}, along = {};
    each_vector<T>(columns, [&](int64_t k, auto read, auto write) ASTGNN_INLINE_LAMBDA {
      Vec<T> g = read(grad + k);
      const Vec<T> out = read(y + k);
      if (rows.activation == kRelu) g = out <= T(0) ? Vec<T>{} : g * rows.kept;
      if (rows.activation == kTanh) g *= fused(-out, out, broadcast<T>(1));
      if (rows.dresidual) write(rows.dresidual + row * columns + k, g);
      const Vec<T> normed = (read(x + k) - mean) * inverse, h = g * read(rows.weight + k);
      write(dweight + k, fused(g, normed, read(dweight + k)));
      write(dbias + k, read(dbias + k) + g);
      total += h;
      along = fused(h, normed, along);
      write(dx + k, h);
    });
    const T mean_h = sum<T>(total) / static_cast<T>(columns),
            mean_along = sum<T>(along) / static_cast<T>(columns);
    each_vector<T>(columns, [&](int64_t k, auto read, auto write) ASTGNN_INLINE_LAMBDA {
      const Vec<T> normed = (read(x + k) - mean) * inverse;
      write(dx + k, fused(-normed, broadcast<T>(mean_along), read(dx + k) - mean_h) * inverse);
    });
  }
}

}  // namespace astgnn::ops::ASTGNN_ISA
