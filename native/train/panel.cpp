#include "train/panel.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "ops/data/rank_codes.h"
#include "ops/to_device.h"

namespace astgnn::train {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

void check_int32(const char* name, const Tensor& tensor, int64_t size) {
  TORCH_CHECK(tensor.defined() && tensor.scalar_type() == at::kInt && tensor.dim() == 1 &&
                  tensor.size(0) == size && tensor.is_contiguous() && tensor.device().is_cpu(),
              name, ": expected int32 [", size, "] but got ",
              tensor.defined() ? c10::str(tensor.scalar_type(), " ", tensor.sizes()) : "nothing");
}

Tensor copy_of(const std::vector<int64_t>& values) {
  auto tensor = at::empty({static_cast<int64_t>(values.size())}, at::kLong);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<int64_t>());
  return tensor;
}

// The edge list of a packed batch: edges of the date between stocks that have a row, each once, and
// self-loops.
void pack_edges(const Panel& panel, const PackedBatch& packed, ops::Graph& graph) {
  std::vector<int64_t> edge_offsets{0}, targets;
  std::vector<int64_t> row_of(panel.stocks(), -1);
  for (size_t d = 0; d < packed.dates.size(); ++d) {
    const int64_t lo = packed.offsets[d], hi = packed.offsets[d + 1], date = packed.dates[d];
    for (int64_t row = lo; row < hi; ++row) row_of[packed.stocks[row]] = row;
    for (int64_t row = lo; row < hi; ++row) {
      const int64_t stock = packed.stocks[row];
      int64_t previous = -1;
      for (int64_t e = panel.neighbour_offsets[stock]; e < panel.neighbour_offsets[stock + 1];
           ++e) {
        const auto& neighbour = panel.neighbours[e];
        const int64_t target = row_of[neighbour.stock];
        if (target < 0 || target == previous || date < neighbour.from || date > neighbour.to)
          continue;
        targets.push_back(target);
        previous = target;
      }
      edge_offsets.push_back(static_cast<int64_t>(targets.size()));
    }
    for (int64_t row = lo; row < hi; ++row) row_of[packed.stocks[row]] = -1;
  }
  graph.edge_offsets = ops::to_device(copy_of(edge_offsets), panel.device());
  graph.edge_targets = ops::to_device(copy_of(targets), panel.device());
}

// Groups of the packed rows from the panel's groups per row.
Tensor pack_groups(const Panel& panel, const PackedBatch& packed, int64_t rows) {
  const auto* row_offsets = panel.row_offsets.const_data_ptr<int32_t>();
  std::vector<Tensor> parts;
  for (int64_t date : packed.dates) {
    parts.push_back(panel.groups.slice(0, row_offsets[date], row_offsets[date + 1]));
  }
  parts.push_back(at::zeros({rows - packed.offsets.back()}, at::kInt));
  return at::cat(parts);
}

// What rows are read and which numbers they draw, in one block that goes to the device at once: the
// dropout key (row 0: seed, step; row r + 1: panel date, row within its date), dates, stocks and
// where the dates' rows lie.
void pack_rows(const Panel& panel, PackedBatch& packed, uint64_t seed, int64_t step, int64_t rows) {
  const int64_t bounds = static_cast<int64_t>(packed.offsets.size());
  const auto block = at::empty({2 * (rows + 1) + 2 * rows + bounds}, at::kLong);
  auto* key = block.mutable_data_ptr<int64_t>();
  int64_t *date = key + 2 * (rows + 1), *slot = date + rows;
  const int64_t *const dates = date, *const slots = slot;
  *key++ = static_cast<int64_t>(seed);
  *key++ = step;
  for (size_t d = 0; d < packed.dates.size(); ++d) {
    for (int64_t row = packed.offsets[d]; row < packed.offsets[d + 1]; ++row) {
      *key++ = *date++ = packed.dates[d];
      *key++ = row - packed.offsets[d];
    }
  }
  slot = std::transform(packed.stocks.begin(), packed.stocks.end(), slot,
                        [&](int32_t stock) { return panel.slots.slot(stock); });
  // The first row's window: filler has no number that is not finite unless its batch has one.
  for (int64_t row = packed.offsets.back(); row < rows; ++row) {
    *key++ = *date++ = dates[0];
    *key++ = row;
    *slot++ = slots[0];
  }
  std::copy(packed.offsets.begin(), packed.offsets.end(), slot);

  const auto parts =
      ops::to_device(block, panel.device()).split_with_sizes({2 * (rows + 1), rows, rows, bounds});
  packed.batch.key = parts[0].view({-1, 2});
  packed.sequences.date = parts[1];
  packed.sequences.stock = parts[2];
  packed.date_offsets = parts[3];
}

