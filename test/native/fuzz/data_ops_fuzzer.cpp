// A small panel through features, rows, labels and targets, with missing values, prices at the edges
// of what numbers hold, and every processor. What comes out is finite or missing.
#include <algorithm>
#include <cmath>

#include "input.h"
#include "ops/data/labels.h"
#include "ops/data/panel_features.h"
#include "ops/data/sample_rows.h"

namespace {

using namespace astgnn::ops;
using fuzz::require;

struct Values {
  std::vector<float> single;
  std::vector<double> twice;
  Column column;

  template <class Draw>
  Values(fuzz::Input& input, int64_t cells, Draw draw) {
    const auto size = static_cast<size_t>(cells);
    if (input.flag()) {
      for (size_t i = 0; i < size; ++i)
        single.push_back(static_cast<float>(std::clamp<double>(draw(), -3e38, 3e38)));
      column.single = single.data();
    } else {
      for (size_t i = 0; i < size; ++i) twice.push_back(draw());
      column.twice = twice.data();
    }
  }
};

bool is_number_or_missing(const std::vector<float>& values) {
  return std::none_of(values.begin(), values.end(), [](float x) { return std::isinf(x); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const int64_t dates = 1 + input.below(40), stocks = 1 + input.below(7);
  const auto cells = dates * stocks;
  const auto price = [&] { return input.price(); };
  Values open(input, cells, price), high(input, cells, price), low(input, cells, price),
      close(input, cells, price), volume(input, cells, [&] { return std::abs(input.number()); }),
      own(input, cells, [&] { return input.number(); });
  std::vector<uint8_t> present(cells), universe(cells), tradable(cells);
  std::vector<int32_t> segments(cells), months(dates);
  for (int64_t i = 0; i < cells; ++i) {
    const uint8_t bits = input.byte();
    present[i] = (bits & 3) != 0;
    universe[i] = (bits & 12) != 0;
    tradable[i] = (bits & 48) != 0;
    segments[i] = i < stocks ? 0 : segments[i - stocks] + (bits > 250);
  }
  for (int64_t t = 0; t < dates; ++t) months[t] = static_cast<int32_t>(24240 + t / 3);

  PanelFeaturesInput in;
  in.dates = dates;
  in.stocks = stocks;
  in.first = input.below(dates);
  in.prices = {open.column, high.column, low.column, close.column, volume.column};
  for (int64_t k = 1 + input.below(5); k > 0; --k) {
    PanelFeaturesInput::Source source;
    const uint8_t kind = input.byte();
    if (kind < 100) source.price = static_cast<int>(input.below(20));
    else if (kind < 200) source.style = static_cast<int>(input.below(kStyleFeatures));
    else source.column = own.column;
    in.sources.push_back(source);
  }
  if (input.flag()) in.size = own.column;
  in.present = present.data();
  in.months = months.data();
  in.universe = universe.data();
  in.segments = input.flag() ? segments.data() : nullptr;
  in.fit_from = in.first;
  in.fit_to = dates - 1;
  const auto features = in.sources.size();
  for (int64_t k = input.below(4); k > 0; --k) {
    Processor processor;
    processor.kind = static_cast<Processor::Kind>(input.below(5));
    for (size_t f = 0; f < features; ++f) processor.applies.push_back(input.flag());
    processor.k = 0.1 * static_cast<double>(1 + input.below(50));
    // As the caller: only these are fitted.
    const bool is_fitted = processor.kind == Processor::Kind::kStandardize ||
                           (processor.kind == Processor::Kind::kFill && input.flag());
    processor.fitted.assign(features, !is_fitted);
    processor.mean.assign(features, 0);
    processor.sd.assign(features, 0);
    processor.value.assign(features, input.number());
    for (double& value : processor.value) value = value == value && std::abs(value) < 1e30 ? value : 0;
    in.processors.push_back(processor);
  }
  const int64_t window = 1 + input.below(5);
  const bool shares = input.flag();
  in.slots = shares ? Slots(LivesInput{dates, stocks, in.first, window - 1, present.data(),
                                       universe.data(), close.column})
                    : Slots(dates - in.first, stocks);
  require(in.slots.is_valid(), "slots that were made are valid");
  const int64_t made = dates - in.first, slots = in.slots.count(), mask = in.mask_bytes();
  std::vector<float> values(made * slots * features, std::nanf(""));
  std::vector<uint8_t> missing(made * slots * mask), incomplete(made);
  const auto kept = in.slots;
  const auto first = in.first;
  PanelFeatures work(std::move(in), {values.data(), missing.data(), incomplete.data()});
  while (work.step()) {
  }
  if (!work.unfit().empty()) return 0;
  if (work.beyond() == nullptr)
    require(is_number_or_missing(values), "features are numbers or missing");

  // Rows, from the features' first date on, as of a panel that begins there.
  SampleRowsInput of;
  of.dates = made;
  of.stocks = stocks;
  of.features = static_cast<int64_t>(features);
  of.window = window;
  of.max_missing = input.below(window);
  of.first = std::min(made, window - 1 + input.below(3));
  if (input.flag())
    of.close = {close.column.single == nullptr ? nullptr : close.column.single + first * stocks,
                close.column.twice == nullptr ? nullptr : close.column.twice + first * stocks};
  of.present = present.data() + first * stocks;
  of.universe = universe.data() + first * stocks;
  of.slots = &kept;
  of.values = values.data();
  of.missing = missing.data();
  of.incomplete = incomplete.data();
  of.mask_bytes = mask;
  if (input.flag()) of.may_lack.assign(features, input.flag());
  const auto rows = sample_rows(of);
  require(rows.offsets.size() == static_cast<size_t>(made + 1) &&
              rows.offsets.back() == static_cast<int32_t>(rows.stocks.size()),
          "offsets cover the rows");
  for (int64_t t = 0; t < made; ++t)
    for (int32_t r = rows.offsets[t]; r < rows.offsets[t + 1]; ++r) {
      const int64_t n = rows.stocks[r];
      require(n >= 0 && n < stocks && (r == rows.offsets[t] || rows.stocks[r - 1] < n),
              "stocks ascend");
      for (int64_t back = 0; back < window; ++back) {
        require(kept.lives(t - back, n), "a row's window is in its stock's life");
        const float* x = values.data() + ((t - back) * slots + kept.slot(n)) * of.features;
        require(std::none_of(x, x + features, [](float v) { return v != v; }),
                "rows have every feature");
      }
    }

  LabelsInput labels_of;
  labels_of.dates = made;
  labels_of.stocks = stocks;
  for (int64_t k = input.below(3); k > 0; --k) labels_of.horizons.push_back(1 + input.below(6));
  const auto& source = labels_of.horizons.empty() ? own.column : close.column;
  labels_of.column = {source.single == nullptr ? nullptr : source.single + first * stocks,
                      source.twice == nullptr ? nullptr : source.twice + first * stocks};
  labels_of.lag = input.below(3);
  labels_of.tradable = input.flag() ? tradable.data() + first * stocks : nullptr;
  labels_of.segments = input.flag() ? segments.data() + first * stocks : nullptr;
  const int64_t width = labels_of.width();
  std::vector<float> labels(made * stocks * width), targets(labels.size());
  make_labels(labels_of, labels.data());
  require(is_number_or_missing(labels), "labels are numbers or missing");
  const RowList list{made, stocks, rows.offsets.data(), rows.stocks.data()};
  std::vector<int32_t> groups(made * stocks);
  for (auto& group : groups) group = static_cast<int32_t>(input.below(4)) - 1;
  NeutralTo neutral;
  const bool is_neutral = input.flag();
  neutral.exposures = values.data();
  neutral.slots = &kept;
  neutral.count = static_cast<int64_t>(features);
  neutral.groups = input.flag() ? groups.data() : nullptr;
  neutral.group_count = 3;
  neutral.clip = input.flag() ? 0.25 : 0;
  LabelTransform transform;
  transform.kind = static_cast<LabelTransform::Kind>(input.below(3));
  if (input.flag()) transform.winsorize = 3;
  const bool finite = work.beyond() == nullptr;
  make_targets(list, labels.data(), width, transform, is_neutral && finite ? &neutral : nullptr,
               targets.data());
  require(is_number_or_missing(targets), "targets are numbers or missing");

  MissingLabelsInput lost{list, labels.data(), {}, labels_of.lag, labels_of.tradable,
                          rows.last_priced.data(), nullptr, 0};
  for (int64_t k = 0; k < width; ++k)
    lost.reach.push_back(labels_of.horizons.empty() ? 1 : labels_of.horizons[k]);
  std::vector<int32_t> sample;
  for (int32_t t = 0; t < made; ++t)
    if (rows.offsets[t] < rows.offsets[t + 1]) sample.push_back(t);
  lost.sample_dates = sample.data();
  lost.sample_count = static_cast<int64_t>(sample.size());
  const auto found = find_missing_labels(lost);
  require(found.gone + found.missing <= found.all, "missing labels are labels");
  return 0;
}
