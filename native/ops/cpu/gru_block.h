// All layers and steps of one block of rows, in scratch memory: forward, and the way back over what
// the forward left there.
//
// Gates of a layer lie as [T, n, 3H] (r, z, n; activated in place), so the input product of all
// steps is one GEMM, the recurrent product adds into it, and sigmoid runs once over r and z.
// Gradients lie as [T, n, 4H] in the order dpn, dr, dz, dhn: the first three columns belong to W_ih
// with its rows in the order n, r, z, the last three to W_hh as it is.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <vector>

#include "ops/cpu/dropout_mask.h"
#include "ops/cpu/matrix.h"
#include "ops/ops.h"

namespace astgnn::ops {

// Weights as the blocks want them: shared by all threads, read only.
struct GruWeights {
  using Tensor = at::Tensor;
  struct Layer {
    Tensor input, hidden;      // W_ih [3H, in], W_hh [3H, H]
    Tensor input_by_gradient;  // W_ih with rows n, r, z
    Tensor bias, hidden_bias;  // b_ih + (b_hr, b_hz, 0) [3H]; b_hn [H]
    int64_t features;          // in
  };
  std::vector<Layer> layers;
  std::vector<DropoutMask> masks;  // after layer 0, 1, ... but the last
  int64_t hidden;

  GruWeights(at::TensorList weights, double p, const std::optional<Tensor>& key)
      : hidden(weights[1].size(1)) {
    const int64_t h = hidden;
    for (size_t k = 0; k < weights.size(); k += 4) {
      Layer layer;
      layer.input = weights[k].detach().contiguous();
      layer.hidden = weights[k + 1].detach().contiguous();
      const Tensor hidden_bias = weights[k + 3].detach();
      layer.bias = weights[k + 2].detach().clone(at::MemoryFormat::Contiguous);
      layer.bias.slice(0, 0, 2 * h).add_(hidden_bias.slice(0, 0, 2 * h));
      layer.hidden_bias = hidden_bias.slice(0, 2 * h, 3 * h).contiguous();
      layer.input_by_gradient =
          at::cat({layer.input.slice(0, 2 * h, 3 * h), layer.input.slice(0, 0, 2 * h)});
      layer.features = layer.input.size(1);
      layers.push_back(layer);
      masks.emplace_back(k + 4 < weights.size() ? p : 0.0, key, kGru + static_cast<int64_t>(k / 4));
    }
  }
  int64_t count() const { return static_cast<int64_t>(layers.size()); }
};

// Sums of the gradients of a range of blocks.
struct GruGradients {
  struct Layer {
    at::Tensor input_by_gradient, hidden,
        bias;  // [3H, in] rows n, r, z; [3H, H]; [4H] dpn, dr, dz, dhn
  };
  std::vector<Layer> layers;

  explicit GruGradients(const GruWeights& weights) {
    const int64_t h = weights.hidden;
    for (const auto& layer : weights.layers) {
      const auto options = layer.input.options();
      layers.push_back({at::zeros({3 * h, layer.features}, options), at::zeros({3 * h, h}, options),
                        at::zeros({4 * h}, options)});
    }
  }
  void add(const GruGradients& other) {
    for (size_t k = 0; k < layers.size(); ++k) {
      layers[k].input_by_gradient.add_(other.layers[k].input_by_gradient);
      layers[k].hidden.add_(other.layers[k].hidden);
      layers[k].bias.add_(other.layers[k].bias);
    }
  }
  // In the order of the op's weights.
  std::vector<at::Tensor> weights_order() const {
    std::vector<at::Tensor> out;
    for (const Layer& layer : layers) {
      const int64_t h = layer.hidden.size(1);
      const auto rotate = [&](const at::Tensor& t) {
        return at::cat({t.slice(0, h, 3 * h), t.slice(0, 0, h)});
      };
      out.insert(out.end(), {rotate(layer.input_by_gradient), layer.hidden, rotate(layer.bias),
                             layer.bias.slice(0, h, 4 * h).clone()});
    }
    return out;
  }
};

template <class T>
class GruBlock {
 public:
  GruBlock(const GruWeights& weights, int64_t window, bool keep)
      : weights_(weights),
        window_(window),
        keep_(keep),
        layers_(keep ? weights.count() : std::min<int64_t>(2, weights.count())) {}

