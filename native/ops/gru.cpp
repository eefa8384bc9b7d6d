// gru: last hidden state of the last layer, out [R, H]. Row r reads panel[date[r] - T + 1 ..
// date[r], stock[r]]; panel [dates, S, F], date and stock int64 [R]. gru_dense: the same on x [T,
// R, F]. Weights per layer: weight_ih [3H, in], weight_hh [3H, H], bias_ih [3H], bias_hh [3H],
// gates in the order r, z, n (PyTorch):
//   r = sigmoid(W_ir x + b_ir + W_hr h + b_hr), z alike, n = tanh(W_in x + b_in + r (W_hn h +
//   b_hn)), h' = n + z (h - n).
// Dropout between layers on h_t: site kGru + layer, time t.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/ops.h"

namespace astgnn::ops {
namespace {

void check_weights(const char* op, at::TensorList weights, int64_t features) {
  TORCH_CHECK(!weights.empty() && weights.size() % 4 == 0, op,
              ": Expected four weights per layer but received ", weights.size(), ".");
  check_floating(op, "weight_ih", weights[0]);
  TORCH_CHECK(weights[1].defined() && weights[1].dim() == 2, op, ": Expected weight_hh [3H, H].");
  const int64_t hidden = weights[1].size(1);
  TORCH_CHECK(hidden > 0, op, ": Expected a hidden width of at least 1.");
  for (size_t layer = 0; layer < weights.size() / 4; ++layer) {
    check_shape(op, "weight_ih", weights[4 * layer], {3 * hidden, layer == 0 ? features : hidden});
    check_shape(op, "weight_hh", weights[4 * layer + 1], {3 * hidden, hidden});
    check_shape(op, "bias_ih", weights[4 * layer + 2], {3 * hidden});
    check_shape(op, "bias_hh", weights[4 * layer + 3], {3 * hidden});
    for (size_t k = 0; k < 4; ++k)
      check_same_dtype(op, "every weight", weights[4 * layer + k], "the first weight", weights[0]);
  }
}

// On a GPU the panel that they come from has been checked, and a look would wait for the device.
void check_windows(const at::Tensor& panel, const at::Tensor& date_any, const at::Tensor& stock_any,
                   int64_t window) {
  if (!date_any.is_cpu() || !stock_any.is_cpu()) return;
  const at::Tensor date = date_any.contiguous(), stock = stock_any.contiguous();
  const int64_t *dates = date.const_data_ptr<int64_t>(), *stocks = stock.const_data_ptr<int64_t>();
  for (int64_t row = 0; row < date.size(0); ++row) {
    TORCH_CHECK(dates[row] >= window - 1 && dates[row] < panel.size(0),
                "gru: Expected panel dates from ", window - 1, " to ", panel.size(0) - 1,
                " but row ", row, " has ", dates[row], ".");
    TORCH_CHECK(stocks[row] >= 0 && stocks[row] < panel.size(1), "gru: Expected stocks from 0 to ",
                panel.size(1) - 1, " but row ", row, " has ", stocks[row], ".");
  }
}

using Gru = at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, int64_t,
                       at::TensorList, double, const std::optional<at::Tensor>&);

const c10::TypedOperatorHandle<Gru>& gru_op() {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("astgnn::gru", "").typed<Gru>();
  return op;
}

std::tuple<at::Tensor, std::vector<at::Tensor>> keep_nothing(
    const at::Tensor& panel, const at::Tensor& date, const at::Tensor& stock, int64_t window,
    at::TensorList weights, double p, const std::optional<at::Tensor>& key) {
  return {gru_op().call(panel, date, stock, window, weights, p, key), {}};
}

}  // namespace

at::Tensor gru(const at::Tensor& panel, const at::Tensor& date, const at::Tensor& stock,
               int64_t window, at::TensorList weights, double p, const at::Tensor& key) {
  check_floating("gru", "panel", panel);
  TORCH_CHECK(panel.dim() == 3, "gru: Expected a panel [dates, S, F] but received ", panel.sizes(),
              ".");
  TORCH_CHECK(date.defined() && date.dim() == 1 && date.scalar_type() == at::kLong,
              "gru: Expected int64 date [R].");
  check_shape("gru", "stock", stock, date.sizes());
  TORCH_CHECK(stock.scalar_type() == at::kLong, "gru: Expected int64 stock [R] but received ",
              stock.scalar_type(), ".");
  TORCH_CHECK(window >= 1 && window < 65536, "gru: Expected a window from 1 to 65535 but received ",
              window, ".");
  check_windows(panel, date, stock, window);
  check_weights("gru", weights, panel.size(2));
  check_probability("gru", p);
  if (p > 0) check_key("gru", key, date.size(0));
  return gru_op().call(panel, date, stock, window, weights, p, key_if_used(p, key));
}

at::Tensor gru_dense(const at::Tensor& x, at::TensorList weights, double p, const at::Tensor& key) {
  check_floating("gru_dense", "x", x);
  TORCH_CHECK(x.dim() == 3 && x.size(0) >= 1 && x.size(0) < 65536,
              "gru_dense: Expected x [T, R, F] with T from 1 to 65535 but received ", x.sizes(),
              ".");
  check_weights("gru_dense", weights, x.size(2));
  check_same_dtype("gru_dense", "x", x, "the weights", weights[0]);
  check_probability("gru_dense", p);
  if (p > 0) check_key("gru_dense", key, x.size(1));
  using Signature =
      at::Tensor(const at::Tensor&, at::TensorList, double, const std::optional<at::Tensor>&);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("astgnn::gru_dense", "").typed<Signature>();
  return op.call(x, weights, p, key_if_used(p, key));
}

}  // namespace astgnn::ops

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  m.def(
      "gru(Tensor panel, Tensor date, Tensor stock, int window, Tensor[] weights, float p, Tensor? "
      "key) -> Tensor");
  // Beside the output, what the op would rather have kept for its backward than compute again.
  m.def(
      "_gru_forward(Tensor panel, Tensor date, Tensor stock, int window, Tensor[] weights, float "
      "p, "
      "Tensor? key) -> (Tensor, Tensor[])");
  // What was kept is scratch afterwards; without it the forward is computed again.
  m.def(
      "_gru_backward(Tensor grad, Tensor[] kept, Tensor panel, Tensor date, Tensor stock, int "
      "window, Tensor[] weights, float p, Tensor? key) -> Tensor[]");
  m.def("gru_dense(Tensor x, Tensor[] weights, float p, Tensor? key) -> Tensor");
  // dx first (undefined unless asked for), then the weights' gradients.
  m.def(
      "_gru_dense_backward(Tensor grad, Tensor x, Tensor[] weights, float p, Tensor? key, bool "
      "input_gradient) -> Tensor[]");
}

TORCH_LIBRARY_IMPL(astgnn, CompositeExplicitAutograd, m) {
  m.impl("_gru_forward", TORCH_FN(astgnn::ops::keep_nothing));
}
