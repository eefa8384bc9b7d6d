// A block of rows runs through all steps and layers at once, so that its gates stay in cache. Per
// step and layer, tiles of rows x (r, z, n of the input, n of the state) are summed in registers
// and the gates applied there. The backward repeats the forward, keeping every gate, then walks the
// dates down with all layers of a date together: what a layer hands to the one below never leaves
// the cache. Weight gradients are the product of several steps' rows at a time.
#pragma once

#include "ops/cpu/isa/dropout.h"
#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/isa/vector.h"

namespace astgnn::ops::ASTGNN_ISA {

// Rows whose four sums per vector of hidden units fill the registers.
#if defined(__AVX512F__)
constexpr int kGateRows = 6;
#elif defined(__AVX2__)
constexpr int kGateRows = 3;
#else
constexpr int kGateRows = 2;
#endif

// Of a value that is -0 where it was dropped and nowhere else.
template <class T>
ASTGNN_INLINE typename VectorOf<T>::Whole is_dropped(Vec<T> x) {
  using Whole = typename VectorOf<T>::Whole;
  return reinterpret_cast<Whole>(x) == reinterpret_cast<Whole>(broadcast(T(-0.0)));
}

// One layer's part of a block's scratch, [step, row, ...]; a forward without backward keeps two
// states and one step of the rest.
template <class T>
struct GruMemory {
  int64_t rows, hidden;  // rounded up
  bool keep;
  T* states;   // [window + 1 or 2, rows, P]; state 0 is 0
  T* gates;    // [window, rows, 4 P]: r, z, n, W_hn h + b_hn; only where kept
  T* mask;     // [rows, P]: of one step
  T* dropped;  // [window or 1, rows, P]: states times their mask; -0 where dropped, and only there

