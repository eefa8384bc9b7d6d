// The GRU of gru.h with its products in bf16 tiles. Weights are packed once per op call. Forward, a
// unit of work is 16 rows times 16 hidden units: its four sums go through 4 KB to the gates, which
// are computed a few rows at a time between the products of the next unit; the new state is packed
// at once for the next step and the layer above. In the backward,
// rows of several steps are gathered until they fill tiles, which saves loads and stores of the
// weight gradients.
#pragma once

#include "ops/cpu/isa/gru.h"
#include "ops/cpu/isa/tile_matrix.h"

namespace astgnn::ops::ASTGNN_ISA {

// Packed weights of a layer, right operands, and where they lie.
template <int kParts>
struct GruTileWeights {
  static constexpr int64_t kTile = kParts * kTileElements;

  int64_t chunks, input_chunks;           // of 16 hidden units, inputs
  int64_t input_depth, state_depth;       // tiles of 32 inputs, hidden units
  int64_t forward_input, forward_hidden;  // [chunk][r, z, n][depth]
  int64_t back_input, back_hidden;        // [chunk][gate][state_depth], gates as in GruLayer
  int64_t size;

  GruTileWeights(const GruLayer<float>& layer, int64_t hidden)
      : chunks(tiles_of(hidden, kTileHeight)),
        input_chunks(tiles_of(layer.inputs, kTileHeight)),
        input_depth(tiles_of(layer.inputs, kTileDepth)),
        state_depth(tiles_of(hidden, kTileDepth)),
        forward_input(0),
        forward_hidden(chunks * 3 * input_depth * kTile),
        back_input(forward_hidden + chunks * 3 * state_depth * kTile),
        back_hidden(back_input + input_chunks * 3 * state_depth * kTile),
        size(layer.back_hidden ? back_hidden + chunks * 3 * state_depth * kTile : back_input) {}
};

template <int kParts>
int64_t gru_packed_size(const GruLayer<float>& layer, int64_t hidden) {
  return GruTileWeights<kParts>(layer, hidden).size;
}

template <int kParts>
void gru_pack(const GruLayer<float>& layer, int64_t hidden, Brain* memory) {
  constexpr int64_t kTile = kParts * kTileElements;
  const GruTileWeights<kParts> to(layer, hidden);
  const int64_t width = to.chunks * kTileHeight, padded = to.input_chunks * kTileHeight;
  for (int64_t gate = 0; gate < 3; ++gate) {
    const auto forward = [&](Brain* tiles, const float* from, int64_t depth, int64_t stride) {
      for (int64_t c = 0; c < to.chunks; ++c)
        pack_right<kParts>(tiles + (c * 3 + gate) * stride * kTile, depth, [&](int64_t k) {
          return from + ((c * depth + k) * 3 + gate) * kTileHeight;
        });
    };
    forward(memory + to.forward_input, layer.forward_input, layer.inputs, to.input_depth);
    forward(memory + to.forward_hidden, layer.forward_hidden, hidden, to.state_depth);
    if (!layer.back_hidden) continue;
    const auto back = [&](Brain* tiles, const float* from, int64_t columns) {
      for (int64_t c = 0; c < columns; c += kTileHeight)
        pack_right<kParts>(tiles + (c / kTileHeight * 3 + gate) * to.state_depth * kTile, width,
                           [&](int64_t k) { return from + (gate * width + k) * columns + c; });
    };
    back(memory + to.back_input, layer.back_input, padded);
    back(memory + to.back_hidden, layer.back_hidden, width);
  }
}

// The first `count` of 16 elements; the rest is 0 and not read.
ASTGNN_INLINE Vec<float> load_part(const float* p, int64_t count) {
  if (count >= kLanes<float>) return load(p);
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
}

template <int kParts>
class GruTileProducts {
 public:
  static constexpr int64_t kRows = kTileHeight, kSteps = 1;
  // Rows at a time: the gates of a backward stay in the second-level cache.
  static constexpr int64_t block(bool backward) { return backward ? kTileHeight : kGruRows; }

