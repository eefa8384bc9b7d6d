#include "ops/graph.h"

#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <algorithm>

namespace astgnn::ops {

Graph make_graph(const at::Tensor& offsets, const at::Tensor& groups,
                 const at::Tensor& edge_offsets, const at::Tensor& edge_targets, int64_t rows) {
  Graph graph;
  graph.offsets = offsets.to(at::kLong).contiguous();
  const int64_t* bounds = graph.offsets.const_data_ptr<int64_t>();
  int64_t count = graph.offsets.numel();
  TORCH_CHECK(count >= 1 && bounds[0] == 0 && bounds[count - 1] == rows &&
                  std::is_sorted(bounds, bounds + count),
              "Expected offsets that rise from 0 to the number of rows (", rows, ").");
  if (groups.defined()) {
    TORCH_CHECK(groups.numel() == rows, "Expected one group per row (", rows, ") but received ",
                groups.numel(), ".");
    graph.groups = groups.to(at::kInt).contiguous();
  }
  if (!edge_offsets.defined()) return graph;

  at::Tensor starts = edge_offsets.to(at::kLong).contiguous(),
             targets = edge_targets.to(at::kLong).contiguous();
  const int64_t* start = starts.const_data_ptr<int64_t>();
  TORCH_CHECK(starts.numel() == rows + 1 && start[0] == 0 && start[rows] == targets.numel() &&
                  std::is_sorted(start, start + rows + 1),
              "Expected edge offsets that rise from 0 to the number of edges (", targets.numel(),
              "), one per row and one more.");
  std::vector<int64_t> sorted, clean_offsets{0}, seen;
  for (int64_t date = 0; date + 1 < count; ++date) {
    for (int64_t row = bounds[date]; row < bounds[date + 1]; ++row) {
      const int64_t* target = targets.const_data_ptr<int64_t>();
      seen.assign(target + start[row], target + start[row + 1]);
      seen.push_back(row);
      std::sort(seen.begin(), seen.end());
      seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
      TORCH_CHECK(seen.front() >= bounds[date] && seen.back() < bounds[date + 1], "An edge of row ",
                  row, " leaves its date (rows ", bounds[date], " to ", bounds[date + 1] - 1, ").");
      sorted.insert(sorted.end(), seen.begin(), seen.end());
      clean_offsets.push_back(static_cast<int64_t>(sorted.size()));
    }
  }
  auto own = [](const std::vector<int64_t>& values) {
    at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
    std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<int64_t>());
    return tensor;
  };
  graph.edge_offsets = own(clean_offsets);
  graph.edge_targets = own(sorted);
  return graph;
}

}  // namespace astgnn::ops
