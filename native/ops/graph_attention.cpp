// graph_attention: per date and head, out_i = sum_j alpha_ij v'_j, alpha_i = softmax over the j
// that i may see of LeakyReLU(source_i + target_j), v' = dropout(v). v [R, A, D], source and target
// [R, A] -> out [R, A * D]. The attention mask: all pairs of a date, pairs of a group, or a CSR
// edge list over packed rows (Graph in ops.h).
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "ops/checks.h"
#include "ops/ops.h"
#include "ops/reference.h"

namespace astgnn::ops {
namespace {

void check_graph(const char* op, const Graph& graph, int64_t rows) {
  check_offsets(op, graph.offsets, rows);
  check_groups(op, graph.groups, rows);
  TORCH_CHECK(!(graph.groups && graph.edge_offsets), op,
              ": Expected groups or edges but received both.");
  TORCH_CHECK(graph.edge_offsets.has_value() == graph.edge_targets.has_value(), op,
              ": Expected edge_offsets and edge_targets together.");
  if (!graph.edge_offsets) return;
  TORCH_CHECK(graph.edge_offsets->scalar_type() == at::kLong && graph.edge_offsets->dim() == 1 &&
                  graph.edge_offsets->size(0) == rows + 1,
              op, ": Expected int64 edge_offsets of shape [", rows + 1, "] but received ",
              graph.edge_offsets->scalar_type(), " ", graph.edge_offsets->sizes(), ".");
  TORCH_CHECK(graph.edge_targets->scalar_type() == at::kLong && graph.edge_targets->dim() == 1, op,
              ": Expected int64 edge_targets [E] but received ", graph.edge_targets->scalar_type(),
              " ", graph.edge_targets->sizes(), ".");
}

}  // namespace

at::Tensor graph_attention(const at::Tensor& v, const at::Tensor& source, const at::Tensor& target,
                           const Graph& graph, double negative_slope, double p,
                           const at::Tensor& key) {
  check_floating("graph_attention", "v", v);
  TORCH_CHECK(v.dim() == 3, "graph_attention: Expected v [R, A, D] but received ", v.sizes(), ".");
  check_shape("graph_attention", "source", source, {v.size(0), v.size(1)});
  check_shape("graph_attention", "target", target, {v.size(0), v.size(1)});
  check_same_dtype("graph_attention", "source", source, "v", v);
  check_same_dtype("graph_attention", "target", target, "v", v);
  check_graph("graph_attention", graph, v.size(0));
  TORCH_CHECK(negative_slope >= 0 && negative_slope < 1,
              "graph_attention: Expected a negative slope in [0, 1) but received ", negative_slope,
              ".");
  check_probability("graph_attention", p);
  if (p > 0) check_key("graph_attention", key, v.size(0));
  using Optional = const std::optional<at::Tensor>&;
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&, const at::Tensor&,
                 Optional, Optional, Optional, at::TensorList, double, double, Optional);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("astgnn::graph_attention", "")
                             .typed<Signature>();
  return op.call(v, source, target, graph.offsets, graph.groups, graph.edge_offsets,
                 graph.edge_targets, graph.segments, negative_slope, p, key_if_used(p, key));
}

at::Tensor attention(const at::Tensor& source, const at::Tensor& target, const Graph& graph,
                     double negative_slope) {
  check_floating("attention", "source", source);
  check_shape("attention", "target", target, source.sizes());
  check_graph("attention", graph, source.size(0));
  return reference::attention(source, target, graph, negative_slope);
}

}  // namespace astgnn::ops

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  m.def(
      "graph_attention(Tensor v, Tensor source, Tensor target, Tensor offsets, Tensor? groups, "
      "Tensor? edge_offsets, Tensor? edge_targets, Tensor[] segments, "
      "float negative_slope, float p, Tensor? key) -> Tensor");
  // dropped: v after dropout, undefined for p = 0. order: int32, as the same device's backward
  // reads it.
  m.def(
      "_graph_attention_forward(Tensor v, Tensor source, Tensor target, Tensor offsets, Tensor? "
      "groups, Tensor? edge_offsets, Tensor? edge_targets, Tensor[] segments, float "
      "negative_slope, float p, Tensor? "
      "key) -> (Tensor out, Tensor dropped, Tensor order)");
  m.def(
      "_graph_attention_backward(Tensor grad, Tensor dropped, Tensor source, Tensor target, Tensor "
      "order, Tensor offsets, Tensor? groups, Tensor? edge_offsets, Tensor? edge_targets, "
      "Tensor[] segments, float negative_slope, float p) -> (Tensor dv, Tensor dsource, Tensor "
      "dtarget)");
}
