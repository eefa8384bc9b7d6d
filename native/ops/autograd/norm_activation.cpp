// With g the gradient before the activation (y > 0 says both that the ReLU passed and that nothing
// was dropped) and n = (x - mean) / deviation: dweight = sum g n, dbias = sum g, dresidual = g, dx
// = (h - mean(h) - n mean(h n)) / deviation with h = g weight.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Optional = std::optional<Tensor>;

struct NormActivation : torch::autograd::Function<NormActivation> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const Tensor& bias, const Optional& residual, double eps,
                        int64_t activation, double p, const Optional& key, int64_t site) {
    using Signature =
        std::tuple<Tensor, Tensor>(const Tensor&, const Tensor&, const Tensor&, double,
                                   const Optional&, int64_t, double, const Optional&, int64_t);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_norm_activation_forward", "")
                               .typed<Signature>();
    at::AutoDispatchBelowADInplaceOrView below;
    auto [y, moments] = op.call(x, weight, bias, eps, residual, activation, p, key, site);
    ctx->save_for_backward({x, weight, y, moments});
    ctx->saved_data["activation"] = activation;
    ctx->saved_data["p"] = p;
    ctx->saved_data["residual"] = residual.has_value();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    using Signature = std::vector<Tensor>(const Tensor&, const Tensor&, const Tensor&,
                                          const Tensor&, const Tensor&, int64_t, double, bool);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_norm_activation_backward", "")
                               .typed<Signature>();
    const variable_list saved = ctx->get_saved_variables();
    auto& data = ctx->saved_data;
    variable_list gradients =
        op.call(grads[0], saved[0], saved[1], saved[2], saved[3], data["activation"].toInt(),
                data["p"].toDouble(), data["residual"].toBool());
    gradients.resize(9);  // slots: x, weight, bias, residual, eps, activation, p, key, site
    return gradients;
  }
};

Tensor norm_activation(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps,
                       const Optional& residual, int64_t activation, double p, const Optional& key,
                       int64_t site) {
  return NormActivation::apply(x, weight, bias, residual, eps, activation, p, key, site);
}

}  // namespace

TORCH_LIBRARY_IMPL(astgnn, Autograd, m) { m.impl("norm_activation", TORCH_FN(norm_activation)); }
