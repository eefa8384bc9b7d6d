// With c = dh z: dpn = dh (1 - z)(1 - n^2), dz = c (1 - z)(h - n), dhn = dpn r, dr = dhn (W_hn h +
// b_hn)(1 - r), before the activations; dh_{t-1} = c + [dr, dz, dhn] W_hh, dx = [dr, dz, dpn] W_ih,
// dW += gates^T (h | x). Saved: inputs and weights, which are alive anyway, and what the forward op
// has kept: on the CPU nothing. There the backward op repeats the forward of a block of rows and
// walks it back, so no gate, no state and no dropout mask of the whole batch ever exists.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/autograd/saved.h"

namespace {

using astgnn::ops::saved_optional;
using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Optional = std::optional<Tensor>;

struct Windows {
  Tensor panel, date, stock;
  int64_t window;
  double p;
  Optional key;
};

struct Gru : torch::autograd::Function<Gru> {
  static Tensor forward(AutogradContext* ctx, at::TensorList weights, const Windows& windows) {
    using Signature =
        std::tuple<Tensor, std::vector<Tensor>>(const Tensor&, const Tensor&, const Tensor&,
                                                int64_t, at::TensorList, double, const Optional&);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_gru_forward", "")
                               .typed<Signature>();
    at::AutoDispatchBelowADInplaceOrView below;
    const auto& [panel, date, stock, window, p, key] = windows;
    const auto [out, kept] = op.call(panel, date, stock, window, weights, p, key);
    variable_list saved = {panel, date, stock, key.value_or(Tensor())};
    saved.insert(saved.end(), weights.begin(), weights.end());
    saved.insert(saved.end(), kept.begin(), kept.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["window"] = window;
    ctx->saved_data["p"] = p;
    ctx->saved_data["weights"] = static_cast<int64_t>(weights.size());
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    using Signature =
        std::vector<Tensor>(const Tensor&, at::TensorList, const Tensor&, const Tensor&,
                            const Tensor&, int64_t, at::TensorList, double, const Optional&);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_gru_backward", "")
                               .typed<Signature>();
    const variable_list saved = ctx->get_saved_variables();
    const at::TensorList all(saved);
    const int64_t count = ctx->saved_data["weights"].toInt();
    // The first backward consumes what was kept.
    const bool again = !ctx->saved_data.emplace("consumed", true).second;
    variable_list gradients =
        op.call(grads[0], again ? at::TensorList() : all.slice(4 + count), saved[0], saved[1],
                saved[2], ctx->saved_data["window"].toInt(), all.slice(4, count),
                ctx->saved_data["p"].toDouble(), saved_optional(saved[3]));
    gradients.emplace_back();  // slots: weights..., windows
    return gradients;
  }
};

struct GruDense : torch::autograd::Function<GruDense> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, at::TensorList weights, double p,
                        const Optional& key) {
    using Signature = Tensor(const Tensor&, at::TensorList, double, const Optional&);
    static const auto op =
        c10::Dispatcher::singleton().findSchemaOrThrow("astgnn::gru_dense", "").typed<Signature>();
    at::AutoDispatchBelowADInplaceOrView below;
    variable_list saved = {x, key.value_or(Tensor())};
    saved.insert(saved.end(), weights.begin(), weights.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["p"] = p;
    return op.call(x, weights, p, key);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    using Signature = std::vector<Tensor>(const Tensor&, const Tensor&, at::TensorList, double,
                                          const Optional&, bool);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_gru_dense_backward", "")
                               .typed<Signature>();
    const variable_list saved = ctx->get_saved_variables();
    variable_list gradients =
        op.call(grads[0], saved[0], at::TensorList(saved).slice(2), ctx->saved_data["p"].toDouble(),
                saved_optional(saved[1]), ctx->needs_input_grad(0));
    gradients.resize(gradients.size() + 2);  // slots: x, weights..., p, key
    return gradients;
  }
};

Tensor gru(const Tensor& panel, const Tensor& date, const Tensor& stock, int64_t window,
           at::TensorList weights, double p, const Optional& key) {
  if (at::GradMode::is_enabled())
    return Gru::apply(weights, Windows{panel, date, stock, window, p, key});
  using Signature = Tensor(const Tensor&, const Tensor&, const Tensor&, int64_t, at::TensorList,
                           double, const Optional&);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("astgnn::gru", "").typed<Signature>();
  at::AutoDispatchBelowADInplaceOrView below;
  return op.call(panel, date, stock, window, weights, p, key);
}

Tensor gru_dense(const Tensor& x, at::TensorList weights, double p, const Optional& key) {
  return GruDense::apply(x, weights, p, key);
}

}  // namespace

TORCH_LIBRARY_IMPL(astgnn, Autograd, m) {
  m.impl("gru", TORCH_FN(gru));
  m.impl("gru_dense", TORCH_FN(gru_dense));
}
