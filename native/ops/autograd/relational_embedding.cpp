// With E_ij = k_ij exp(ReLU(S_ij)) (k: allowed and kept), e_i = E_ii, r_i = sum_{j != i} E_ij,
// D = r + e, Y'_i = sum_{j != i} E_ij V_j: per layer z = ((r + (1 + sign) e) V + sign Y') / D + b.
// Back, from the last layer, g after ReLU and dropout: db = sum g, G = sign g / D, dV = ((r + (1 +
// sign) e) / D) g + E'^T G (E' = E without its diagonal), dW = X^T dV, dX = dV W^T. Then, over all
// layers at once, with d_i = G_i . (Y'_i + e_i V_i) / D_i: U_ij = [S_ij > 0] (E_ij (G_i . V_j -
// d_i) + E_ji (G_j . V_i - d_j)), dS_ii = e_i G_i . (r_i V_i - Y'_i) / D_i, dM = scale (U M + 2
// diag(dS_ii) M), dscale = sum(M dM) / (2 scale). A kernel may take A before W, ((I + sign A) X) W:
// then X stands for V and g W^T for g above, dW = ((I + sign A) X)^T g, dX = dV. The choice of the top_k has no gradient. Saved:
// the op's inputs, which are alive anyway, what each inner layer saw, V, Y', r, e and the
// thresholds, all [R, width]; E is computed again. An inner input is positive exactly where ReLU
// and dropout let the value through.
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

struct RelationalSettings {
  at::ArrayRef<double> signs;
  Tensor offsets;
  Optional groups;
  at::TensorList segments;
  bool exclude_self;
  int64_t top_k;
  double p;
  Optional key;
};

struct RelationalEmbedding : torch::autograd::Function<RelationalEmbedding> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x, const Tensor& m,
                               const Tensor& scale, at::TensorList weights, at::TensorList biases,
                               const RelationalSettings& settings) {
    using Signature = std::tuple<Tensor, Tensor, std::vector<Tensor>, Tensor, Tensor, Tensor>(
        const Tensor&, const Tensor&, at::TensorList, at::TensorList, at::ArrayRef<double>,
        const Tensor&, const Optional&, at::TensorList, const Tensor&, bool, int64_t, double,
        const Optional&);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_relational_embedding_forward", "")
                               .typed<Signature>();
    at::AutoDispatchBelowADInplaceOrView below;
    const auto& [signs, offsets, groups, segments, exclude_self, top_k, p, key] = settings;
    auto [z, statistics, inputs, graph, values, sums] =
        op.call(x, m, weights, biases, signs, offsets, groups, segments, scale, exclude_self, top_k,
                p, key);
    variable_list saved = {
        x,     m,      scale, offsets, groups.value_or(Tensor()), key.value_or(Tensor()),
        graph, values, sums};
    saved.insert(saved.end(), weights.begin(), weights.end());
    saved.insert(saved.end(), inputs.begin(), inputs.end());
    saved.insert(saved.end(), segments.begin(), segments.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["signs"] = signs.vec();
    ctx->saved_data["exclude_self"] = exclude_self;
    ctx->saved_data["top_k"] = top_k;
    ctx->saved_data["p"] = p;
    ctx->mark_non_differentiable({statistics});
    return {z, statistics};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    using Signature = std::vector<Tensor>(
        const Tensor&, const Tensor&, const Tensor&, at::TensorList, at::TensorList, const Tensor&,
        const Tensor&, const Tensor&, at::ArrayRef<double>, const Tensor&, const Optional&,
        at::TensorList, const Tensor&, bool, int64_t, double, const Optional&, bool, bool);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_relational_embedding_backward", "")
                               .typed<Signature>();
    const variable_list saved = ctx->get_saved_variables();
    const std::vector<double> signs = ctx->saved_data["signs"].toDoubleVector();
    const size_t layers = signs.size();  // all but the first have an input that was kept
    const at::TensorList rest = at::TensorList(saved).slice(9);
    const bool graph_gradient = ctx->needs_input_grad(1) || ctx->needs_input_grad(2);
    variable_list gradients =
        op.call(grads[0], saved[0], saved[1], rest.slice(0, layers), rest.slice(layers, layers - 1),
                saved[6], saved[7], saved[8], signs, saved[3], saved_optional(saved[4]),
                rest.slice(2 * layers - 1), saved[2], ctx->saved_data["exclude_self"].toBool(),
                ctx->saved_data["top_k"].toInt(), ctx->saved_data["p"].toDouble(),
                saved_optional(saved[5]), ctx->needs_input_grad(0), graph_gradient);
    gradients.emplace_back();  // slots: x, m, scale, weights..., biases..., settings
    return gradients;
  }
};

std::tuple<Tensor, Tensor> relational_embedding(const Tensor& x, const Tensor& m,
                                                at::TensorList weights, at::TensorList biases,
                                                at::ArrayRef<double> signs, const Tensor& offsets,
                                                const Optional& groups, at::TensorList segments,
                                                const Tensor& scale, bool exclude_self,
                                                int64_t top_k, double p, const Optional& key) {
  const variable_list out = RelationalEmbedding::apply(
      x, m, scale, weights, biases,
      RelationalSettings{signs, offsets, groups, segments, exclude_self, top_k, p, key});
  return {out[0], out[1]};
}

}  // namespace

TORCH_LIBRARY_IMPL(astgnn, Autograd, m) {
  m.impl("relational_embedding", TORCH_FN(relational_embedding));
}