  // Places everything into memory and returns its size in floats; null only measures.
  int64_t take(const GruLayers<float>& layers, bool backward, float* memory) {
    hidden_ = layers.hidden;
    chunks_ = tiles_of(hidden_, kTileHeight);
    depth_ = tiles_of(hidden_, kTileDepth);
    int64_t used = 0;
    const auto tiles = [&](int64_t count) -> Brain* {
      Brain* at = memory ? reinterpret_cast<Brain*>(memory + used) : nullptr;
      used += count * kTile / 2;
      return at;
    };
    const int64_t rows = block(backward) / kTileHeight;
    int64_t widest = chunks_;
    input_ = tiles(rows * tiles_of(layers.layer[0].inputs, kTileDepth));
    for (int64_t l = 0; l < layers.count; ++l) {
      Layer& own = layer_[l];
      own.state[0] = tiles(rows * depth_);
      own.state[1] = tiles(rows * depth_);
      own.dropped = layers.layer[l].dropout.kept != 0 ? tiles(rows * depth_) : nullptr;
    }
    packed_ = used;
    if (!backward) return used;
    for (int64_t l = 0; l < layers.count; ++l) {
      const int64_t inputs = tiles_of(layers.layer[l].inputs, kTileHeight);
      widest = inputs > widest ? inputs : widest;
      layer_[l].gathered = 0;
      layer_[l].inputs = tiles(inputs * kGathered);
      layer_[l].states = tiles(chunks_ * kGathered);
      layer_[l].deltas = tiles(4 * chunks_ * kGathered);
    }
    deltas_ = tiles(rows * 4 * depth_);
    transposed_ = tiles(widest * kGathered);
    return used;
  }

  // What only fills up has to be 0, and so has the first state.
  void clear(float* memory) {
    for (int64_t k = 0; k < packed_; k += kLanes<float>) store<float>(memory + k, Vec<float>{});
  }

  void step(const GruLayers<float>& layers, const GruBlock<float>& block,
            const GruMemory<float>* memory, int64_t l, int64_t t) {
    const GruLayer<float>& layer = layers.layer[l];
    const Brain* x = input_;
    if (l == 0) {
      pack_input(layer.inputs, memory[0].rows, block, t);
    } else {
      const Layer& below = layer_[l - 1];
      x = below.dropped ? below.dropped : below.state[(t + 1) % 2];
    }
    alignas(64) float sums[2][kTileHeight][4][kTileHeight];
    const int64_t row_tiles = memory[l].rows / kTileHeight, units = row_tiles * chunks_;
    for (int64_t unit = 0; unit <= units; ++unit) {
      int64_t done = unit > 0 ? 0 : kTileHeight;  // rows of the unit before
      const auto gates = [&](int64_t rows) ASTGNN_INLINE_LAMBDA {
        for (; rows > 0 && done < kTileHeight; --rows, ++done) {
          const int64_t row = (unit - 1) % row_tiles, chunk = (unit - 1) / row_tiles;
          unit_gates(layer, memory[l], layer_[l], t, row, chunk, done, sums[(unit - 1) % 2][done]);
        }
      };
      if (unit < units)
        unit_sums(layer, layer_[l], x, t, unit % row_tiles, unit / row_tiles, sums[unit % 2][0][0],
                  gates);
      gates(kTileHeight);
    }
  }

