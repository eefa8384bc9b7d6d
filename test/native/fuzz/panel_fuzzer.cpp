// Panels, batches of their dates and graphs of callers, with entries that may be anything: what is
// refused throws, and what is accepted leads nowhere outside its arrays.
#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "input.h"
#include "ops/graph.h"
#include "train/panel.h"

namespace {

using namespace astgnn;
using at::Tensor;
using fuzz::require;

Tensor tensor_of(const std::vector<int32_t>& values) {
  auto tensor = at::empty({static_cast<int64_t>(values.size())}, at::kInt);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<int32_t>());
  return tensor;
}

// As callers have them, but for what is put in a wrong place now and then.
class Drawn {
 public:
  explicit Drawn(fuzz::Input& input) : input_(input) {}

  Tensor integers(std::vector<int32_t> values, int64_t limit) {
    const uint8_t kind = input_.byte();
    if (kind < 12 && !values.empty())
      values[static_cast<size_t>(input_.below(static_cast<int64_t>(values.size())))] =
          input_.index(limit);
    if (kind == 12) values.push_back(0);
    if (kind == 13 && !values.empty()) values.pop_back();
    if (kind == 14) return {};
    if (kind == 15) return tensor_of(values).to(at::kLong);
    if (kind == 16) return tensor_of(values).view({1, -1});
    return tensor_of(values);
  }
  Tensor numbers(std::vector<int64_t> shape) {
    const uint8_t kind = input_.byte();
    if (kind < 3) ++shape[kind % shape.size()];
    if (kind == 3) shape.push_back(1);
    auto tensor = at::empty(shape, at::kFloat);
    auto* values = tensor.mutable_data_ptr<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i)
      values[i] = i % 16 == 0 ? static_cast<float>(std::clamp(input_.number(), -3e38, 3e38))
                              : 0.01f * static_cast<float>(i % 7);
    if (kind == 4) return tensor.to(at::kDouble);
    if (kind == 5) return at::cat({tensor, tensor}, -1).slice(-1, 0, shape.back());
    return tensor;
  }

 private:
  fuzz::Input& input_;
};

ops::Slots draw_slots(fuzz::Input& input, int64_t dates, int64_t stocks, int64_t reach) {
  if (input.flag()) return {dates, stocks};
  std::vector<uint8_t> present(static_cast<size_t>(dates * stocks));
  for (auto& is_present : present) is_present = input.byte() % 4 == 0;
  return ops::Slots(ops::LivesInput{dates, stocks, 0, reach, present.data(), present.data(), {}});
}

