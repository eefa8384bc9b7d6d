// The sums of isa/attention.h as prefixes and suffixes over the sorted targets: a row's lower
// branch is a prefix, its upper one a suffix, and where they meet is found by binary search. What
// is added is never subtracted again. Devices without a kernel of their own take this way.
#include "ops/graph_attention_sorted.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include "ops/segments.h"
#include "ops/to_device.h"

namespace astgnn::ops {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

// v [A, N, D], source and target [A, N] of rows that all see each other -> [A, N, D].
Tensor attend(const Tensor& v, const Tensor& source, const Tensor& target, double slope) {
  const auto [sorted, order] = target.sort(1);                            // [A, N]
  const Tensor largest = sorted.detach().slice(1, -1);                    // [A, 1]
  const Tensor below = (sorted - largest).unsqueeze(2);                   // [A, N, 1]
  const Tensor values = at::cat({v, at::ones_like(v.slice(2, 0, 1))}, 2)  // weights last
                            .gather(1, order.unsqueeze(2).expand({-1, -1, v.size(2) + 1}));
  const Tensor upper = at::constant_pad_nd(  // [A, N + 1, D + 1]
      (below.exp() * values).flip(1).cumsum(1).flip(1), {0, 0, 0, 1});
  const Tensor lower =
      at::constant_pad_nd(((slope * below).exp() * values).cumsum(1), {0, 0, 1, 0});
  // s + t > 0 and t > -s are the same: a sum is never rounded to or across 0.
  const Tensor split = at::searchsorted(sorted.detach(), -source.detach(), false, /*right=*/true)
                           .unsqueeze(2)
                           .expand({-1, -1, values.size(2)});
  const Tensor x = (source + largest).unsqueeze(2);  // [A, N, 1]
  const Tensor most = at::where(x > 0, x, slope * x).detach();
  const Tensor sums =
      (x - most).exp() * upper.gather(1, split) + (slope * x - most).exp() * lower.gather(1, split);
  return sums.slice(2, 0, v.size(2)) / sums.slice(2, v.size(2));
}

Tensor fallback(const Tensor& v, const Tensor& source, const Tensor& target, const Tensor& offsets,
                const Optional& groups, const Optional& edge_offsets, const Optional& edge_targets,
                at::TensorList, double negative_slope, double p, const Optional& key) {
  return graph_attention_sorted(v, source, target,
                                {offsets, groups, edge_offsets, edge_targets, {}}, negative_slope,
                                p, key.value_or(Tensor()));
}

}  // namespace

Tensor graph_attention_sorted(const Tensor& v, const Tensor& source, const Tensor& target,
                              const Graph& graph, double negative_slope, double p,
                              const Tensor& key) {
  TORCH_CHECK(!graph.edge_offsets, "graph_attention: Edges have no kernel on ", v.device(), ".");
  const int64_t rows = v.size(0), width = v.size(1) * v.size(2);
  Tensor values = v;
  if (p > 0) {
    values = dropout(v.reshape({rows, width}), p, key, kGat).view(v.sizes());
  }
  const Segments segments =
      make_segments(graph.offsets, graph.groups ? Optional(graph.groups->cpu()) : std::nullopt);
  if (segments.count() == 0) return v.new_empty({0, width});
  const Tensor order = to_device(at::tensor(segments.rows, at::kLong), v.device());
  const auto by_head = [&](const Tensor& t, int64_t lo, int64_t hi) {
    return t.index_select(0, order.slice(0, lo, hi)).transpose(0, 1).contiguous();
  };
  std::vector<Tensor> parts;
  for (int64_t s = 0; s < segments.count(); ++s) {
    const int64_t lo = segments.bounds[s], hi = segments.bounds[s + 1];
    parts.push_back(attend(by_head(values, lo, hi), by_head(source, lo, hi),
                           by_head(target, lo, hi), negative_slope)
                        .transpose(0, 1)
                        .reshape({hi - lo, width}));
  }
  const Tensor out = at::cat(parts);
  return segments.ordered ? out : out.index_select(0, order.argsort());
}

}  // namespace astgnn::ops

TORCH_LIBRARY_IMPL(astgnn, CompositeExplicitAutograd, m) {
  m.impl("graph_attention", TORCH_FN(astgnn::ops::fallback));
}
