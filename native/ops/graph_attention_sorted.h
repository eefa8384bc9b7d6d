#pragma once

#include "ops/ops.h"

namespace astgnn::ops {

// graph_attention by ATen alone, O(n log n), on any device and differentiable by autograd: sort,
// cumulative sums and binary search. For the complete graph and groups; edges are refused. offsets
// are on the CPU; dropout is the device's own.
at::Tensor graph_attention_sorted(const at::Tensor& v, const at::Tensor& source,
                                  const at::Tensor& target, const Graph& graph,
                                  double negative_slope, double p, const at::Tensor& key);

}  // namespace astgnn::ops