Tensor pack_targets(const Panel& panel, const PackedBatch& packed, int64_t rows,
                    at::ScalarType dtype) {
  auto cells = at::empty({packed.offsets.back()}, at::kLong);
  auto* cell = cells.mutable_data_ptr<int64_t>();
  for (size_t d = 0; d < packed.dates.size(); ++d) {
    for (int64_t row = packed.offsets[d]; row < packed.offsets[d + 1]; ++row)
      *cell++ = packed.dates[d] * panel.targets.size(1) + packed.stocks[row];
  }
  const Tensor targets =
      panel.targets.view({-1, panel.targets.size(2)}).index_select(0, cells).to(dtype);
  const int64_t filler = rows - packed.offsets.back();
  return filler == 0 ? targets : at::constant_pad_nd(targets, {0, 0, 0, filler}, kMissing);
}

}  // namespace

void Panel::check() const {
  TORCH_CHECK(features.defined() && features.dim() == 3 &&
                  features.scalar_type() == (ranked.defined() ? at::kShort : at::kFloat) &&
                  features.is_contiguous() && features.is_cpu(),
              "features: expected float32 [dates, slots, F]");
  TORCH_CHECK(!ranked.defined() || (ranked.scalar_type() == at::kInt && ranked.is_contiguous() &&
                                    ranked.dim() == 2 && ranked.size(0) == features.size(0) &&
                                    ranked.size(1) == features.size(2)),
              "ranked: expected int32 [dates, F]");
  const int64_t dates = features.size(0), stocks = this->stocks();
  TORCH_CHECK(slots.dates() == dates && slots.count() == features.size(1), "slots: ", slots.dates(),
              " dates and ", slots.count(), " slots for features ", features.sizes());
  TORCH_CHECK(window >= 1, "window: expected an integer >= 1 but got ", window);
  check_int32("row_offsets", row_offsets, dates + 1);
  const auto* offsets = row_offsets.const_data_ptr<int32_t>();
  TORCH_CHECK(offsets[0] == 0, "row_offsets: expected 0 first but got ", offsets[0]);
  for (int64_t date = 0; date < dates; ++date) {
    TORCH_CHECK(offsets[date] <= offsets[date + 1], "row_offsets: decreases at date ", date);
    TORCH_CHECK(date >= window - 1 || offsets[date + 1] == 0, "row_offsets: date ", date,
                " has rows but no complete window of ", window, " dates");
  }
  check_int32("row_stocks", row_stocks, offsets[dates]);
  const auto* stock = row_stocks.const_data_ptr<int32_t>();
  for (int64_t date = 0; date < dates; ++date) {
    for (int64_t row = offsets[date]; row < offsets[date + 1]; ++row) {
      TORCH_CHECK(stock[row] >= 0 && stock[row] < stocks, "row_stocks: ", stock[row],
                  " is no stock index below ", stocks);
      TORCH_CHECK(row == offsets[date] || stock[row - 1] < stock[row],
                  "row_stocks: expected ascending stocks within date ", date);
      TORCH_CHECK(slots.lives(date - window + 1, stock[row]) && slots.lives(date, stock[row]),
                  "row_stocks: stock ", stock[row], " has no features in the window of date ",
                  date);
    }
  }
  if (targets.defined()) {
    TORCH_CHECK(
        targets.dim() == 3 && targets.scalar_type() == at::kFloat && targets.is_contiguous() &&
            targets.size(0) == dates && targets.size(1) == stocks && targets.size(2) >= 1,
        "targets: expected float32 [", dates, ", ", stocks, ", L] but got ", targets.sizes());
  }
  if (returns.defined()) {
    TORCH_CHECK(returns.dim() == 2 && returns.scalar_type() == at::kFloat &&
                    returns.is_contiguous() && returns.is_cpu() && returns.size(0) == dates &&
                    returns.size(1) == stocks,
                "returns: expected float32 [", dates, ", ", stocks, "] but got ", returns.sizes());
    check_int32("return_ends", return_ends, dates);
    TORCH_CHECK(return_ends.min().item<int>() >= -1 && return_ends.max().item<int>() < dates,
                "return_ends: expected dates in -1 .. ", dates - 1);
  }
  if (groups.defined() || graph == Graph::kGroups) check_int32("groups", groups, offsets[dates]);
  if (graph != Graph::kEdges) return;
  const int64_t edges = edge_source.defined() ? edge_source.numel() : 0;
  check_int32("edges.source", edge_source, edges);
  check_int32("edges.target", edge_target, edges);
  check_int32("edges.from", edge_from, edges);
  check_int32("edges.to", edge_to, edges);
  for (const auto& ends : {edge_source, edge_target}) {
    if (edges == 0) break;
    TORCH_CHECK(ends.min().item<int>() >= 0 && ends.max().item<int>() < stocks,
                "edges: expected stock indices in 0 .. ", stocks - 1);
  }
}

