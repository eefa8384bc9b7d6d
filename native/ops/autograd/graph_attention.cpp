// With alpha the attention and g the gradient of out: dv'_j = sum_i alpha_ij g_i, de_ij = alpha_ij
// g_i . (v'_j - out_i), dsource_i = sum_j LeakyReLU'(.) de_ij, dtarget_j = sum_i LeakyReLU'(.)
// de_ij, dv = mask * dv'. Saved: the inputs (alive anyway), or v' instead of v where something is
// dropped (it shows its mask), and the device's own sort order. Nothing is N x N, and what the
// sweeps found is found again.
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include "ops/autograd/saved.h"
#include "ops/graph_attention_sorted.h"

namespace {

using astgnn::ops::saved_optional;
using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Optional = std::optional<Tensor>;

struct AttentionSettings {
  Tensor offsets;
  Optional groups, edge_offsets, edge_targets;
  variable_list segments;
  double negative_slope, p;
  Optional key;
};

struct GraphAttention : torch::autograd::Function<GraphAttention> {
  static Tensor forward(AutogradContext* ctx, const Tensor& v, const Tensor& source,
                        const Tensor& target, const AttentionSettings& settings) {
    using Signature = std::tuple<Tensor, Tensor, Tensor>(
        const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Optional&,
        const Optional&, const Optional&, at::TensorList, double, double, const Optional&);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_graph_attention_forward", "")
                               .typed<Signature>();
    at::AutoDispatchBelowADInplaceOrView below;
    const auto& [offsets, groups, edge_offsets, edge_targets, segments, negative_slope, p, key] =
        settings;
    auto [out, dropped, order] = op.call(v, source, target, offsets, groups, edge_offsets,
                                         edge_targets, segments, negative_slope, p, key);
    variable_list saved = {dropped.defined() ? dropped : v,
                           source,
                           target,
                           order,
                           offsets,
                           groups.value_or(Tensor()),
                           edge_offsets.value_or(Tensor()),
                           edge_targets.value_or(Tensor())};
    saved.insert(saved.end(), segments.begin(), segments.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["negative_slope"] = negative_slope;
    ctx->saved_data["p"] = p;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    using Signature = std::tuple<Tensor, Tensor, Tensor>(
        const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
        const Optional&, const Optional&, const Optional&, at::TensorList, double, double);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::_graph_attention_backward", "")
                               .typed<Signature>();
    const variable_list saved = ctx->get_saved_variables();
    auto [dv, dsource, dtarget] = op.call(
        grads[0], saved[0], saved[1], saved[2], saved[3], saved[4], saved_optional(saved[5]),
        saved_optional(saved[6]), saved_optional(saved[7]), at::TensorList(saved).slice(8),
        ctx->saved_data["negative_slope"].toDouble(), ctx->saved_data["p"].toDouble());
    // slots: v, source, target, settings
    return {dv, dsource, dtarget, Tensor()};
  }
};

Tensor graph_attention(const Tensor& v, const Tensor& source, const Tensor& target,
                       const Tensor& offsets, const Optional& groups, const Optional& edge_offsets,
                       const Optional& edge_targets, at::TensorList segments, double negative_slope,
                       double p, const Optional& key) {
  if (!at::GradMode::is_enabled() ||
      !(v.requires_grad() || source.requires_grad() || target.requires_grad())) {
    using Signature =
        Tensor(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Optional&,
               const Optional&, const Optional&, at::TensorList, double, double, const Optional&);
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("astgnn::graph_attention", "")
                               .typed<Signature>();
    at::AutoDispatchBelowADInplaceOrView below;
    return op.call(v, source, target, offsets, groups, edge_offsets, edge_targets, segments,
                   negative_slope, p, key);
  }
  static const auto kernel =
      c10::Dispatcher::singleton().findSchemaOrThrow("astgnn::_graph_attention_forward", "");
  if (!kernel.hasKernelForDispatchKey(v.options().computeDispatchKey())) {
    return astgnn::ops::graph_attention_sorted(v, source, target,
                                               {offsets, groups, edge_offsets, edge_targets, {}},
                                               negative_slope, p, key.value_or(Tensor()));
  }
  return GraphAttention::apply(v, source, target,
                               AttentionSettings{offsets, groups, edge_offsets, edge_targets,
                                                 segments.vec(), negative_slope, p, key});
}

}  // namespace

TORCH_LIBRARY_IMPL(astgnn, Autograd, m) { m.impl("graph_attention", TORCH_FN(graph_attention)); }
