// at::gru (cuDNN on a GPU) layer by layer, because the mask between layers is the op's own. Nothing
// of the forward is kept: the way back runs it again, so that a model in training holds one batch
// of states only while it walks back through it.
#include <ATen/Dispatch.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gru.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/library.h>

#include "ops/cuda/device.h"
#include "ops/ops.h"

namespace astgnn::ops::cuda {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

// [T, R, F] in the dtype of the weights.
Tensor windows(const Tensor& panel_any, const Tensor& date_any, const Tensor& stock_any,
               int64_t window, at::ScalarType dtype) {
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

// x [T, R, F] -> [R, H]. Differentiable by autograd in x and the weights.
Tensor run(const Tensor& x, at::TensorList weights, double p, const Optional& key) {
  // By name: this library knows the core's ops, not its symbols.
  static const auto drop =
      c10::Dispatcher::singleton()
          .findSchemaOrThrow("astgnn::dropout", "")
          .typed<Tensor(const Tensor&, double, const Tensor&, int64_t, int64_t)>();
  Tensor y = x;
  const int64_t layers = static_cast<int64_t>(weights.size()) / 4;
  for (int64_t l = 0; l < layers; ++l) {
    const at::TensorList own = weights.slice(4 * l, 4);
    const Tensor start = at::zeros({1, y.size(1), own[1].size(1)}, y.options());
    y = std::get<0>(at::gru(y, start, own, /*has_biases=*/true, /*num_layers=*/1, /*dropout=*/0.0,
                            /*train=*/at::GradMode::is_enabled(), /*bidirectional=*/false,
                            /*batch_first=*/false));
    if (!(p > 0) || l + 1 == layers) continue;
    std::vector<Tensor> steps = y.unbind(0);
    for (size_t t = 0; t < steps.size(); ++t)
      steps[t] = drop.call(steps[t], p, *key, kGru + l, static_cast<int64_t>(t));
    y = at::stack(steps);
  }
  return y.select(0, y.size(0) - 1);
}

// Gradients of x (undefined unless asked for) and of the weights.
std::vector<Tensor> run_backward(const Tensor& grad, const Tensor& x, at::TensorList weights,
                                 double p, const Optional& key, bool input_gradient) {
  const at::AutoGradMode with_gradients(true);
  std::vector<Tensor> leaves, wanted;
  for (const Tensor& weight : weights) leaves.push_back(weight.detach().requires_grad_(true));
  const Tensor input = x.detach().requires_grad_(input_gradient);
  const Tensor out = run(input, leaves, p, key);
  wanted = leaves;
  if (input_gradient) wanted.insert(wanted.begin(), input);
  std::vector<Tensor> gradients = torch::autograd::grad({out}, wanted, {grad});
  if (!input_gradient) gradients.insert(gradients.begin(), Tensor());
  return gradients;
}

Tensor panel_forward(const Tensor& panel, const Tensor& date, const Tensor& stock, int64_t window,
                     at::TensorList weights, double p, const Optional& key) {
  return run(windows(panel, date, stock, window, weights[0].scalar_type()), weights, p, key);
}

std::vector<Tensor> panel_backward(const Tensor& grad, const Tensor& panel, const Tensor& date,
                                   const Tensor& stock, int64_t window, at::TensorList weights,
                                   double p, const Optional& key) {
  std::vector<Tensor> gradients = run_backward(
      grad, windows(panel, date, stock, window, weights[0].scalar_type()), weights, p, key, false);
  gradients.erase(gradients.begin());
  return gradients;
}

}  // namespace
}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_IMPL(astgnn, ASTGNN_CUDA_KEY, m) {
  m.impl("gru", TORCH_FN(astgnn::ops::cuda::panel_forward));
  m.impl("_gru_backward", TORCH_FN(astgnn::ops::cuda::panel_backward));
  m.impl("gru_dense", TORCH_FN(astgnn::ops::cuda::run));
  m.impl("_gru_dense_backward", TORCH_FN(astgnn::ops::cuda::run_backward));
}