void Panel::prepare(at::Device device) {
  if (slots.stocks() == 0 && features.defined() && features.dim() == 3)
    slots = {features.size(0), features.size(1)};
  check();
  if (ranked.defined() && !device.is_cpu()) features = decoded(features, std::exchange(ranked, {}));
  features = features.to(device);
  neighbour_offsets.clear();
  neighbours.clear();
  if (graph != Graph::kEdges) return;
  const int64_t stocks = this->stocks(), edges = edge_source.numel();
  const auto* source = edge_source.const_data_ptr<int32_t>();
  const auto* target = edge_target.const_data_ptr<int32_t>();
  std::vector<std::vector<Neighbour>> lists(stocks);
  for (int32_t stock = 0; stock < stocks; ++stock) {
    lists[stock].push_back({stock, 0, std::numeric_limits<int32_t>::max()});
  }
  for (int64_t e = 0; e < edges; ++e) {
    if (source[e] == target[e]) continue;
    lists[source[e]].push_back(
        {target[e], edge_from.const_data_ptr<int32_t>()[e], edge_to.const_data_ptr<int32_t>()[e]});
  }
  neighbour_offsets.push_back(0);
  for (auto& list : lists) {
    std::sort(list.begin(), list.end(),
              [](const Neighbour& a, const Neighbour& b) { return a.stock < b.stock; });
    neighbours.insert(neighbours.end(), list.begin(), list.end());
    neighbour_offsets.push_back(static_cast<int64_t>(neighbours.size()));
  }
}

int64_t Panel::rows(int64_t date) const {
  TORCH_CHECK(date >= 0 && date < features.size(0), "dates: ", date, " is no panel date below ",
              features.size(0));
  const auto* offsets = row_offsets.const_data_ptr<int32_t>();
  return offsets[date + 1] - offsets[date];
}

size_t Panel::bytes() const {
  size_t total = neighbours.size() * sizeof(Neighbour) + neighbour_offsets.size() * sizeof(int64_t);
  for (const auto* tensor : {&features, &ranked, &targets, &returns, &return_ends, &row_offsets,
                             &row_stocks, &groups, &edge_source, &edge_target, &edge_from,
                             &edge_to}) {
    if (tensor->defined()) total += tensor->nbytes();
  }
  return total;
}

Tensor decoded(const Tensor& codes, const Tensor& ranked) {
  const int64_t dates = codes.size(0), slots = codes.size(1), width = codes.size(2);
  auto values = at::empty({dates, slots, width}, at::kFloat);
  const auto* from = reinterpret_cast<const uint16_t*>(codes.const_data_ptr<int16_t>());
  const auto* among = ranked.const_data_ptr<int32_t>();
  auto* to = values.mutable_data_ptr<float>();
  at::parallel_for(0, dates, 1, [&](int64_t first, int64_t end) {
    for (int64_t t = first; t < end; ++t)
      ops::decode_ranks(from + t * slots * width, among + t * width, slots, width,
                        to + t * slots * width);
  });
  return values;
}