train::Panel draw_panel(fuzz::Input& input) {
  Drawn drawn(input);
  train::Panel panel;
  const int64_t dates = 1 + input.below(12), stocks = 1 + input.below(6),
                features = 1 + input.below(3);
  panel.window =
      input.byte() % 32 == 0 ? input.index(dates) : 1 + input.below(std::min<int64_t>(4, dates));
  panel.slots = draw_slots(input, dates, stocks, std::max<int64_t>(0, panel.window - 1));
  panel.features = drawn.numbers({dates, panel.slots.count(), features});
  if (input.byte() % 4 == 0) {
    panel.features = (1000 * panel.features.clamp(-30, 30)).to(at::kShort);
    std::vector<int32_t> among(static_cast<size_t>(dates * features), 1 + input.index(9000) / 2);
    panel.ranked = drawn.integers(std::move(among), 32767);
    if (panel.ranked.defined() && panel.ranked.numel() == dates * features)
      panel.ranked = panel.ranked.view({dates, features});
  }
  std::vector<int32_t> offsets{0}, rows, groups;
  for (int64_t t = 0; t < dates; ++t) {
    const uint8_t bits = t + 1 < panel.window ? 0 : input.byte();
    for (int32_t n = 0; n < stocks; ++n) {
      if ((bits >> n & 1) == 0) continue;
      if (!panel.slots.lives(t - panel.window + 1, n) || !panel.slots.lives(t, n)) continue;
      rows.push_back(n);
      groups.push_back(static_cast<int32_t>(n % 3));
    }
    offsets.push_back(static_cast<int32_t>(rows.size()));
  }
  const int64_t count = offsets.back();
  panel.row_offsets = drawn.integers(std::move(offsets), count + 1);
  panel.row_stocks = drawn.integers(std::move(rows), stocks);
  if (input.flag()) panel.groups = drawn.integers(std::move(groups), 3);
  if (input.flag()) panel.targets = drawn.numbers({dates, stocks, 1 + input.below(2)});
  if (input.flag()) {
    panel.returns = drawn.numbers({dates, stocks});
    std::vector<int32_t> ends;
    for (int64_t t = 0; t < dates; ++t)
      ends.push_back(static_cast<int32_t>(input.below(dates + 1)) - 1);
    panel.return_ends = drawn.integers(std::move(ends), dates);
  }
  using Graph = train::Panel::Graph;
  const Graph graphs[] = {Graph::kComplete, Graph::kGroups, Graph::kEdges, Graph::kNone};
  panel.graph = graphs[input.below(4)];
  if (panel.graph != Graph::kEdges) return panel;
  std::vector<int32_t> parts[4];
  for (int64_t edges = input.below(12); edges > 0; --edges) {
    parts[0].push_back(static_cast<int32_t>(input.below(stocks)));
    parts[1].push_back(static_cast<int32_t>(input.below(stocks)));
    parts[2].push_back(input.index(dates));
    parts[3].push_back(input.index(dates));
  }
  panel.edge_source = drawn.integers(parts[0], stocks);
  panel.edge_target = drawn.integers(parts[1], stocks);
  panel.edge_from = drawn.integers(parts[2], dates);
  panel.edge_to = drawn.integers(parts[3], dates);
  return panel;
}

bool is_taken(train::Panel& panel) {
  try {
    panel.prepare();
    return true;
  } catch (const c10::Error&) {
    return false;
  }
}

// Edges of a row stay within its date, ascend, and lead to itself.
void check_edges(const ops::Graph& graph, const std::vector<int64_t>& offsets) {
  if (!graph.edge_offsets) return;
  const auto* start = graph.edge_offsets->const_data_ptr<int64_t>();
  const auto* target = graph.edge_targets->const_data_ptr<int64_t>();
  require(graph.edge_offsets->numel() == offsets.back() + 1 && start[0] == 0 &&
              start[offsets.back()] == graph.edge_targets->numel(),
          "edge offsets cover the edges");
  for (size_t d = 0; d + 1 < offsets.size(); ++d)
    for (int64_t row = offsets[d]; row < offsets[d + 1]; ++row) {
      bool sees_itself = false;
      for (int64_t e = start[row]; e < start[row + 1]; ++e) {
        require(target[e] >= offsets[d] && target[e] < offsets[d + 1], "edges stay in their date");
        require(e == start[row] || target[e - 1] < target[e], "edges ascend");
        sees_itself = sees_itself || target[e] == row;
      }
      require(sees_itself, "a stock sees itself");
    }
}

void check_batch(const train::Panel& panel, const train::PackedBatch& packed) {
  const auto rows = packed.sequences.date.numel(), real = packed.offsets.back();
  const auto* date = packed.sequences.date.const_data_ptr<int64_t>();
  const auto* slot = packed.sequences.stock.const_data_ptr<int64_t>();
  // As they are, or decoded: those of the dates that are read.
  const Tensor& features = packed.sequences.panel;
  const auto* values = features.const_data_ptr<float>();
  const int64_t slots = features.size(1), width = features.size(2);
  float sum = 0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t back = 0; back < panel.window; ++back) {
      const int64_t cell = (date[r] - back) * slots + slot[r];
      require(date[r] - back >= 0 && date[r] < features.size(0) && slot[r] >= 0 && slot[r] < slots,
              "windows lie in the features");
      for (int64_t f = 0; f < width; ++f) sum += values[cell * width + f];
    }
  require(sum == sum || sum != sum, "they are read");
  require(rows >= real && packed.batch.key.size(0) == rows + 1, "every row has a key");
  if (packed.targets.defined()) require(packed.targets.size(0) == rows, "every row has targets");
  if (packed.batch.graph.groups)
    require(packed.batch.graph.groups->numel() == rows, "every row has a group");
  for (const auto& future : packed.futures)
    require(future.x.size(0) == rows && future.x.size(1) == future.days, "every row has a future");
  check_edges(packed.batch.graph, packed.offsets);
}

