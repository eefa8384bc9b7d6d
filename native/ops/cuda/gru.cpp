// Layer by layer: the input's products by cuBLAS, then all times in one launch (gru_layer.cu), or,
// for other widths and dtypes, time by time with kernels of our own for the gates (gru.cu).
// cuDNN's GRU is off by 8e-6 in its states, and one reduction in its backward is 197 of the 291 ms
// of a step's kernels in PyTorch (5,000 stocks, 60 days, 8 dates, H100, cuDNN 9.19).
#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/cuda/device.h"
#include "ops/ops.h"

namespace astgnn::ops::cuda {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

// [T, R, F] in the dtype of the weights.
Tensor windows(const Tensor& panel_any, const Tensor& date_any, const Tensor& stock_any,
               int64_t window, at::ScalarType dtype) {
  const c10::DeviceGuard guard(panel_any.device());
  const Tensor panel = panel_any.to(at::kFloat).contiguous(),
               date = date_any.to(panel.device()).contiguous(),
               stock = stock_any.to(panel.device()).contiguous(),
               out = at::empty({window, date.size(0), panel.size(2)}, panel.options().dtype(dtype));
  AT_DISPATCH_FLOATING_TYPES(dtype, "gru", [&] {
    gather_windows(panel.const_data_ptr<float>(), date.const_data_ptr<int64_t>(),
                   stock.const_data_ptr<int64_t>(), panel.size(1), panel.size(2), window,
                   date.size(0), out.mutable_data_ptr<scalar_t>(), current_stream());
  });
  return out;
}

// A layer over all times: states [T, R, H] and, where they are kept, gates [T, R, 4 H].
struct Layer {
  Tensor x, h, gates;
};

// All times in one launch (gru_layer.cu).
bool in_one_launch(const Tensor& x, int64_t hidden) {
  return x.scalar_type() == at::kFloat && hidden == kGruHidden &&
         has_shared_memory(x.device().index(), kGruSharedBytes);
}

Layer layer_forward(const Tensor& x, at::TensorList weights, bool keep) {
  const int64_t times = x.size(0), rows = x.size(1), hidden = weights[1].size(1);
  const Tensor state_weights = weights[1].t(), bias = weights[3].contiguous(),
               from_input = at::addmm(weights[2], x.flatten(0, 1), weights[0].t())
                                .view({times, rows, 3 * hidden});
  Layer layer{x, at::empty({times, rows, hidden}, x.options()),
              keep ? at::empty({times, rows, 4 * hidden}, x.options()) : Tensor()};
  if (in_one_launch(x, hidden)) {
    gru_layer(
        {times, rows, from_input.const_data_ptr<float>(),
         weights[1].contiguous().const_data_ptr<float>(), bias.const_data_ptr<float>(),
         layer.h.mutable_data_ptr<float>(), keep ? layer.gates.mutable_data_ptr<float>() : nullptr},
        current_stream());
    return layer;
  }
  Tensor from_state = at::empty({rows, 3 * hidden}, x.options());
  for (int64_t t = 0; t < times; ++t) {
    const Tensor before = t == 0 ? Tensor() : layer.h[t - 1];
    if (t > 0) at::mm_out(from_state, before, state_weights);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "gru", [&] {
      const auto at_time = [&](const Tensor& all) {
        return all.mutable_data_ptr<scalar_t>() + t * all.stride(0);
      };
      gru_gates<scalar_t>(
          {rows, hidden, at_time(from_input), from_state.const_data_ptr<scalar_t>(),
           bias.const_data_ptr<scalar_t>(), t == 0 ? nullptr : at_time(layer.h) - layer.h.stride(0),
           at_time(layer.h), keep ? at_time(layer.gates) : nullptr},
          current_stream());
    });
  }
  return layer;
}

