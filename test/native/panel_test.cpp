// Packing: rows, windows, targets, keys and graphs of a batch against the panel they come from; a
// panel that lies is refused.
#include "train/panel.h"

#include <algorithm>

#include "check.h"
#include "small_panel.h"

namespace {

using at::Tensor;
using namespace astgnn;
using train::Panel;

void rows_and_keys() {
  Panel panel = small_panel(3, 5);
  panel.prepare();
  const std::vector<int64_t> dates{7, 2, 6, 4};
  const auto packed = train::pack(panel, dates, at::kDouble, /*seed=*/11, /*step=*/3);
  check::that(packed.offsets.size() == 5 && packed.offsets[3] == packed.offsets[2],
              "a date without stocks has no rows");
  const Tensor last = packed.sequences.last(at::kDouble);
  const auto key = packed.batch.key.accessor<int64_t, 2>();
  check::that(key[0][0] == 11 && key[0][1] == 3, "the key starts with seed and step");
  bool values = true, keys = true;
  for (size_t d = 0; d < dates.size(); ++d) {
    for (int64_t row = packed.offsets[d]; row < packed.offsets[d + 1]; ++row) {
      const int64_t stock = packed.stocks[row];
      values = values && at::equal(last[row], panel.features[dates[d]][stock].to(at::kDouble)) &&
               at::equal(packed.targets[row].nan_to_num(),
                         panel.targets[dates[d]][stock].to(at::kDouble).nan_to_num());
      keys = keys && key[row + 1][0] == dates[d] && key[row + 1][1] == row - packed.offsets[d];
    }
  }
  check::that(values, "features and targets are those of the row's date and stock");
  check::that(keys, "a row's key is its date and its place within the date");
  check::that(!packed.batch.graph.groups && !packed.batch.graph.edge_offsets,
              "the complete graph carries nothing");
  check::that(train::pack(panel, {}, at::kFloat, 0, 1).offsets.size() == 1, "no dates, no rows");
}

void groups() {
  Panel panel = small_panel(1, 2);
  panel.graph = Panel::Graph::kGroups;
  panel.prepare();
  auto packed = train::pack(panel, {5, 1}, at::kFloat, 0, 1);
  const Tensor stocks = at::tensor(packed.stocks, at::kInt);
  check::equal(*packed.batch.graph.groups, stocks.remainder(3).to(at::kInt),
               "groups follow their rows");
  check::equal(*packed.batch.similarity_groups, *packed.batch.graph.groups,
               "both graphs see the panel's groups");
  panel.graph = Panel::Graph::kNone;
  packed = train::pack(panel, {5, 1}, at::kFloat, 0, 1);
  check::equal(*packed.batch.graph.groups, at::arange(stocks.numel(), at::kInt),
               "without a graph every row is alone in the GAT");
  check::equal(*packed.batch.similarity_groups, *packed.batch.graph.groups,
               "and in A, whatever groups the data has");
}

void edges() {
  Panel panel = small_panel(2, 2);
  panel.graph = Panel::Graph::kEdges;
  const int64_t count = 60;
  panel.edge_source = at::randint(0, 12, {count}, at::kInt);
  panel.edge_target = at::randint(0, 12, {count}, at::kInt);
  panel.edge_from = at::randint(0, 9, {count}, at::kInt);
  panel.edge_to = (panel.edge_from + at::randint(0, 5, {count}, at::kInt)).to(at::kInt);
  panel.prepare();
  const std::vector<int64_t> dates{3, 6, 8, 4};
  const auto packed = train::pack(panel, dates, at::kFloat, 0, 1);
  const Tensor edge_offsets = *packed.batch.graph.edge_offsets,
               targets = *packed.batch.graph.edge_targets;
  bool same = edge_offsets.numel() == packed.offsets.back() + 1;
  int64_t seen = 0;
  for (size_t d = 0; d < dates.size() && same; ++d) {
    for (int64_t row = packed.offsets[d]; row < packed.offsets[d + 1]; ++row) {
      std::vector<int64_t> expected;
      for (int64_t other = packed.offsets[d]; other < packed.offsets[d + 1]; ++other) {
        bool sees = other == row;
        for (int64_t e = 0; e < count; ++e) {
          sees = sees || (panel.edge_source[e].item<int>() == packed.stocks[row] &&
                          panel.edge_target[e].item<int>() == packed.stocks[other] &&
                          panel.edge_from[e].item<int>() <= dates[d] &&
                          dates[d] <= panel.edge_to[e].item<int>());
        }
        if (sees) expected.push_back(other);
      }
      const int64_t lo = edge_offsets[row].item<int64_t>(),
                    hi = edge_offsets[row + 1].item<int64_t>();
      same = same && at::equal(targets.slice(0, lo, hi), at::tensor(expected, at::kLong));
      seen += hi - lo;
    }
  }
  check::that(
      same,
      "edges are those of the date between stocks that are in, sorted, once each, self included");
  check::that(seen > packed.offsets.back() + 5, "the case has edges beside the self edges");
}

void refusals() {
  const auto refuses = [](const char* words, const std::function<void(Panel&)>& spoil) {
    Panel panel = small_panel(3, 2);
    spoil(panel);
    check::throws([&] { panel.prepare(); }, words,
                  std::string("a panel is refused for its ") + words);
  };
  refuses("features", [](Panel& p) { p.features = p.features.to(at::kDouble); });
  refuses("window", [](Panel& p) { p.window = 0; });
  refuses("complete window", [](Panel& p) { p.window = 5; });
  refuses("row_offsets", [](Panel& p) { p.row_offsets = p.row_offsets.slice(0, 1); });
  refuses("row_stocks", [](Panel& p) { p.row_stocks[3] = 12; });
  refuses("ascending", [](Panel& p) { p.row_stocks = p.row_stocks.flip(0).contiguous(); });
  refuses("targets", [](Panel& p) { p.targets = p.targets.slice(0, 1).contiguous(); });
  refuses("groups", [](Panel& p) { p.groups = Tensor(), p.graph = Panel::Graph::kGroups; });
  refuses("edges.source", [](Panel& p) { p.graph = Panel::Graph::kEdges; });
  refuses("edges", [](Panel& p) {
    p.graph = Panel::Graph::kEdges;
    p.edge_source = p.edge_from = p.edge_to = at::zeros({1}, at::kInt);
    p.edge_target = at::full({1}, 12, at::kInt);
  });
  Panel panel = small_panel(3, 2);
  panel.prepare();
  check::throws([&] { train::pack(panel, {9}, at::kFloat, 0, 1); }, "dates",
                "a date beyond the panel is refused");
}

}  // namespace

int main() {
  at::manual_seed(6);
  rows_and_keys();
  groups();
  edges();
  refusals();
  return check::finish();
}