  void to_weights(const GruLayers<float>& layers, const GruBlock<float>& block,
                  const GruMemory<float>* memory, int64_t l, int64_t t, int64_t,
                  const float* deltas, const GruSums<float>& sums) {
    Layer& own = layer_[l];
    const int64_t width = memory[l].hidden, row_tiles = memory[l].rows / kTileHeight;
    if (own.gathered + row_tiles > 2 * kGathered) flush(layers.layer[l], own, sums);
    for (int64_t row = 0; row < row_tiles; ++row, ++own.gathered) {
      pack_deltas(deltas + row * kTileHeight * delta_stride<float>(width), row, own);
      gather(own, own.states, chunks_, [&](int64_t i, int64_t c) ASTGNN_INLINE_LAMBDA {
        return load(memory[l].state(t) + (row * kTileHeight + i) * width + c * kTileHeight);
      });
      const int64_t inputs = layers.layer[l].inputs, chunks = tiles_of(inputs, kTileHeight);
      if (l == 0) {
        gather(own, own.inputs, chunks, [&](int64_t i, int64_t c) ASTGNN_INLINE_LAMBDA {
          return load_part(block.x[row * kTileHeight + i] + t * block.x_step + c * kTileHeight,
                           inputs - c * kTileHeight);
        });
      } else {
        const float* x = memory[l - 1].output(t, layer_[l - 1].dropped != nullptr);
        gather(own, own.inputs, chunks, [&](int64_t i, int64_t c) ASTGNN_INLINE_LAMBDA {
          return load(x + (row * kTileHeight + i) * width + c * kTileHeight);
        });
      }
    }
  }

  void to_state(const GruLayer<float>& layer, const GruMemory<float>& memory, const float*,
                float* carry) {
    const GruTileWeights<kParts> w(layer, hidden_);
    add_tile_product<kParts>(carry, memory.hidden, memory.rows, chunks_,
                             back(deltas_ + depth_ * kTile, layer.packed + w.back_hidden));
  }
  void to_input(const GruLayer<float>& layer, const GruMemory<float>& memory, const float*,
                float* out, int64_t columns) {
    const GruTileWeights<kParts> w(layer, hidden_);
    add_tile_product<kParts>(out, columns, memory.rows, columns / kTileHeight,
                             back(deltas_, layer.packed + w.back_input));
  }
  void finish(const GruLayers<float>& layers, const GruSums<float>* sums) {
    for (int64_t l = 0; l < layers.count; ++l) flush(layers.layer[l], layer_[l], sums[l]);
  }

 private:
  static constexpr int64_t kTile = kParts * kTileElements;
  static constexpr int64_t kGathered =
      6 / kParts;  // depth of a weight gradient's product, in tiles

  struct Layer {
    Brain *state[2], *dropped;  // left operands [row tile][depth]; states of even and odd dates
    Brain *inputs, *states, *deltas;  // right operands [chunk][kGathered], rows of several steps
    int64_t gathered;                 // half tiles of them that are filled
  };

  TileProduct back(const Brain* deltas, const Brain* weights) {
    return {deltas, 4 * depth_ * kTile, weights, 3 * depth_ * kTile, 3 * depth_};
  }

  void pack_input(int64_t inputs, int64_t rows, const GruBlock<float>& block, int64_t t) {
    const int64_t depth = tiles_of(inputs, kTileDepth);
    for (int64_t i = 0; i < rows; ++i) {
      const float* x = block.x[i] + t * block.x_step;
      for (int64_t k = 0; k < inputs; k += kTileHeight)
        store_row<kParts>(input_ + (i / kTileHeight * depth + k / kTileDepth) * kTile,
                          i % kTileHeight, k / kTileHeight % 2,
                          split<kParts>(load_part(x + k, inputs - k)));
    }
  }

  // sums [16][r, z, n of the input, n of the state][16] of rows 16 row ..., hidden units 16 chunk
  // ...; gates(rows) may do vector work while the tiles multiply.
  template <class Gates>
  ASTGNN_INLINE void unit_sums(const GruLayer<float>& layer, const Layer& own, const Brain* x,
                               int64_t t, int64_t row, int64_t chunk, float* sums, Gates&& gates) {
    const GruTileWeights<kParts> w(layer, hidden_);
    Tiles::zero<0>();
    Tiles::zero<1>();
    Tiles::zero<2>();
    Tiles::zero<3>();
    add_gates<2>(x + row * w.input_depth * kTile,
                 layer.packed + w.forward_input + chunk * 3 * w.input_depth * kTile, w.input_depth,
                 gates);
    if (t > 0)  // the first state is 0
      add_gates<3>(own.state[t % 2] + row * w.state_depth * kTile,
                   layer.packed + w.forward_hidden + chunk * 3 * w.state_depth * kTile,
                   w.state_depth, gates);
    constexpr int64_t kBytes = 4 * kTileHeight * sizeof(float);
    Tiles::store<0>(sums, kBytes);
    Tiles::store<1>(sums + kTileHeight, kBytes);
    Tiles::store<2>(sums + 2 * kTileHeight, kBytes);
    Tiles::store<3>(sums + 3 * kTileHeight, kBytes);
  }