  // [T, n, F], to be filled by the caller before forward().
  T* input(int64_t rows) {
    n_ = rows;
    return input_.get(window_ * n_ * weights_.layers[0].features);
  }

  // first_row: packed row of the block's first. Returns the last state [n, H].
  const T* forward(int64_t first_row) {
    const int64_t h = weights_.hidden, size = n_ * h;
    const T* x = input_.get(0);
    for (int64_t l = 0; l < weights_.count(); ++l) {
      Layer& layer = layers_[keep_ ? l : l % 2];
      layer.x = x;
      layer.states = layer.state_memory.get((window_ + 1) * size);
      layer.gates = layer.gate_memory.get(window_ * 3 * size);
      layer.candidates = layer.candidate_memory.get((keep_ ? window_ : 1) * size);
      run_layer(layer, weights_.layers[l]);
      x = layer.states + size;
      if (!weights_.masks[l].active()) continue;
      layer.mask = layer.mask_memory.get(window_ * size);
      T* dropped = layer.dropped_memory.get(window_ * size);
      for (int64_t t = 0; t < window_; ++t) {
        for (int64_t i = 0; i < n_; ++i)
          weights_.masks[l].write(layer.mask + (t * n_ + i) * h, first_row + i, 0, h, t);
      }
      for (int64_t k = 0; k < window_ * size; ++k) dropped[k] = x[k] * layer.mask[k];
      x = dropped;
    }
    return layers_[keep_ ? weights_.count() - 1 : (weights_.count() - 1) % 2].states +
           window_ * size;
  }

  // grad [n, H] with the given stride between rows. Adds to gradients; returns dx [T, n, F] where
  // wanted.
  const T* backward(const T* grad, int64_t row_stride, GruGradients& gradients,
                    bool input_gradient) {
    const int64_t h = weights_.hidden, size = n_ * h, steps = window_ * n_;
    T* carry = carry_.get(size);
    T* deltas = deltas_.get(window_ * 4 * size);
    T* from_above = nullptr;
    for (int64_t l = weights_.count() - 1; l >= 0; --l) {
      const Layer& layer = layers_[l];
      const GruWeights::Layer& weight = weights_.layers[l];
      if (from_above) {
        std::fill(carry, carry + size, T(0));
      } else {
        for (int64_t i = 0; i < n_; ++i)
          std::copy(grad + i * row_stride, grad + i * row_stride + h, carry + i * h);
      }
      for (int64_t t = window_ - 1; t >= 0; --t) {
        step_back(layer, t, carry, from_above ? from_above + t * size : nullptr,
                  deltas + t * 4 * size);
        if (t > 0)
          multiply(matrix(carry, n_, h), matrix(deltas + t * 4 * size + h, n_, 3 * h, 4 * h),
                   weight.hidden, 1);
      }
      GruGradients::Layer& sum = gradients.layers[l];
      multiply(sum.input_by_gradient, matrix(deltas, steps, 3 * h, 4 * h).t(),
               matrix(const_cast<T*>(layer.x), steps, weight.features), 1);
      if (window_ > 1) {
        multiply(sum.hidden, matrix(deltas + 4 * size + h, steps - n_, 3 * h, 4 * h).t(),
                 matrix(layer.states + size, steps - n_, h), 1);
      }
      sum.bias.add_(matrix(deltas, steps, 4 * h).sum(0));
      if (l == 0 && !input_gradient) return nullptr;
      from_above = below_.get(steps * weight.features);
      multiply(matrix(from_above, steps, weight.features), matrix(deltas, steps, 3 * h, 4 * h),
               weight.input_by_gradient);
      if (l > 0 && weights_.masks[l - 1].active()) {
        const T* mask = layers_[l - 1].mask;
        for (int64_t k = 0; k < window_ * size; ++k) from_above[k] *= mask[k];
      }
    }
    return from_above;
  }