void pack_some(fuzz::Input& input, const train::Panel& panel) {
  const int64_t dates = panel.features.size(0);
  std::vector<int64_t> wanted;
  bool are_dates = true;
  for (int64_t left = input.below(4); left > 0; --left) {
    wanted.push_back(input.index(dates));
    are_dates = are_dates && wanted.back() >= 0 && wanted.back() < dates;
  }
  train::FutureRequest future;
  if (panel.returns.defined() && input.flag()) {
    future.days = {1 + input.below(3)};
    future.within_groups = panel.groups.defined() && input.flag();
  }
  int64_t rows = 0, padded = 0;
  for (const int64_t date : wanted) rows += are_dates ? panel.rows(date) : 0;
  if (rows > 0 && panel.graph != train::Panel::Graph::kEdges && input.flag())
    padded = train::padded_rows(rows);
  try {
    const auto packed =
        train::pack(panel, wanted, input.flag() ? at::kFloat : at::kDouble, 1, 2, padded, future);
    require(are_dates && packed.offsets.back() == rows, "dates of the panel are packed");
    check_batch(panel, packed);
  } catch (const c10::Error& error) {
    if (are_dates) std::fprintf(stderr, "%s\n", error.what());
    require(!are_dates, "dates of the panel can be packed");
  }
}

void make_a_graph(fuzz::Input& input) {
  Drawn drawn(input);
  const int64_t dates = input.below(4);
  std::vector<int32_t> offsets{0}, groups, starts{0}, targets;
  for (int64_t t = 0; t < dates; ++t) {
    const auto first = offsets.back(), count = static_cast<int32_t>(input.below(5));
    offsets.push_back(first + count);
    for (int32_t r = 0; r < count; ++r) {
      groups.push_back(input.index(4));
      for (int64_t e = input.below(4); e > 0; --e)
        targets.push_back(first + static_cast<int32_t>(input.below(std::max<int64_t>(1, count))));
      starts.push_back(static_cast<int32_t>(targets.size()));
    }
  }
  const int64_t rows = input.byte() % 16 == 0 ? input.below(20) : offsets.back();
  const auto edges = static_cast<int64_t>(targets.size());
  const Tensor bounds = drawn.integers(offsets, rows + 1);
  const Tensor of_rows = input.flag() ? drawn.integers(groups, 4) : Tensor();
  const bool has_edges = input.flag();
  const Tensor edge_offsets = has_edges ? drawn.integers(starts, edges + 1) : Tensor();
  const Tensor edge_targets = has_edges ? drawn.integers(targets, rows + 1) : Tensor();
  try {
    const auto graph = ops::make_graph(bounds, of_rows, edge_offsets, edge_targets, rows);
    const auto* begin = graph.offsets.const_data_ptr<int64_t>();
    const std::vector<int64_t> all(begin, begin + graph.offsets.numel());
    require(all.front() == 0 && all.back() == rows && std::is_sorted(all.begin(), all.end()),
            "offsets cover the rows");
    require(!graph.groups || graph.groups->numel() == rows, "every row has a group");
    check_edges(graph, all);
  } catch (const c10::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  if (input.byte() % 4 == 0) {
    make_a_graph(input);
    return 0;
  }
  train::Panel panel = draw_panel(input);
  if (!is_taken(panel)) return 0;
  for (int64_t left = 1 + input.below(3); left > 0; --left) pack_some(input, panel);
  return 0;
}
