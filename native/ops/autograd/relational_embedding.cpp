// Per layer, from the last: g the gradient after ReLU and dropout, Y = X W: db = sum g, dY = g +
// sign A^T g, dW = X^T dY, dX = dY W^T, dA += sign g Y^T. Then dS = [S > 0] A (dA - rowsum(A dA)),
// dM' = scale (dS + dS^T) M', dscale = sum of dS (M' M'^T). The choice of the top_k has no
// gradient. Saved: the op's inputs, which are alive anyway, and what each inner layer saw, [R,
// width]. A is computed again, date by date; nothing N x N lives between forward and backward. An
// inner input is positive exactly where ReLU and dropout let the value through.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Optional = std::optional<Tensor>;

Optional optional(const Tensor& tensor) {
  return tensor.defined() ? Optional(tensor) : std::nullopt;
}

struct Settings {
  at::ArrayRef<double> signs;
  Tensor offsets;
  Optional groups;
  bool exclude_self;
  int64_t top_k;
  double p;
  Optional key;
};

struct RelationalEmbedding : torch::autograd::Function<RelationalEmbedding> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x, const Tensor& m,
                               const Tensor& scale, at::TensorList weights, at::TensorList biases,
                               const Settings& settings) {
    using Signature = std::tuple<Tensor, Tensor, std::vector<Tensor>>(
        const Tensor&, const Tensor&, at::TensorList, at::TensorList, at::ArrayRef<double>,
        const Tensor&, const Optional&, const Tensor&, bool, int64_t, double, const Optional&);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_relational_embedding_forward", "")
                               .typed<Signature>();
    at::AutoDispatchBelowADInplaceOrView below;
    const auto& [signs, offsets, groups, exclude_self, top_k, p, key] = settings;
    auto [z, statistics, inputs] =
        op.call(x, m, weights, biases, signs, offsets, groups, scale, exclude_self, top_k, p, key);
    variable_list saved = {x, m, scale, offsets, groups.value_or(Tensor()), key.value_or(Tensor())};
    saved.insert(saved.end(), weights.begin(), weights.end());
    saved.insert(saved.end(), inputs.begin(), inputs.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["signs"] = signs.vec();
    ctx->saved_data["exclude_self"] = exclude_self;
    ctx->saved_data["top_k"] = top_k;
    ctx->saved_data["p"] = p;
    ctx->mark_non_differentiable({statistics});
    return {z, statistics};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    using Signature =
        std::vector<Tensor>(const Tensor&, const Tensor&, const Tensor&, at::TensorList,
                            at::TensorList, at::ArrayRef<double>, const Tensor&, const Optional&,
                            const Tensor&, bool, int64_t, double, const Optional&, bool, bool);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_relational_embedding_backward", "")
                               .typed<Signature>();
    const variable_list saved = ctx->get_saved_variables();
    const std::vector<double> signs = ctx->saved_data["signs"].toDoubleVector();
    const at::TensorList rest = at::TensorList(saved).slice(6);
    const bool graph_gradient = ctx->needs_input_grad(1) || ctx->needs_input_grad(2);
    variable_list gradients = op.call(
        grads[0], saved[0], saved[1], rest.slice(0, signs.size()), rest.slice(signs.size()), signs,
        saved[3], optional(saved[4]), saved[2], ctx->saved_data["exclude_self"].toBool(),
        ctx->saved_data["top_k"].toInt(), ctx->saved_data["p"].toDouble(), optional(saved[5]),
        ctx->needs_input_grad(0), graph_gradient);
    gradients.emplace_back();  // slots: x, m, scale, weights..., biases..., settings
    return gradients;
  }
};

std::tuple<Tensor, Tensor> relational_embedding(const Tensor& x, const Tensor& m,
                                                at::TensorList weights, at::TensorList biases,
                                                at::ArrayRef<double> signs, const Tensor& offsets,
                                                const Optional& groups, const Tensor& scale,
                                                bool exclude_self, int64_t top_k, double p,
                                                const Optional& key) {
  const variable_list out = RelationalEmbedding::apply(
      x, m, scale, weights, biases, Settings{signs, offsets, groups, exclude_self, top_k, p, key});
  return {out[0], out[1]};
}

}  // namespace

TORCH_LIBRARY_IMPL(astgnn, Autograd, m) {
  m.impl("relational_embedding", TORCH_FN(relational_embedding));
}