  // Sums 0, 1 and kLast += left times the weights of r, z and n: three sums in turn, since one waits
  // for its last product.
  template <int kLast, class Gates>
  static ASTGNN_INLINE void add_gates(const Brain* left, const Brain* right, int64_t depth,
                                      Gates&& gates) {
    constexpr int64_t kRow = kTileDepth * sizeof(Brain);
    const auto products = [&]<int kLeft>(const Brain* tile) ASTGNN_INLINE_LAMBDA {
      Tiles::load<6>(tile, kRow);
      Tiles::dot<0, kLeft, 6>();
      Tiles::load<7>(tile + depth * kTile, kRow);
      Tiles::dot<1, kLeft, 7>();
      Tiles::load<6>(tile + 2 * depth * kTile, kRow);
      Tiles::dot<kLast, kLeft, 6>();
      gates(2);
    };
    for (int64_t k = 0; k < depth; ++k, left += kTile, right += kTile) {
      Tiles::load<4>(left, kRow);
      if constexpr (kParts == 2) products.template operator()<4>(right + kTileElements);
      products.template operator()<4>(right);
      if constexpr (kParts == 2) {
        Tiles::load<5>(left + kTileElements, kRow);
        products.template operator()<5>(right);
      }
    }
  }

  // Row i of a unit from its sums; its new state is packed at once.
  ASTGNN_INLINE void unit_gates(const GruLayer<float>& layer, const GruMemory<float>& memory,
                                const Layer& own, int64_t t, int64_t row, int64_t chunk, int64_t i,
                                const float (*sums)[kTileHeight]) {
    const float* bias = layer.bias + chunk * 4 * kTileHeight;
    const int64_t column = chunk * kTileHeight, place = row * kTileHeight + i,
                  tile = (row * depth_ + chunk / 2) * kTile;
    Vec<float> gates[4];
#pragma GCC unroll 4
    for (int g = 0; g < 4; ++g) gates[g] = load(sums[g]) + load(bias + g * kTileHeight);
    const Vec<float> state = gru_gates<float>(layer, memory, t, place, column, gates);
    store_row<kParts>(own.state[(t + 1) % 2] + tile, i, chunk % 2, split<kParts>(state));
    if (!own.dropped) return;
    const Vec<float> dropped = load(memory.output(t, true) + place * memory.hidden + column);
    store_row<kParts>(own.dropped + tile, i, chunk % 2, split<kParts>(dropped));
  }

  // 16 rows of gate gradients [4 P] as the left operand of to_state and to_input and as the right
  // one of the weight gradients.
  void pack_deltas(const float* deltas, int64_t row, const Layer& own) {
    const int64_t stride = delta_stride<float>(chunks_ * kTileHeight),
                  pairs = own.gathered % 2 * 8;
    for (int64_t gate = 0; gate < 4; ++gate) {
      for (int64_t c = 0; c < 2 * depth_; ++c) {
        Brain* left = deltas_ + ((row * 4 + gate) * depth_ + c / 2) * kTile;
        const int64_t column = gate * chunks_ + c;
        Brain* right = own.deltas + (column * kGathered + own.gathered / 2) * kTile;
        for (int64_t i = 0; i < kTileHeight; i += 2) {
          Split<kParts> even = {}, odd = {};
          if (c < chunks_) {
            even = split<kParts>(load(deltas + i * stride + column * kTileHeight));
            odd = split<kParts>(load(deltas + (i + 1) * stride + column * kTileHeight));
            store_pair<kParts>(right, pairs + i / 2, even, odd);
          }
          store_row<kParts>(left, i, c % 2, even);
          store_row<kParts>(left, i + 1, c % 2, odd);
        }
      }
    }
  }

