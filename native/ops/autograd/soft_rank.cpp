// dtheta = (g - mean of g over the pooled block) / strength. Saved: the order and the block of each
// place in it, 16 bytes per stock.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct SoftRank : torch::autograd::Function<SoftRank> {
  static Tensor forward(AutogradContext* ctx, const Tensor& theta, double strength) {
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_soft_rank_forward", "")
                               .typed<std::tuple<Tensor, Tensor, Tensor>(const Tensor&, double)>();
    at::AutoDispatchBelowADInplaceOrView below;
    auto [out, order, block] = op.call(theta, strength);
    ctx->save_for_backward({order, block});
    ctx->saved_data["strength"] = strength;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    static const auto op =
        c10::Dispatcher::singleton()
            .findSchemaOrThrow("astgnn::_soft_rank_backward", "")
            .typed<Tensor(const Tensor&, const Tensor&, const Tensor&, double)>();
    const variable_list saved = ctx->get_saved_variables();
    // slots: theta, strength
    return {op.call(grads[0], saved[0], saved[1], ctx->saved_data["strength"].toDouble()),
            Tensor()};
  }
};

Tensor soft_rank(const Tensor& theta, double strength) { return SoftRank::apply(theta, strength); }

}  // namespace

TORCH_LIBRARY_IMPL(astgnn, Autograd, m) { m.impl("soft_rank", TORCH_FN(soft_rank)); }
