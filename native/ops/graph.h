// Checks an attention mask that a caller gives (groups or edges), and brings edge lists into the
// form that the kernels read.
#pragma once

#include "ops/ops.h"

namespace astgnn::ops {

// offsets int [B + 1], groups int32 [R], edges as CSR over rows: any integer type, unsorted, with
// or without duplicates and self. Undefined tensors mean absent. Throws TORCH_CHECK on offsets that
// do not cover [0, R], or an edge that leaves its date.
Graph make_graph(const at::Tensor& offsets, const at::Tensor& groups,
                 const at::Tensor& edge_offsets, const at::Tensor& edge_targets, int64_t rows);

}  // namespace astgnn::ops