 private:
  struct Layer {
    const T* x = nullptr;  // [T, n, in]
    T* states = nullptr;   // [T + 1, n, H], the first is 0
    T* gates = nullptr;    // [T, n, 3H]
    T* candidates =
        nullptr;        // W_hn h + b_hn: [T, n, H], or the current step's where no backward follows
    T* mask = nullptr;  // [T, n, H] of the dropout after this layer
    Scratch<T> state_memory, gate_memory, candidate_memory, mask_memory, dropped_memory;
  };

  void run_layer(Layer& layer, const GruWeights::Layer& weight) {
    const int64_t h = weights_.hidden, size = n_ * h;
    at::Tensor gates = matrix(layer.gates, window_ * n_, 3 * h);
    at::addmm_out(gates, weight.bias,
                  matrix(const_cast<T*>(layer.x), window_ * n_, weight.features), weight.input.t());
    std::fill(layer.states, layer.states + size, T(0));
    const at::Tensor recurrent = weight.hidden.t();
    const at::Tensor recurrent_gates = recurrent.slice(1, 0, 2 * h),
                     recurrent_candidate = recurrent.slice(1, 2 * h, 3 * h);
    const T* bias = weight.hidden_bias.template const_data_ptr<T>();
    for (int64_t t = 0; t < window_; ++t) {
      T* gate = layer.gates + t * 3 * size;
      T* candidate = layer.candidates + (keep_ ? t * size : 0);
      const T* before = layer.states + t * size;
      T* after = layer.states + (t + 1) * size;
      at::Tensor reset_update = matrix(gate, n_, 2 * h, 3 * h);
      if (t > 0) {
        const at::Tensor state = matrix(const_cast<T*>(before), n_, h);
        at::Tensor candidates = matrix(candidate, n_, h);
        at::addmm_out(reset_update, reset_update, state, recurrent_gates);
        at::addmm_out(candidates, weight.hidden_bias, state, recurrent_candidate);
      } else {
        for (int64_t i = 0; i < n_; ++i)
          std::copy(bias, bias + h, candidate + i * h);  // h = 0: no product
      }
      reset_update.sigmoid_();
      for (int64_t i = 0; i < n_; ++i) {
        T *row = gate + i * 3 * h, *n = row + 2 * h;
        const T* c = candidate + i * h;
        for (int64_t k = 0; k < h; ++k) n[k] += row[k] * c[k];
      }
      matrix(gate + 2 * h, n_, h, 3 * h).tanh_();
      for (int64_t i = 0; i < n_; ++i) {
        const T *z = gate + i * 3 * h + h, *n = z + h, *old = before + i * h;
        T* state = after + i * h;
        for (int64_t k = 0; k < h; ++k) state[k] = n[k] + z[k] * (old[k] - n[k]);
      }
    }
  }

  void step_back(const Layer& layer, int64_t t, T* carry, const T* from_above, T* deltas) const {
    const int64_t h = weights_.hidden, size = n_ * h;
    for (int64_t i = 0; i < n_; ++i) {
      const T* __restrict gate = layer.gates + t * 3 * size + i * 3 * h;
      const T* __restrict candidate = layer.candidates + t * size + i * h;
      const T* __restrict before = layer.states + t * size + i * h;
      const T* __restrict above = from_above ? from_above + i * h : nullptr;
      T* __restrict state_gradient = carry + i * h;
      T* __restrict delta = deltas + i * 4 * h;
      if (above) {
        for (int64_t k = 0; k < h; ++k) state_gradient[k] += above[k];
      }
      for (int64_t k = 0; k < h; ++k) {
        const T r = gate[k], z = gate[h + k], n = gate[2 * h + k], dh = state_gradient[k];
        const T kept = dh * z, dpn = dh * (1 - z) * (1 - n * n), dhn = dpn * r;
        delta[k] = dpn;
        delta[h + k] = dhn * candidate[k] * (1 - r);
        delta[2 * h + k] = kept * (1 - z) * (before[k] - n);
        delta[3 * h + k] = dhn;
        state_gradient[k] = kept;
      }
    }
  }

  const GruWeights& weights_;
  int64_t window_, n_ = 0;
  bool keep_;
  std::vector<Layer> layers_;
  Scratch<T> input_, carry_, deltas_, below_;
};

}  // namespace astgnn::ops
