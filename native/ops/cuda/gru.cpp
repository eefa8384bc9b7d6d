// at::gru (cuDNN on a GPU) layer by layer, because the mask between layers is the op's own. Nothing
// of the forward is kept: the backward runs it again, so that a model in training holds one batch
// of states only in its backward pass.
#include <ATen/Dispatch.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gru.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
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

// Dropout between layers, all times at once: its gradient has the same mask.
struct DropOverTime : torch::autograd::Function<DropOverTime> {
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& y, double p,
                        const Tensor& key, int64_t site) {
    ctx->save_for_backward({key});
    ctx->saved_data["p"] = p;
    ctx->saved_data["site"] = site;
    return DropoutMask(p, key, site, 0, y.device()).apply_over_time(y);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    const DropoutMask mask(ctx->saved_data["p"].toDouble(), ctx->get_saved_variables()[0],
                           ctx->saved_data["site"].toInt(), 0, grads[0].device());
    // slots: y, p, key, site
    return {mask.apply_over_time(grads[0]), Tensor(), Tensor(), Tensor()};
  }
};

// cuDNN wants the weights in one piece and says once that it copies them there (0.1 MB a layer).
struct Quiet : c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

// x [T, R, F] -> [R, H]. Differentiable by autograd in x and the weights. At precision medium cuDNN
// gets bf16 copies, and gradients come back through the copying as float32.
Tensor dense_forward(const Tensor& x, at::TensorList weights, double p, const Optional& key) {
  const c10::DeviceGuard guard(x.device());
  Quiet quiet;
  const c10::WarningUtils::WarningHandlerGuard warnings(&quiet);
  const at::ScalarType dtype = bf16_parts(x) == 1 ? at::kBFloat16 : x.scalar_type();
  Tensor y = x.contiguous().to(dtype);  // a product's rounding may depend on its strides
  const int64_t layers = static_cast<int64_t>(weights.size()) / 4;
  for (int64_t l = 0; l < layers; ++l) {
    std::vector<Tensor> own;
    for (const Tensor& weight : weights.slice(4 * l, 4)) own.push_back(weight.to(dtype));
    const Tensor start = at::zeros({1, y.size(1), own[1].size(1)}, y.options());
    y = std::get<0>(at::gru(y, start, own, /*has_biases=*/true, /*num_layers=*/1, /*dropout=*/0.0,
                            /*train=*/at::GradMode::is_enabled(), /*bidirectional=*/false,
                            /*batch_first=*/false));
    if (p > 0 && l + 1 < layers)
      y = DropOverTime::apply(y.to(x.scalar_type()), p, *key, kGru + l).to(dtype);
  }
  return y.select(0, y.size(0) - 1).to(x.scalar_type());
}

// Gradients of x (undefined unless asked for) and of the weights.
std::vector<Tensor> dense_backward(const Tensor& grad, const Tensor& x, at::TensorList weights,
                                   double p, const Optional& key, bool input_gradient) {
  const c10::DeviceGuard guard(x.device());
  const at::AutoGradMode with_gradients(true);
  std::vector<Tensor> leaves, wanted;
  for (const Tensor& weight : weights) leaves.push_back(weight.detach().requires_grad_(true));
  const Tensor input = x.detach().requires_grad_(input_gradient);
  const Tensor out = dense_forward(input, leaves, p, key);
  wanted = leaves;
  if (input_gradient) wanted.insert(wanted.begin(), input);
  std::vector<Tensor> gradients = torch::autograd::grad({out}, wanted, {grad});
  if (!input_gradient) gradients.insert(gradients.begin(), Tensor());
  return gradients;
}

// Rows of a batch that go through the layers together: cuDNN keeps about eight numbers per row,
// time, layer and unit for the backward, and these are all that a step holds of the time steps.
struct Block {
  Tensor date, stock;
  Optional key;
  int64_t begin, end;
};

std::vector<Block> blocks(const Tensor& panel, const Tensor& date, const Tensor& stock,
                          int64_t window, at::TensorList weights, const Optional& key) {
  constexpr int64_t kBytes = int64_t{2} << 30;
  const int64_t layers = static_cast<int64_t>(weights.size()) / 4,
                per_row = window * (panel.size(2) + 8 * layers * weights[1].size(1)) *
                          static_cast<int64_t>(weights[0].element_size()),
                rows = std::max<int64_t>(1024, kBytes / per_row);
  std::vector<Block> all;
  for (int64_t lo = 0; lo < date.size(0); lo += rows) {
    const int64_t hi = std::min(lo + rows, date.size(0));
    Optional own = key;
    if (key && (lo > 0 || hi < date.size(0)))
      own = at::cat({key->slice(0, 0, 1), key->slice(0, lo + 1, hi + 1)});
    all.push_back({date.slice(0, lo, hi), stock.slice(0, lo, hi), own, lo, hi});
  }
  return all;
}

Tensor panel_forward(const Tensor& panel, const Tensor& date, const Tensor& stock, int64_t window,
                     at::TensorList weights, double p, const Optional& key) {
  std::vector<Tensor> out = {at::empty({0, weights[1].size(1)}, weights[1].options())};
  for (const Block& block : blocks(panel, date, stock, window, weights, key))
    out.push_back(
        dense_forward(windows(panel, block.date, block.stock, window, weights[0].scalar_type()),
                      weights, p, block.key));
  return at::cat(out);
}

std::vector<Tensor> panel_backward(const Tensor& grad, const Tensor& panel, const Tensor& date,
                                   const Tensor& stock, int64_t window, at::TensorList weights,
                                   double p, const Optional& key) {
  std::vector<Tensor> sums;
  for (const Tensor& weight : weights) sums.push_back(at::zeros_like(weight));
  for (const Block& block : blocks(panel, date, stock, window, weights, key)) {
    const std::vector<Tensor> gradients =
        dense_backward(grad.slice(0, block.begin, block.end),
                       windows(panel, block.date, block.stock, window, weights[0].scalar_type()),
                       weights, p, block.key, /*input_gradient=*/false);
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += gradients[i + 1];
  }
  return sums;
}

}  // namespace
}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_IMPL(astgnn, CUDA, m) {
  m.impl("gru", TORCH_FN(astgnn::ops::cuda::panel_forward));
  m.impl("_gru_backward", TORCH_FN(astgnn::ops::cuda::panel_backward));
  m.impl("gru_dense", TORCH_FN(astgnn::ops::cuda::dense_forward));
  m.impl("_gru_dense_backward", TORCH_FN(astgnn::ops::cuda::dense_backward));
}