  static int64_t size(int64_t rows, int64_t hidden, int64_t window, bool keep, bool dropout) {
    const int64_t step = rows * hidden;
    return keep ? step * (window + 1 + 4 * window + (dropout ? window + 1 : 0))
                : step * (2 + (dropout ? 2 : 0));
  }
  T* take(T* memory, int64_t window, bool dropout) {
    const int64_t step = rows * hidden, kept = keep ? window : 1;
    states = memory;
    memory += step * (keep ? window + 1 : 2);
    gates = memory;
    memory += keep ? 4 * step * window : 0;
    mask = memory;
    dropped = memory + step;
    return dropout ? dropped + step * kept : memory;
  }
  T* state(int64_t t) const { return states + (keep ? t : t % 2) * rows * hidden; }
  T* output(int64_t t, bool dropout) const {  // of step t: what the layer above sees
    return dropout ? dropped + (keep ? t : 0) * rows * hidden : state(t + 1);
  }
};

constexpr int64_t kGruMaxLayers = 64;

// Rows of a block whose scratch of 20 steps stays in the second-level cache, and steps whose gate
// gradients are gathered for one product.
constexpr int64_t kGruBlock = 24, kGruSteps = 4;

// From one row of gate gradients [4 P] to the next: not a power of two, which would put all rows
// into a few sets of the cache.
template <class T>
ASTGNN_INLINE int64_t delta_stride(int64_t width) {
  return 4 * width + kLanes<T>;
}

template <class T, int64_t rows = kGruBlock, int64_t steps = kGruSteps>
int64_t gru_scratch(const GruLayers<T>& layers, int64_t window, bool backward) {
  const int64_t hidden = whole_vectors<T>(layers.hidden);
  int64_t total = 0, widest = hidden;
  for (int64_t l = 0; l < layers.count; ++l) {
    total +=
        GruMemory<T>::size(rows, hidden, window, backward, layers.layer[l].dropout.kept != 0);
    const int64_t inputs = whole_vectors<T>(layers.layer[l].inputs);
    widest = inputs > widest ? inputs : widest;
  }
  // Backward: a carry and the gathered gate gradients per layer, and the gradient below.
  if (!backward) return total;
  return total + rows * (layers.count * (hidden + steps * delta_stride<T>(hidden)) + widest);
}

// Row i's input at one step: a pointer per row, or rows that lie together.
template <class T>
struct ScatteredRows {
  const T* const* row;
  int64_t shift;
  ASTGNN_INLINE const T* at(int64_t i) const { return row[i] + shift; }
};
template <class T>
struct DenseRows {
  const T* first;
  int64_t stride;
  ASTGNN_INLINE const T* at(int64_t i) const { return first + i * stride; }
};

// The gates of one row and vector of units, from their sums; returns the new state.
template <class T>
ASTGNN_INLINE Vec<T> gru_gates(const GruLayer<T>& layer, const GruMemory<T>& memory, int64_t t,
                               int64_t row, int64_t column, const Vec<T> (&sums)[4]) {
  const int64_t width = memory.hidden, place = row * width + column;
  const Vec<T> r = sigmoid(sums[0]), z = sigmoid(sums[1]);
  const Vec<T> n = tanh(fused(r, sums[3], sums[2]));
  const Vec<T> state = fused(z, load(memory.state(t) + place) - n, n);
  store<T>(memory.state(t + 1) + place, state);
  if (memory.keep) {
    T* gates = memory.gates + (t * memory.rows + row) * 4 * width + column;
    store<T>(gates, r);
    store<T>(gates + width, z);
    store<T>(gates + 2 * width, n);
    store<T>(gates + 3 * width, sums[3]);
  }
  if (layer.dropout.kept != 0) {
    const Vec<T> mask = load(memory.mask + place);
    store<T>(memory.output(t, true) + place,
             mask == T(0) ? broadcast(T(-0.0)) : state * mask + T(0));
  }
  return state;
}

template <class T, class X>
ASTGNN_INLINE void gru_tile(const GruLayer<T>& layer, int64_t hidden, const GruMemory<T>& memory,
                            const X& x, int64_t t, int64_t row, int64_t chunk) {
  constexpr int L = kLanes<T>, R = kGateRows;
  const int64_t width = memory.hidden, column = chunk * L;
  Vec<T> sums[R][4];
  const T* bias = layer.bias + chunk * 4 * L;
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) sums[i][g] = load(bias + g * L);
  }
  const T* w = layer.forward_input + chunk * layer.inputs * 3 * L;
  const T* own[R];
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) own[i] = x.at(row + i);
  for (int64_t k = 0; k < layer.inputs; ++k, w += 3 * L) {
    const Vec<T> r = load(w), z = load(w + L), n = load(w + 2 * L);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const Vec<T> value = broadcast<T>(own[i][k]);
      sums[i][0] = fused(value, r, sums[i][0]);
      sums[i][1] = fused(value, z, sums[i][1]);
      sums[i][2] = fused(value, n, sums[i][2]);
    }
  }
  const T* before = memory.state(t) + row * width;
  if (t > 0) {  // the first state is 0
    w = layer.forward_hidden + chunk * hidden * 3 * L;
    for (int64_t k = 0; k < hidden; ++k, w += 3 * L) {
      const Vec<T> r = load(w), z = load(w + L), n = load(w + 2 * L);
#pragma GCC unroll 8
      for (int i = 0; i < R; ++i) {
        const Vec<T> value = broadcast<T>(before[i * width + k]);
        sums[i][0] = fused(value, r, sums[i][0]);
        sums[i][1] = fused(value, z, sums[i][1]);
        sums[i][3] = fused(value, n, sums[i][3]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) gru_gates<T>(layer, memory, t, row + i, column, sums[i]);
}

template <class T, class X>
void gru_step(const GruLayer<T>& layer, int64_t hidden, const GruMemory<T>& memory, const X& x,
              int64_t t) {
  for (int64_t chunk = 0; chunk < memory.hidden / kLanes<T>; ++chunk) {
    for (int64_t row = 0; row < memory.rows; row += kGateRows)
      gru_tile(layer, hidden, memory, x, t, row, chunk);
  }
}

// Masks of a layer for one step; rows and columns that only fill up get 0.
template <class T>
void gru_masks(const GruLayer<T>& layer, int64_t hidden, const GruMemory<T>& memory,
               const GruBlock<T>& block, int64_t t) {
  DropoutSite site = layer.dropout;
  site.where += static_cast<uint32_t>(t);
  T* mask = memory.mask;
  for (int64_t i = 0; i < memory.rows; ++i, mask += memory.hidden) {
    const int64_t count = i < block.rows ? hidden : 0;
    if (count > 0) dropout_mask(mask, site, block.first_row + i, 0, count);
    for (int64_t k = count; k < memory.hidden; ++k) mask[k] = T(0);
  }
}

// Fills memory (one per layer) and runs all steps. Returns what is left of the scratch.
template <class T, class Products>
T* gru_run(Products& products, const GruLayers<T>& layers, const GruBlock<T>& block, bool keep,
           GruMemory<T>* memory) {
  const int64_t hidden = whole_vectors<T>(layers.hidden),
                rows = rounded_up(block.rows, Products::kRows);
  T* scratch = block.scratch;
  for (int64_t l = 0; l < layers.count; ++l) {
    memory[l] = {rows, hidden, keep, nullptr, nullptr, nullptr, nullptr};
    scratch = memory[l].take(scratch, block.window, layers.layer[l].dropout.kept != 0);
    for (int64_t k = 0; k < rows * hidden; ++k) memory[l].states[k] = T(0);
  }
  for (int64_t t = 0; t < block.window; ++t) {
    for (int64_t l = 0; l < layers.count; ++l) {
      const GruLayer<T>& layer = layers.layer[l];
      if (layer.dropout.kept != 0) gru_masks(layer, layers.hidden, memory[l], block, t);
      products.step(layers, block, memory, l, t);
    }
  }
  return scratch;
}

// body(part, first row) for parts of a block of at most `rows` rows each.
template <class T, class Body>
ASTGNN_INLINE void each_part(const GruBlock<T>& block, int64_t rows, Body&& body) {
  for (int64_t i = 0; i < block.rows; i += rows) {
    GruBlock<T> part = block;
    part.rows = block.rows - i < rows ? block.rows - i : rows;
    part.first_row += i;
    part.x += i;
    body(part, i);
  }
}

template <class T, class Products>
void gru_forward_with(Products& products, const GruLayers<T>& layers, const GruBlock<T>& block,
                      T* out, int64_t out_stride) {
  GruMemory<T> memory[kGruMaxLayers];
  gru_run(products, layers, block, false, memory);
  const GruMemory<T>& top = memory[layers.count - 1];
  for (int64_t i = 0; i < block.rows; ++i) {
    for (int64_t k = 0; k < layers.hidden; ++k)
      out[i * out_stride + k] = top.state(block.window)[i * top.hidden + k];
  }
}

// Gate gradients of one step, [rows, 4 P] (delta_stride apart) in the order dpn, dr, dz, dhn: the
// first three belong to W_ih with its rows in the order n, r, z, the last three to W_hh. carry: dh
// in, the part of dh_{t-1} that goes past the gates out.
template <class T>
void gru_gate_gradients(const GruMemory<T>& memory, int64_t t, T* carry, T* deltas) {
  const int64_t width = memory.hidden;
  const T* before = memory.state(t);
  for (int64_t i = 0; i < memory.rows; ++i) {
    const T* gates = memory.gates + (t * memory.rows + i) * 4 * width;
    T* delta = deltas + i * delta_stride<T>(width);
    for (int64_t k = 0; k < width; k += kLanes<T>) {
      const Vec<T> r = load(gates + k), z = load(gates + width + k),
                   n = load(gates + 2 * width + k), candidate = load(gates + 3 * width + k),
                   dh = load(carry + i * width + k), kept = dh * z, left = T(1) - z;
      const Vec<T> dpn = dh * left * fused(-n, n, broadcast<T>(1)), dhn = dpn * r;
      store<T>(delta + k, dpn);
      store<T>(delta + width + k, dhn * candidate * (T(1) - r));
      store<T>(delta + 2 * width + k, kept * left * (load(before + i * width + k) - n));
      store<T>(delta + 3 * width + k, dhn);
      store<T>(carry + i * width + k, kept);
    }
  }
}

// Of `count` steps from t on, one after the other in deltas.
template <class T, class X>
void gru_weight_gradients(const GruLayer<T>& layer, int64_t hidden, const GruMemory<T>& memory,
                          const X& x, int64_t t, int64_t count, const T* deltas,
                          const GruSums<T>& sums) {
  const int64_t width = memory.hidden, vectors = 3 * width / kLanes<T>,
                stride = delta_stride<T>(width);
  multiply_add<T, kTileRows, kTileVectors>(
      sums.input, 3 * width, layer.inputs, vectors, count * memory.rows,
      [&](int64_t i, int64_t k) ASTGNN_INLINE_LAMBDA { return x.at(k)[i]; }, deltas, stride);
  const int64_t skipped = t == 0 ? memory.rows : 0;  // the first state is 0
  const T* before = memory.state(t) + skipped * width;
  multiply_add<T, kTileRows, kTileVectors>(
      sums.hidden, 3 * width, hidden, vectors, count * memory.rows - skipped,
      [&](int64_t i, int64_t k) ASTGNN_INLINE_LAMBDA { return before[k * width + i]; },
      deltas + skipped * stride + width, stride);
}

template <class T>
void gru_bias_gradients(const GruMemory<T>& memory, const T* deltas, T* sums) {
  const int64_t columns = 4 * memory.hidden, stride = delta_stride<T>(memory.hidden);
  for (int64_t c = 0; c < columns; c += kLanes<T>) {
    Vec<T> total = load(sums + c);
    for (int64_t i = 0; i < memory.rows; ++i) total += load(deltas + i * stride + c);
    store<T>(sums + c, total);
  }
}

// Products in vectors of T; those of gru_tiles.h are the other kind.
template <class T>
struct GruProducts {
  static constexpr int64_t kRows = 12;  // a block's rows are rounded up to a multiple
  static constexpr int64_t kSteps = kGruSteps;

  void step(const GruLayers<T>& layers, const GruBlock<T>& block, const GruMemory<T>* memory,
            int64_t l, int64_t t) {
    with_input(layers, block, memory, l, t, [&](const auto& x) ASTGNN_INLINE_LAMBDA {
      gru_step(layers.layer[l], layers.hidden, memory[l], x, t);
    });
  }
  // Of `count` steps from t on. With one step at a time it comes before the two below.
  void to_weights(const GruLayers<T>& layers, const GruBlock<T>& block, const GruMemory<T>* memory,
                  int64_t l, int64_t t, int64_t count, const T* deltas, const GruSums<T>& sums) {
    const int64_t rows = memory[l].rows;
    if (l > 0) {
      const bool dropout = layers.layer[l - 1].dropout.kept != 0;
      const DenseRows<T> x{memory[l - 1].output(t, dropout), memory[l].hidden};
      return gru_weight_gradients(layers.layer[l], layers.hidden, memory[l], x, t, count, deltas,
                                  sums);
    }
    const T* x[kSteps * kGruBlock];
    for (int64_t k = 0; k < count * rows; ++k)
      x[k] = block.x[k % rows] + (t + k / rows) * block.x_step;
    gru_weight_gradients(layers.layer[0], layers.hidden, memory[0], ScatteredRows<T>{x, 0}, t,
                         count, deltas, sums);
  }
  void to_state(const GruLayer<T>& layer, const GruMemory<T>& memory, const T* deltas, T* carry) {
    multiply(carry, memory.hidden, memory, deltas + memory.hidden, layer.back_hidden);
  }
  void to_input(const GruLayer<T>& layer, const GruMemory<T>& memory, const T* deltas, T* out,
                int64_t columns) {
    multiply(out, columns, memory, deltas, layer.back_input);
  }
  void finish(const GruLayers<T>&, const GruSums<T>*) {}

 private:
  template <class Body>
  static void with_input(const GruLayers<T>& layers, const GruBlock<T>& block,
                         const GruMemory<T>* memory, int64_t l, int64_t t, Body&& body) {
    if (l == 0) return body(ScatteredRows<T>{block.x, t * block.x_step});
    const bool dropout = layers.layer[l - 1].dropout.kept != 0;
    body(DenseRows<T>{memory[l - 1].output(t, dropout), memory[l].hidden});
  }
  static void multiply(T* out, int64_t columns, const GruMemory<T>& memory, const T* deltas,
                       const T* weights) {
    const int64_t width = memory.hidden, stride = delta_stride<T>(width);
    multiply_add<T, kTallRows, kTallVectors>(
        out, columns, memory.rows, columns / kLanes<T>, 3 * width,
        [&](int64_t i, int64_t k) ASTGNN_INLINE_LAMBDA { return deltas[i * stride + k]; },
        weights, columns);
  }
};

// dx: of the first row of this part of a block of `dx_rows` rows.
template <class T, class Products>
void gru_backward_with(Products& products, const GruLayers<T>& layers, const GruBlock<T>& block,
                       const T* grad, int64_t grad_stride, const GruSums<T>* sums, T* dx,
                       int64_t dx_rows) {
  GruMemory<T> memory[kGruMaxLayers];
  T* carries = gru_run(products, layers, block, true, memory);
  const int64_t width = memory[0].hidden, rows = memory[0].rows, size = rows * width;
  T* gathered = carries + layers.count * size;
  const int64_t step = rows * delta_stride<T>(width), steps = Products::kSteps;
  T* below = gathered + layers.count * steps * step;
  for (int64_t k = 0; k < layers.count * size; ++k) carries[k] = T(0);
  T* top = carries + (layers.count - 1) * size;
  for (int64_t i = 0; i < block.rows; ++i) {
    for (int64_t k = 0; k < layers.hidden; ++k) top[i * width + k] = grad[i * grad_stride + k];
  }
  for (int64_t t = block.window - 1; t >= 0; --t) {
    for (int64_t l = layers.count - 1; l >= 0; --l) {
      const GruLayer<T>& layer = layers.layer[l];
      T* carry = carries + l * size;
      T* group = gathered + l * steps * step;
      T* deltas = group + t % steps * step;
      gru_gate_gradients(memory[l], t, carry, deltas);
      gru_bias_gradients(memory[l], deltas, sums[l].bias);
      if (t % steps == 0) {
        const int64_t count = t + steps < block.window ? steps : block.window - t;
        products.to_weights(layers, block, memory, l, t, count, group, sums[l]);
      }
      if (t > 0) products.to_state(layer, memory[l], deltas, carry);
      if (l > 0) {
        T* lower = carries + (l - 1) * size;
        if (layers.layer[l - 1].dropout.kept == 0) {
          products.to_input(layer, memory[l], deltas, lower, width);
          continue;
        }
        for (int64_t k = 0; k < size; ++k) below[k] = T(0);
        products.to_input(layer, memory[l], deltas, below, width);
        const T* seen = memory[l - 1].output(t, true);
        const T kept = static_cast<T>(layers.layer[l - 1].dropout.kept);
        for (int64_t k = 0; k < size; k += kLanes<T>) {
          const Vec<T> through = load(below + k) * kept;
          store<T>(lower + k,
                   load(lower + k) + (is_dropped<T>(load(seen + k)) ? Vec<T>{} : through));
        }
        continue;
      }
      if (!dx) continue;
      const int64_t columns = whole_vectors<T>(layer.inputs);
      for (int64_t k = 0; k < rows * columns; ++k) below[k] = T(0);
      products.to_input(layer, memory[l], deltas, below, columns);
      for (int64_t k = 0; k < block.rows * columns; ++k) dx[t * dx_rows * columns + k] = below[k];
    }
  }
  products.finish(layers, sums);
}

template <class T>
void gru_forward(const GruLayers<T>& layers, const GruBlock<T>& block, T* out, int64_t out_stride) {
  GruProducts<T> products;
  each_part(block, kGruBlock, [&](const GruBlock<T>& part, int64_t row) {
    gru_forward_with(products, layers, part, out + row * out_stride, out_stride);
  });
}
template <class T>
void gru_backward(const GruLayers<T>& layers, const GruBlock<T>& block, const T* grad,
                  int64_t grad_stride, const GruSums<T>* sums, T* dx) {
  GruProducts<T> products;
  const int64_t columns = whole_vectors<T>(layers.layer[0].inputs);
  each_part(block, kGruBlock, [&](const GruBlock<T>& part, int64_t row) {
    gru_backward_with(products, layers, part, grad + row * grad_stride, grad_stride, sums,
                      dx ? dx + row * columns : dx, block.rows);
  });
}

}  // namespace astgnn::ops::ASTGNN_ISA