// The kept gates become their gradients. grad: of all states [T, R, H], or [R, H] of the last one.
void gate_gradients(const Layer& layer, const Tensor& grad, at::TensorList weights) {
  const int64_t times = layer.h.size(0), rows = layer.h.size(1), hidden = layer.h.size(2);
  const bool of_last = grad.dim() == 2;
  if (in_one_launch(layer.h, hidden)) {
    const auto* data = grad.const_data_ptr<float>();
    gru_layer_gradients({times, rows, of_last ? nullptr : data, of_last ? data : nullptr,
                         weights[1].contiguous().const_data_ptr<float>(),
                         layer.h.const_data_ptr<float>(), layer.gates.mutable_data_ptr<float>()},
                        current_stream());
    return;
  }
  const Tensor carried = of_last ? grad.clone() : at::zeros_like(grad[0]);
  for (int64_t t = times - 1; t >= 0; --t) {
    AT_DISPATCH_FLOATING_TYPES(grad.scalar_type(), "gru_backward", [&] {
      const auto at_time = [&](const Tensor& all, int64_t time) {
        return all.mutable_data_ptr<scalar_t>() + time * all.stride(0);
      };
      gru_gate_gradients<scalar_t>({rows, hidden, of_last ? nullptr : at_time(grad, t),
                                    t == 0 ? nullptr : at_time(layer.h, t - 1),
                                    carried.mutable_data_ptr<scalar_t>(), at_time(layer.gates, t)},
                                   current_stream());
    });
    if (t > 0) carried.addmm_(layer.gates[t].slice(1, hidden), weights[1]);
  }
}

// a^T b of many rows: by pieces, which are many blocks for the GPU, and sums in two levels.
Tensor product_over_rows(const Tensor& a, const Tensor& b) {
  constexpr int64_t kPiece = 2048;
  const int64_t pieces = a.size(0) / kPiece, whole = pieces * kPiece;
  const auto piece = [&](const Tensor& rows) {
    return rows.slice(0, 0, whole).unflatten(0, {pieces, kPiece});
  };
  Tensor out = a.slice(0, whole).t().mm(b.slice(0, whole));
  if (pieces > 0) out += piece(a).transpose(1, 2).bmm(piece(b)).sum(0);
  return out;
}

// Gradients of the weights are added to `out`; that of x comes back, undefined unless asked for.
Tensor layer_backward(const Layer& layer, const Tensor& grad, at::TensorList weights,
                      at::ArrayRef<Tensor> out, bool input_gradient) {
  gate_gradients(layer, grad, weights);
  const int64_t times = layer.h.size(0), hidden = layer.h.size(2);
  // n, r, z -> r, z, n
  const auto in_order = [&](const Tensor& rows_of_gates) { return rows_of_gates.roll(-hidden, 0); };
  const Tensor of_input = layer.gates.slice(2, 0, 3 * hidden).flatten(0, 1),
               of_state = layer.gates.slice(2, hidden).slice(0, 1).flatten(0, 1);
  out[0].add_(in_order(product_over_rows(of_input, layer.x.flatten(0, 1))));
  if (times > 1)
    out[1].add_(product_over_rows(of_state, layer.h.slice(0, 0, times - 1).flatten(0, 1)));
  const Tensor biases = layer.gates.sum(1).sum(0);
  out[2].add_(in_order(biases.slice(0, 0, 3 * hidden)));
  out[3].add_(biases.slice(0, hidden));
  if (!input_gradient) return {};
  return at::mm(of_input, weights[0].roll(hidden, 0)).view_as(layer.x);
}

// All layers of x [T, R, F], the states dropped in between.
std::vector<Layer> run_layers(const Tensor& x_any, at::TensorList weights, double p,
                              const Optional& key, bool keep) {
  const int64_t count = static_cast<int64_t>(weights.size()) / 4;
  std::vector<Layer> layers;
  Tensor x = x_any.contiguous();  // a product's rounding may depend on its strides
  for (int64_t l = 0; l < count; ++l) {
    layers.push_back(layer_forward(x, weights.slice(4 * l, 4), keep));
    x = layers.back().h;
    if (p > 0 && l + 1 < count) x = DropoutMask(p, key, kGru + l, 0, x.device()).apply_over_time(x);
    if (!keep && l + 1 < count) layers.pop_back();
  }
  return layers;
}