  // value(i, c): row i of 16, elements 16 c ...
  template <class Value>
  ASTGNN_INLINE void gather(const Layer& own, Brain* tiles, int64_t chunks, Value&& value) {
    for (int64_t c = 0; c < chunks; ++c) {
      Brain* tile = tiles + (c * kGathered + own.gathered / 2) * kTile;
      for (int64_t i = 0; i < kTileHeight; i += 2)
        store_pair<kParts>(tile, own.gathered % 2 * 8 + i / 2, split<kParts>(value(i, c)),
                           split<kParts>(value(i + 1, c)));
    }
  }

  // Adds what was gathered to the weight gradients.
  void flush(const GruLayer<float>& layer, Layer& own, const GruSums<float>& sums) {
    const int64_t input_chunks = tiles_of(layer.inputs, kTileHeight);
    if (own.gathered % 2 != 0) {
      const auto fill = [&](Brain* tiles, int64_t chunks) {
        gather(own, tiles, chunks, [](int64_t, int64_t) { return Vec<float>{}; });
      };
      fill(own.inputs, input_chunks);
      fill(own.states, chunks_);
      fill(own.deltas, 4 * chunks_);
      ++own.gathered;
    }
    const int64_t depth = own.gathered / 2, width = 3 * chunks_ * kTileHeight;
    const auto add = [&](float* to, int64_t rows, const Brain* tiles, int64_t chunks,
                         const Brain* deltas) {
      for (int64_t c = 0; c < chunks; ++c) {
        for (int64_t k = 0; k < depth * kParts; ++k)
          transpose_tile(tiles + c * kGathered * kTile + k * kTileElements,
                         transposed_ + c * depth * kTile + k * kTileElements);
      }
      add_tile_product<kParts>(to, width, rows, 3 * chunks_,
                               {transposed_, depth * kTile, deltas, kGathered * kTile, depth});
    };
    add(sums.input, layer.inputs, own.inputs, input_chunks, own.deltas);
    add(sums.hidden, hidden_, own.states, chunks_, own.deltas + chunks_ * kGathered * kTile);
    own.gathered = 0;
  }

  int64_t hidden_, chunks_, depth_, packed_;  // depth_: tiles of 32 hidden units
  Brain *input_, *deltas_, *transposed_;      // left operands
  Layer layer_[kGruMaxLayers];
};

template <int kParts>
int64_t gru_tile_scratch(const GruLayers<float>& layers, int64_t window, bool backward) {
  using Products = GruTileProducts<kParts>;
  const int64_t rest =
      backward
          ? gru_scratch<float, Products::block(true), Products::kSteps>(layers, window, true)
          : gru_scratch<float, Products::block(false), Products::kSteps>(layers, window, false);
  return rest + Products().take(layers, backward, nullptr);
}

template <int kParts>
void gru_tile_forward(const GruLayers<float>& layers, const GruBlock<float>& block, float* out,
                      int64_t out_stride) {
  GruTileProducts<kParts> products;
  const int64_t used = products.take(layers, false, block.scratch);
  Tiles::configure();
  each_part(block, products.block(false), [&](GruBlock<float> part, int64_t row) {
    products.clear(part.scratch);
    part.scratch += used;
    gru_forward_with(products, layers, part, out + row * out_stride, out_stride);
  });
  Tiles::release();
}

template <int kParts>
void gru_tile_backward(const GruLayers<float>& layers, const GruBlock<float>& block,
                       const float* grad, int64_t grad_stride, const GruSums<float>* sums,
                       float* dx) {
  GruTileProducts<kParts> products;
  const int64_t used = products.take(layers, true, block.scratch),
                columns = whole_vectors<float>(layers.layer[0].inputs);
  Tiles::configure();
  each_part(block, products.block(true), [&](GruBlock<float> part, int64_t row) {
    products.clear(part.scratch);
    part.scratch += used;
    gru_backward_with(products, layers, part, grad + row * grad_stride, grad_stride, sums,
                      dx ? dx + row * columns : dx, block.rows);
  });
  Tiles::release();
}

}  // namespace astgnn::ops::ASTGNN_ISA