namespace {

// The batch's windows of a panel in 16 bits: features of their dates alone, which it then counts
// among these.
void decode_windows(const Panel& panel, PackedBatch& packed) {
  std::vector<int64_t> place(panel.features.size(0), -1);
  for (size_t d = 0; d < packed.dates.size(); ++d) {
    if (packed.offsets[d] == packed.offsets[d + 1]) continue;
    const auto last = place.begin() + packed.dates[d];
    std::fill(last - (panel.window - 1), last + 1, 0);
  }
  std::vector<int64_t> dates;
  for (size_t t = 0; t < place.size(); ++t) {
    if (place[t] < 0) continue;
    place[t] = static_cast<int64_t>(dates.size());
    dates.push_back(static_cast<int64_t>(t));
  }
  // One run of dates, as of one window, is decoded where it lies.
  const int64_t count = static_cast<int64_t>(dates.size());
  const bool is_run = count > 0 && dates.back() - dates.front() + 1 == count;
  const auto wanted = copy_of(dates);
  const auto of_dates = [&](const Tensor& all) {
    return is_run ? all.narrow(0, dates[0], count) : all.index_select(0, wanted);
  };
  packed.sequences.panel = decoded(of_dates(panel.features), of_dates(panel.ranked));
  auto* date = packed.sequences.date.mutable_data_ptr<int64_t>();
  std::transform(date, date + packed.sequences.date.numel(), date,
                 [&](int64_t t) { return place[t]; });
}

int64_t padding_step(int64_t rows) {
  return std::max<int64_t>(64,
                           static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(rows))) / 16);
}

}  // namespace

int64_t padded_rows(int64_t rows) {
  const int64_t step = padding_step(rows);
  return (rows + step - 1) / step * step;
}

int64_t Panel::most_rows() const {
  int64_t most = 0;
  for (int64_t date = 0; date + 1 < row_offsets.size(0); ++date) most = std::max(most, rows(date));
  return most;
}

const FutureReturns& PackedBatch::future(int64_t days) const {
  const auto found = std::find_if(futures.begin(), futures.end(),
                                  [&](const FutureReturns& each) { return each.days == days; });
  TORCH_INTERNAL_ASSERT(found != futures.end(), "the batch was packed without these returns");
  return *found;
}

PackedBatch pack(const Panel& panel, at::ArrayRef<int64_t> dates, at::ScalarType dtype,
                 uint64_t seed, int64_t step, int64_t padded, const FutureRequest& future) {
  PackedBatch packed;
  packed.dates.assign(dates.begin(), dates.end());
  packed.offsets.push_back(0);
  const auto* row_offsets = panel.row_offsets.const_data_ptr<int32_t>();
  const auto* row_stocks = panel.row_stocks.const_data_ptr<int32_t>();
  for (int64_t date : dates) {
    const int64_t rows_of_date = panel.rows(date);
    const int32_t* first = row_stocks + row_offsets[date];
    packed.stocks.insert(packed.stocks.end(), first, first + rows_of_date);
    packed.offsets.push_back(static_cast<int64_t>(packed.stocks.size()));
  }

  int64_t rows = packed.offsets.back();
  auto graph_offsets = packed.offsets;
  if (padded > 0) {
    TORCH_INTERNAL_ASSERT(rows > 0 && padded >= rows && panel.graph != Panel::Graph::kEdges,
                          "these rows cannot be padded");
    graph_offsets.push_back(rows = padded);
    packed.batch.padded = std::max(panel.most_rows(), padding_step(padded));
  }
  packed.sequences.panel = panel.features;
  packed.sequences.window = panel.window;
  pack_rows(panel, packed, seed, step, rows);
  if (panel.ranked.defined()) decode_windows(panel, packed);
  if (panel.targets.defined()) {
    packed.host_targets = pack_targets(panel, packed, rows, dtype);
    packed.targets = ops::to_device(packed.host_targets, panel.device());
  }
  for (const int64_t days : future.days)
    packed.futures.push_back(
        future_returns(panel, packed, days, future.within_groups, rows, dtype));

  auto& graph = packed.batch.graph;
  graph.offsets = copy_of(graph_offsets);
  if (panel.graph == Panel::Graph::kNone) {
    // The ablation: a stock is alone in both graphs, whatever groups the data has.
    graph.groups = packed.batch.similarity_groups = at::arange(rows, at::kInt);
    return packed;
  }
  if (panel.groups.defined()) packed.batch.similarity_groups = pack_groups(panel, packed, rows);
  if (panel.graph == Panel::Graph::kGroups) graph.groups = packed.batch.similarity_groups;
  if (panel.graph == Panel::Graph::kEdges) {
    TORCH_INTERNAL_ASSERT(!panel.neighbour_offsets.empty(), "Panel::prepare was not called");
    pack_edges(panel, packed, graph);
  }
  return packed;
}

}  // namespace astgnn::train