// x [T, R, F] -> [R, H].
Tensor dense_forward(const Tensor& x, at::TensorList weights, double p, const Optional& key) {
  const c10::DeviceGuard guard(x.device());
  return run_layers(x, weights, p, key, /*keep=*/false).back().h.select(0, x.size(0) - 1).clone();
}

// Gradients of the weights are added to `out`; that of x comes back, undefined unless asked for.
// layers: with their gates.
Tensor backward_of(const Tensor& grad_any, std::vector<Layer> layers, at::TensorList weights,
                   double p, const Optional& key, at::ArrayRef<Tensor> out, bool input_gradient) {
  Tensor grad = grad_any.contiguous();
  for (int64_t l = static_cast<int64_t>(layers.size()) - 1; l >= 0; --l) {
    grad = layer_backward(layers[l], grad, weights.slice(4 * l, 4), out.slice(4 * l, 4),
                          l > 0 || input_gradient);
    layers.pop_back();
    if (p > 0 && l > 0)
      grad = DropoutMask(p, key, kGru + l - 1, 0, grad.device()).apply_over_time(grad);
  }
  return grad;
}

std::vector<Tensor> zeros_like(at::TensorList weights) {
  std::vector<Tensor> zeros;
  for (const Tensor& weight : weights) zeros.push_back(at::zeros_like(weight));
  return zeros;
}

// Gradients of x (undefined unless asked for) and of the weights.
std::vector<Tensor> dense_backward(const Tensor& grad, const Tensor& x, at::TensorList weights,
                                   double p, const Optional& key, bool input_gradient) {
  const c10::DeviceGuard guard(x.device());
  std::vector<Tensor> out = zeros_like(weights);
  const Tensor dx = backward_of(grad, run_layers(x, weights, p, key, /*keep=*/true), weights, p,
                                key, out, input_gradient);
  out.insert(out.begin(), dx);
  return out;
}

// Rows of a batch that go through the layers together.
struct Block {
  Tensor date, stock;
  Optional key;
  int64_t begin, end;
};

// The windows of a batch, cut into blocks: about nine numbers per row, time, layer and unit are all
// that a step without kept gates holds of the times.
class Batch {
 public:
  Batch(const Tensor& panel, const Tensor& date, const Tensor& stock, int64_t window,
        at::TensorList weights, double p, const Optional& key)
      : panel_(panel), window_(window), weights_(weights), p_(p) {
    constexpr int64_t kBytes = int64_t{4} << 30;
    const int64_t per_row = window * bytes_of(panel.size(2) + (6 * layers() + 4) * hidden()),
                  // All multiprocessors at work, and equally long.
        wave = 2 * multiprocessors(panel.device().index()) * kGruRows,
                  rows = std::max<int64_t>(1, kBytes / per_row / wave) * wave;
    for (int64_t lo = 0; lo < date.size(0); lo += rows) {
      const int64_t hi = std::min(lo + rows, date.size(0));
      blocks.push_back({date.slice(0, lo, hi), stock.slice(0, lo, hi), key, lo, hi});
      if (key && hi - lo < date.size(0))
        blocks.back().key = at::cat({key->slice(0, 0, 1), key->slice(0, lo + 1, hi + 1)});
    }
    kept_bytes_ = date.size(0) * window * bytes_of(6 * layers() * hidden());
  }
  std::vector<Block> blocks;

  std::vector<Layer> run(const Block& block, bool keep) const {
    return run_layers(windows_of(block), weights_, p_, block.key, keep);
  }
  Tensor last_of(const std::vector<Layer>& run) const { return run.back().h[window_ - 1].clone(); }

