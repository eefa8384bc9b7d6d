// The weights of a GRU as the kernels of isa/gru.h want them, and their gradients in the backward.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "ops/cpu/dropout_mask.h"
#include "ops/cpu/isa/kernels.h"
#include "ops/ops.h"

namespace astgnn::ops {

template <class T>
class GruWeights {
 public:
  // backward: also what only the backward needs.
  GruWeights(at::TensorList weights, double p, const std::optional<at::Tensor>& key, bool backward)
      : lanes_(kernels_of<T>().lanes),
        hidden_(weights[1].size(1)),
        width_((hidden_ + lanes_ - 1) / lanes_ * lanes_) {
    const size_t count = weights.size() / 4;
    for (size_t l = 0; l < count; ++l) {
      masks_.emplace_back(l + 1 < count ? p : 0.0, key, kGru + static_cast<int64_t>(l));
      layers_.push_back(pack(weights.slice(4 * l, 4), backward));
      layers_.back().dropout = masks_.back().site();
    }
  }
  GruWeights(const GruWeights&) = delete;
  GruWeights& operator=(const GruWeights&) = delete;

  GruLayers<T> layers() const {
    return {layers_.data(), static_cast<int64_t>(layers_.size()), hidden_};
  }
  int64_t hidden() const { return hidden_; }
  int64_t padded_inputs() const { return rounded(layers_[0].inputs); }

  // Elements of one set of sums over all layers, and its parts.
  int64_t sums_size() const {
    int64_t size = 0;
    for (const auto& layer : layers_) size += 3 * width_ * (layer.inputs + hidden_) + 4 * width_;
    return size;
  }
  std::vector<GruSums<T>> sums(T* memory) const {
    std::vector<GruSums<T>> out;
    for (const auto& layer : layers_) {
      T* hidden = memory + 3 * width_ * layer.inputs;
      T* bias = hidden + 3 * width_ * hidden_;
      out.push_back({memory, hidden, bias});
      memory = bias + 4 * width_;
    }
    return out;
  }

  // Sums as gradients, in the order of the op's weights.
  std::vector<at::Tensor> gradients(T* memory, const at::TensorOptions& options) const {
    std::vector<at::Tensor> out;
    const std::vector<GruSums<T>> all = sums(memory);
    for (size_t l = 0; l < all.size(); ++l) {
      const int64_t inputs = layers_[l].inputs, h = hidden_;
      const GruSums<T>& sum = all[l];
      const at::Tensor input = at::empty({3 * h, inputs}, options),
                       state = at::empty({3 * h, h}, options),
                       input_bias = at::empty({3 * h}, options),
                       state_bias = at::empty({3 * h}, options);
      T *wi = input.mutable_data_ptr<T>(), *wh = state.mutable_data_ptr<T>(),
        *bi = input_bias.mutable_data_ptr<T>(), *bh = state_bias.mutable_data_ptr<T>();
      for (int64_t gate = 0; gate < 3; ++gate) {
        const int64_t place = (gate + 1) % 3;  // r, z, n lie as n, r, z
        for (int64_t j = 0; j < h; ++j) {
          for (int64_t k = 0; k < inputs; ++k)
            wi[(gate * h + j) * inputs + k] = sum.input[k * 3 * width_ + place * width_ + j];
          for (int64_t k = 0; k < h; ++k)
            wh[(gate * h + j) * h + k] = sum.hidden[k * 3 * width_ + gate * width_ + j];
          bi[gate * h + j] = sum.bias[place * width_ + j];
          bh[gate * h + j] = sum.bias[(gate + 1) * width_ + j];
        }
      }
      out.insert(out.end(), {input, state, input_bias, state_bias});
    }
    return out;
  }

 private:
  int64_t rounded(int64_t n) const { return (n + lanes_ - 1) / lanes_ * lanes_; }

  T* zeros(int64_t count) {
    memory_.push_back(at::zeros({count}, at::TensorOptions(c10::CppTypeToScalarType<T>::value)));
    return memory_.back().template mutable_data_ptr<T>();
  }

  GruLayer<T> pack(at::TensorList weights, bool backward) {
    const auto contiguous = [&](size_t k) { return weights[k].detach().contiguous(); };
    const at::Tensor input = contiguous(0), state = contiguous(1), input_bias = contiguous(2),
                     state_bias = contiguous(3);
    const T *wi = input.const_data_ptr<T>(), *wh = state.const_data_ptr<T>(),
            *bi = input_bias.const_data_ptr<T>(), *bh = state_bias.const_data_ptr<T>();
    const int64_t h = hidden_, inputs = input.size(1), padded = rounded(inputs), lanes = lanes_;
    T *forward_input = zeros(width_ * inputs * 3), *forward_hidden = zeros(width_ * h * 3),
      *bias = zeros(4 * width_);
    T *back_input = backward ? zeros(3 * width_ * padded) : nullptr,
      *back_hidden = backward ? zeros(3 * width_ * width_) : nullptr;
    for (int64_t gate = 0; gate < 3; ++gate) {
      for (int64_t j = 0; j < h; ++j) {
        const int64_t chunk = j / lanes, lane = j % lanes, row = gate * h + j;
        const auto tile = [&](int64_t depth, int64_t k) {
          return ((chunk * depth + k) * 3 + gate) * lanes + lane;
        };
        for (int64_t k = 0; k < inputs; ++k) forward_input[tile(inputs, k)] = wi[row * inputs + k];
        for (int64_t k = 0; k < h; ++k) forward_hidden[tile(h, k)] = wh[row * h + k];
        T* own = bias + chunk * 4 * lanes + lane;
        own[gate * lanes] = gate < 2 ? bi[row] + bh[row] : bi[row];
        if (gate == 2) own[3 * lanes] = bh[row];
        if (!backward) continue;
        std::copy_n(wi + row * inputs, inputs, back_input + ((gate + 1) % 3 * width_ + j) * padded);
        std::copy_n(wh + row * h, h, back_hidden + (gate * width_ + j) * width_);
      }
    }
    GruLayer<T> layer = {inputs, forward_input, forward_hidden, bias, back_input, back_hidden, {}};
    const KernelsOf<T>& kernels = kernels_of<T>();
    if (kernels.gru_pack) {
      memory_.push_back(at::empty({kernels.gru_packed_size(layer, h)}, at::kShort));
      auto* packed = static_cast<uint16_t*>(memory_.back().mutable_data_ptr());
      kernels.gru_pack(layer, h, packed);
      layer.packed = packed;
    }
    return layer;
  }

  int64_t lanes_, hidden_, width_;
  std::vector<at::Tensor> memory_;
  std::vector<DropoutMask> masks_;
  std::vector<GruLayer<T>> layers_;
};

}  // namespace astgnn::ops
