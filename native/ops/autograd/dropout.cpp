// dx = dropout(dout) with the same key: the mask is a function of the key, so only the key is
// saved.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Dropout : torch::autograd::Function<Dropout> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, double p, const Tensor& key,
                        int64_t site, int64_t time) {
    static const auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("astgnn::dropout", "")
            .typed<Tensor(const Tensor&, double, const Tensor&, int64_t, int64_t)>();
    at::AutoDispatchBelowADInplaceOrView below;
    ctx->save_for_backward({key});
    ctx->saved_data["p"] = p;
    ctx->saved_data["site"] = site;
    ctx->saved_data["time"] = time;
    return op.call(x, p, key, site, time);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("astgnn::_dropout_backward", "")
            .typed<Tensor(const Tensor&, double, const Tensor&, int64_t, int64_t)>();
    const Tensor key = ctx->get_saved_variables()[0];
    auto& saved = ctx->saved_data;
    // slots: x, p, key, site, time
    return {
        op.call(grads[0], saved["p"].toDouble(), key, saved["site"].toInt(), saved["time"].toInt()),
        Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

Tensor dropout(const Tensor& x, double p, const Tensor& key, int64_t site, int64_t time) {
  return Dropout::apply(x, p, key, site, time);
}

}  // namespace

TORCH_LIBRARY_IMPL(astgnn, Autograd, m) { m.impl("dropout", TORCH_FN(dropout)); }