  // Of all blocks, where an eighth of the device's memory holds them: then the backward need not
  // run the layers again.
  bool keeps() const { return kept_bytes_ <= device_memory(panel_.device().index()) / 8; }
  // States and gates of each layer, and the inputs of those that have dropped ones.
  void keep(const std::vector<Layer>& run, std::vector<Tensor>& kept) const {
    for (size_t l = 0; l < run.size(); ++l) {
      kept.insert(kept.end(), {run[l].h, run[l].gates});
      if (l > 0 && p_ > 0) kept.push_back(run[l].x);
    }
  }
  std::vector<Layer> restore(const Block& block, const Tensor*& next) const {
    std::vector<Layer> run;
    for (int64_t l = 0; l < layers(); ++l) {
      Layer layer{l == 0 ? windows_of(block) : run.back().h, next[0], next[1]};
      next += 2;
      if (l > 0 && p_ > 0) layer.x = *next++;
      run.push_back(layer);
    }
    return run;
  }

 private:
  int64_t layers() const { return static_cast<int64_t>(weights_.size()) / 4; }
  int64_t hidden() const { return weights_[1].size(1); }
  int64_t bytes_of(int64_t numbers) const {
    return numbers * static_cast<int64_t>(weights_[0].element_size());
  }
  Tensor windows_of(const Block& block) const {
    return windows(panel_, block.date, block.stock, window_, weights_[0].scalar_type());
  }

  Tensor panel_;
  int64_t window_, kept_bytes_;
  at::TensorList weights_;
  double p_;
};

std::tuple<Tensor, std::vector<Tensor>> forward(const Batch& batch, at::TensorList weights,
                                                bool keep) {
  std::vector<Tensor> out = {at::empty({0, weights[1].size(1)}, weights[1].options())}, kept;
  for (const Block& block : batch.blocks) {
    const std::vector<Layer> run = batch.run(block, keep);
    out.push_back(batch.last_of(run));
    if (keep) batch.keep(run, kept);
  }
  return {at::cat(out), kept};
}

Tensor panel_forward(const Tensor& panel, const Tensor& date, const Tensor& stock, int64_t window,
                     at::TensorList weights, double p, const Optional& key) {
  const c10::DeviceGuard guard(panel.device());
  const Batch batch(panel, date, stock, window, weights, p, key);
  return std::get<0>(forward(batch, weights, /*keep=*/false));
}

std::tuple<Tensor, std::vector<Tensor>> panel_forward_kept(const Tensor& panel, const Tensor& date,
                                                           const Tensor& stock, int64_t window,
                                                           at::TensorList weights, double p,
                                                           const Optional& key) {
  const c10::DeviceGuard guard(panel.device());
  const Batch batch(panel, date, stock, window, weights, p, key);
  return forward(batch, weights, batch.keeps());
}

std::vector<Tensor> panel_backward(const Tensor& grad, at::TensorList kept, const Tensor& panel,
                                   const Tensor& date, const Tensor& stock, int64_t window,
                                   at::TensorList weights, double p, const Optional& key) {
  const c10::DeviceGuard guard(panel.device());
  const Batch batch(panel, date, stock, window, weights, p, key);
  const std::vector<Tensor> out = zeros_like(weights);
  const Tensor* next = kept.data();
  for (const Block& block : batch.blocks)
    backward_of(grad.slice(0, block.begin, block.end),
                kept.empty() ? batch.run(block, /*keep=*/true) : batch.restore(block, next),
                weights, p, block.key, out, /*input_gradient=*/false);
  return out;
}

}  // namespace
}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_IMPL(astgnn, CUDA, m) {
  m.impl("gru", TORCH_FN(astgnn::ops::cuda::panel_forward));
  m.impl("_gru_forward", TORCH_FN(astgnn::ops::cuda::panel_forward_kept));
  m.impl("_gru_backward", TORCH_FN(astgnn::ops::cuda::panel_backward));
  m.impl("gru_dense", TORCH_FN(astgnn::ops::cuda::dense_forward));
  m.impl("_gru_dense_backward", TORCH_FN(astgnn::ops::cuda::dense_backward));
}
