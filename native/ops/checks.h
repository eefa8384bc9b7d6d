// Argument checks that several ops share: what was expected, what was received.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <optional>

namespace astgnn::ops {

inline void check_probability(const char* op, double p) {
  TORCH_CHECK(p >= 0 && p < 1, op, ": Expected a dropout probability in [0, 1) but received ", p,
              ".");
}

inline void check_floating(const char* op, const char* name, const at::Tensor& tensor) {
  TORCH_CHECK(tensor.defined(), op, ": Expected a tensor for ", name, " but received none.");
  TORCH_CHECK(tensor.scalar_type() == at::kFloat || tensor.scalar_type() == at::kDouble, op,
              ": Expected float32 or float64 for ", name, " but received ", tensor.scalar_type(),
              ".");
}

inline void check_same_dtype(const char* op, const char* name, const at::Tensor& tensor,
                             const char* other_name, const at::Tensor& other) {
  TORCH_CHECK(tensor.scalar_type() == other.scalar_type(), op, ": Expected ", name,
              " in the dtype of ", other_name, " (", other.scalar_type(), ") but received ",
              tensor.scalar_type(), ".");
}

inline void check_shape(const char* op, const char* name, const at::Tensor& tensor,
                        at::IntArrayRef shape) {
  TORCH_CHECK(tensor.defined(), op, ": Expected a tensor for ", name, " but received none.");
  TORCH_CHECK(tensor.sizes() == shape, op, ": Expected shape ", shape, " for ", name,
              " but received ", tensor.sizes(), ".");
}

// Only needed where p > 0.
inline void check_key(const char* op, const at::Tensor& key, int64_t rows) {
  TORCH_CHECK(key.defined(), op, ": Expected a dropout key where p > 0 but received none.");
  TORCH_CHECK(key.scalar_type() == at::kLong && key.dim() == 2 && key.size(0) == rows + 1 &&
                  key.size(1) == 2,
              op, ": Expected an int64 dropout key of shape [", rows + 1, ", 2] but received ",
              key.scalar_type(), " ", key.sizes(), ".");
}

inline std::optional<at::Tensor> key_if_used(double p, const at::Tensor& key) {
  return p > 0 ? std::optional<at::Tensor>(key) : std::nullopt;
}

// offsets [B + 1] int64 on the CPU, rising from 0 to the number of rows.
inline void check_offsets(const char* op, const at::Tensor& offsets, int64_t rows) {
  TORCH_CHECK(offsets.defined() && offsets.scalar_type() == at::kLong && offsets.dim() == 1 &&
                  offsets.size(0) >= 1 && offsets.is_cpu(),
              op, ": Expected int64 CPU offsets [B + 1].");
  const auto bounds = offsets.accessor<int64_t, 1>();
  bool rising = bounds[0] == 0 && bounds[bounds.size(0) - 1] == rows;
  for (int64_t date = 0; rising && date + 1 < bounds.size(0); ++date)
    rising = bounds[date] <= bounds[date + 1];
  TORCH_CHECK(rising, op, ": Expected offsets that rise from 0 to the number of rows (", rows,
              ").");
}

inline void check_groups(const char* op, const std::optional<at::Tensor>& groups, int64_t rows) {
  if (!groups) return;
  TORCH_CHECK(groups->scalar_type() == at::kInt && groups->dim() == 1 && groups->size(0) == rows,
              op, ": Expected int32 groups of shape [", rows, "] but received ",
              groups->scalar_type(), " ", groups->sizes(), ".");
}

// Lists on the host, edge_offsets [R + 1] and edge_targets [E], of rows that see themselves at
// least and nobody of another date.
inline void check_edges(const char* op, const at::Tensor& offsets, const at::Tensor& edge_offsets,
                        const at::Tensor& edge_targets) {
  const at::Tensor starts = edge_offsets.contiguous(), targets = edge_targets.contiguous();
  const int64_t *start = starts.const_data_ptr<int64_t>(),
                *target = targets.const_data_ptr<int64_t>();
  const int64_t rows = starts.size(0) - 1, count = targets.size(0);
  TORCH_CHECK(start[0] == 0 && start[rows] == count, op, ": Expected edge_offsets from 0 to ",
              count, ".");
  for (int64_t row = 0; row < rows; ++row) {
    TORCH_CHECK(start[row] < start[row + 1], op,
                ": Expected every row to see itself at least, but row ", row, " has no edge.");
  }
  const auto bounds = offsets.accessor<int64_t, 1>();
  for (int64_t date = 0; date + 1 < bounds.size(0); ++date) {
    const int64_t lo = bounds[date], hi = bounds[date + 1];
    for (int64_t row = lo; row < hi; ++row) {
      for (int64_t e = start[row]; e < start[row + 1]; ++e) {
        TORCH_CHECK(target[e] >= lo && target[e] < hi, op,
                    ": Expected edges within a date but row ", row, " sees row ", target[e], ".");
      }
    }
  }
}

}  // namespace astgnn::ops
