#include "ops/data/panel_features.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <limits>
#include <tuple>

#include "table/scratch.h"

namespace astgnn::ops {
namespace {

// Dates that a thread takes at once: enough for the daily returns that it keeps to pay.
constexpr int64_t kDatesPerPiece = 8;
constexpr int64_t kPiecesPerThread = 4;
// Dates whose style exposures are in memory at once while statistics are fitted.
constexpr int64_t kFittedExposures = 64;

// Values in memory, or in a file of the folder `scratch`.
template <class T>
class Values {
 public:
  void assign(int64_t count, T value, const std::string& scratch) {
    if (scratch.empty()) return kept_.assign(count, value);
    file_ = std::make_unique<table::Scratch>(scratch, count * static_cast<int64_t>(sizeof(T)));
    std::fill_n(data(), count, value);
  }
  T* data() { return file_ ? static_cast<T*>(file_->data()) : kept_.data(); }
  bool empty() const { return kept_.empty() && !file_; }

 private:
  std::vector<T> kept_;
  std::unique_ptr<table::Scratch> file_;
};

bool precedes(const PanelFeatures::Beyond& a, const PanelFeatures::Beyond& b) {
  return b.cell < 0 || std::tie(a.feature, a.cell) < std::tie(b.feature, b.cell);
}

}  // namespace

// Prices [dates, slots], NaN where no stock holds the slot: fewer stocks to look back for.
struct PanelFeatures::SlotPrices {
  explicit SlotPrices(const PanelFeaturesInput& input) {
    const auto& [open, high, low, close, volume] = input.prices;
    columns = {take(input, open, 0), take(input, high, 1), take(input, low, 2),
               take(input, close, 3), take(input, volume, 4)};
    if (input.segments != nullptr) move(input, input.segments, 0, segments);
  }

  PriceColumns columns;
  Values<int32_t> segments;

 private:
  template <class T>
  static void move(const PanelFeaturesInput& input, const T* from, T absent, Values<T>& values) {
    const int64_t N = input.stocks, S = input.slots.count();
    values.assign(input.dates * S, absent, input.scratch);
    T* to = values.data();
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < input.dates; ++t)
      for (int64_t n = 0; n < N; ++n)
        if (input.slots.holds(t, n)) to[t * S + input.slots.slot(n)] = from[t * N + n];
  }
  Column take(const PanelFeaturesInput& input, const Column& column, size_t k) {
    Column taken;
    if (column.single != nullptr) {
      move(input, column.single, std::numeric_limits<float>::quiet_NaN(), single_[k]);
      taken.single = single_[k].data();
    } else if (column.twice != nullptr) {
      move(input, column.twice, kMissingValue, twice_[k]);
      taken.twice = twice_[k].data();
    }
    return taken;
  }

  std::array<Values<float>, 5> single_;
  std::array<Values<double>, 5> twice_;
};

struct PanelFeatures::Worker {
  // by_slot: null where prices are looked up by stock.
  Worker(const PanelFeaturesInput& input, SlotPrices* by_slot)
      : width(input.slots.count()),
        prices(by_slot == nullptr ? input.prices : by_slot->columns,
               by_slot == nullptr            ? input.segments
               : by_slot->segments.empty()   ? nullptr
                                             : by_slot->segments.data(),
               by_slot == nullptr ? input.stocks : width),
        priced(by_slot == nullptr ? input.stocks : width),
        cross_section(width),
        values(width),
        members(width) {}
  const int64_t width;  // of a date's values: the stocks that hold their slots, then NaN
  PriceFeatures prices;
  std::vector<double> priced;  // one price feature of one date, by stock or slot
  CrossSection cross_section;
  std::vector<double> values;  // one feature of one date
  // Stocks of the date that hold their slots, ascending, and these; 1 where they are in the
  // universe.
  struct Holder {
    int32_t stock, slot;
  };
  std::vector<Holder> holders;
  std::vector<uint8_t> members;
  Beyond beyond{0, -1, 0};
};

PanelFeatures::PanelFeatures(PanelFeaturesInput input, const PanelFeaturesOutput& output)
    : input_(std::move(input)), output_(output), next_date_(input_.first + input_.known) {
  const auto is_style = [](const auto& source) { return source.style >= 0; };
  if (std::none_of(input_.sources.begin(), input_.sources.end(), is_style)) return;
  style_ = std::make_unique<Style>(StyleInput{input_.dates, input_.stocks, input_.prices,
                                              input_.size, input_.universe, input_.present,
                                              input_.segments, input_.months});
}

PanelFeatures::~PanelFeatures() = default;

// The feature of a date before its processors, of the date's holders.
void PanelFeatures::base(Worker& worker, int64_t feature, int64_t date, double* values) const {
  const auto& source = input_.sources[feature];
  const int64_t N = input_.stocks, count = static_cast<int64_t>(worker.holders.size());
  const auto fill = [&](auto&& value) {
    for (int64_t i = 0; i < count; ++i) values[i] = value(worker.holders[i]);
    std::fill(values + count, values + worker.width, kMissingValue);
  };
  if (source.price >= 0) {
    if (input_.slots.of_stock().empty()) return worker.prices.compute(source.price, date, values);
    worker.prices.compute(source.price, date, worker.priced.data());
    if (!slot_prices_) return fill([&](const auto& of) { return worker.priced[of.stock]; });
    // Before its first date the slot was another's.
    const int64_t oldest = date - price_feature_reach(source.price);
    return fill([&](const auto& of) {
      return oldest < input_.slots.from(of.stock) ? kMissingValue : worker.priced[of.slot];
    });
  }
  if (source.style >= 0) {
    const int64_t row = (date - exposures_from_) * kStyleFeatures + source.style;
    return fill([from = exposures_.data() + row * N](const auto& of) { return from[of.stock]; });
  }
  if (source.loading >= 0) {
    const int64_t refresh = input_.refresh_of[date];
    if (refresh < 0) return fill([](const auto&) { return kMissingValue; });
    const float* from =
        input_.loadings + (refresh * input_.loadings_count + source.loading) * N;
    return fill([&](const auto& of) { return kLoadingScale * from[of.stock]; });
  }
  with_values(source.column, [&](const auto* column) {
    fill([from = column + date * N](const auto& of) -> double { return from[of.stock]; });
  });
}

// Processors first .. last - 1 of the feature on a date, in place.
void PanelFeatures::process(Worker& worker, int64_t first, int64_t last, int64_t feature,
                            double* values) const {
  const int64_t N = worker.width;
  const uint8_t* universe = worker.members.data();
  for (int64_t p = first; p < last; ++p) {
    const Processor& processor = input_.processors[p];
    if (!processor.applies[feature]) continue;
    switch (processor.kind) {
      case Processor::Kind::kRank:
        worker.cross_section.rank(values, universe);
        break;
      case Processor::Kind::kZscore:
        worker.cross_section.zscore(values, universe);
        break;
      case Processor::Kind::kWinsorize:
        worker.cross_section.winsorize(values, universe, processor.k);
        break;
      case Processor::Kind::kStandardize: {
        const double mean = processor.mean[feature], sd = processor.sd[feature];
        for (int64_t n = 0; n < N; ++n)
          values[n] = sd > 0 ? (values[n] - mean) / sd : values[n] * 0.0;
        break;
      }
      case Processor::Kind::kFill: {
        const double value = processor.value[feature];
        for (int64_t n = 0; n < N; ++n) values[n] = values[n] == values[n] ? values[n] : value;
        break;
      }
    }
  }
}

// The style exposures of dates from .. to - 1, where there are any.
void PanelFeatures::make_exposures(int64_t from, int64_t to) {
  if (!style_ || from == to) return;
  exposures_.resize((to - from) * kStyleFeatures * input_.stocks);
  exposures_from_ = from;
  style_->compute(from, to, exposures_.data());
}

// Statistics of the feature over the universe on the training dates: each processor sees what those
// before it made.
void PanelFeatures::fit(int64_t feature) {
  const int64_t N = input_.slots.count(), dates = input_.fit_to - input_.fit_from + 1;
  const int64_t count = static_cast<int64_t>(input_.processors.size());
  std::vector<double> values(dates * N), kept;
  int64_t done = 0;
  for (int64_t p = 0; p < count; ++p) {
    Processor& processor = input_.processors[p];
    if (!processor.applies[feature] || processor.fitted[feature]) continue;
    const bool is_style = input_.sources[feature].style >= 0;
    const int64_t block = is_style ? kFittedExposures : dates;
    for (int64_t begin = 0; begin < dates; begin += block) {
      const int64_t end = std::min(dates, begin + block);
      if (is_style && done == 0) make_exposures(input_.fit_from + begin, input_.fit_from + end);
#pragma omp parallel for schedule(dynamic, kDatesPerPiece)
      for (int64_t t = begin; t < end; ++t) {
        Worker& worker = *workers_[omp_get_thread_num()];
        double* row = values.data() + t * N;
        find_holders(worker, input_.fit_from + t);
        if (done == 0) base(worker, feature, input_.fit_from + t, row);
        process(worker, done, p, feature, row);
      }
    }
    kept.clear();
    Worker& worker = *workers_[0];
    for (int64_t t = 0; t < dates; ++t) {
      find_holders(worker, input_.fit_from + t);
      const double* row = values.data() + t * N;
      for (int64_t i = 0; i < N; ++i)
        if (worker.members[i] == 1 && row[i] == row[i]) kept.push_back(row[i]);
    }
    if (kept.empty()) return unfit_.push_back({p, feature});
    const int64_t size = static_cast<int64_t>(kept.size());
    if (processor.kind == Processor::Kind::kStandardize) {
      const auto [mean, sd] = mean_and_sd(kept.data(), size, 1);
      processor.mean[feature] = mean;
      processor.sd[feature] = sd;
    } else {
      processor.value[feature] = median(kept.data(), size);
    }
    processor.fitted[feature] = true;
    done = p;
  }
}

void PanelFeatures::find_holders(Worker& worker, int64_t date) const {
  worker.holders.clear();
  const uint8_t* universe = input_.universe + date * input_.stocks;
  for (int64_t n = 0; n < input_.stocks; ++n) {
    if (!input_.slots.holds(date - input_.first, n)) continue;
    worker.members[worker.holders.size()] = universe[n];
    worker.holders.push_back({static_cast<int32_t>(n), static_cast<int32_t>(input_.slots.slot(n))});
  }
  std::fill(worker.members.begin() + static_cast<int64_t>(worker.holders.size()),
            worker.members.end(), uint8_t{0});
}

// Rounds worker.values to single precision.
void PanelFeatures::store(Worker& worker, int64_t feature, int64_t date) {
  const int64_t S = input_.slots.count(), F = input_.features();
  float* out = output_.features + (date - input_.first) * S * F + feature;
  bool is_complete = true;
  const double* next = worker.values.data();
  for (const auto& [stock, slot] : worker.holders) {
    const double value = *next++;
    const float rounded = static_cast<float>(value);
    is_complete &= value == value;
    out[slot * F] = value == value ? rounded : std::numeric_limits<float>::quiet_NaN();
    if (rounded - rounded != 0 && value == value) {
      const Beyond found{feature, date * input_.stocks + stock, value};
      if (precedes(found, worker.beyond)) worker.beyond = found;
    }
  }
  if (!is_complete) output_.incomplete[date - input_.first] = 1;
}

void PanelFeatures::make_date(Worker& worker, int64_t date) {
  const int64_t S = input_.slots.count(), bytes = input_.mask_bytes();
  const int64_t count = static_cast<int64_t>(input_.processors.size());
  find_holders(worker, date);
  for (int64_t f = 0; f < input_.features(); ++f) {
    double* values = worker.values.data();
    base(worker, f, date, values);
    uint8_t* mask = output_.missing + (date - input_.first) * S * bytes + f / 8;
    for (size_t i = 0; i < worker.holders.size(); ++i)
      mask[worker.holders[i].slot * bytes] |=
          static_cast<uint8_t>((values[i] != values[i]) << f % 8);
    process(worker, 0, count, f, values);
    store(worker, f, date);
  }
}

bool PanelFeatures::step() {
  const auto threads = static_cast<size_t>(omp_get_max_threads());
  const auto is_price = [](const auto& source) { return source.price >= 0; };
  if (workers_.empty() && !input_.slots.of_stock().empty() && input_.first + input_.known == 0 &&
      std::any_of(input_.sources.begin(), input_.sources.end(), is_price))
    slot_prices_ = std::make_unique<SlotPrices>(input_);
  while (workers_.size() < threads)
    workers_.push_back(std::make_unique<Worker>(input_, slot_prices_.get()));
  for (; next_fit_ < input_.features(); ++next_fit_) {
    const bool is_fitted = std::all_of(
        input_.processors.begin(), input_.processors.end(), [this](const Processor& processor) {
          return !processor.applies[next_fit_] || processor.fitted[next_fit_];
        });
    if (is_fitted) continue;
    fit(next_fit_++);
    return unfit_.empty();
  }
  const int64_t block = static_cast<int64_t>(threads) * kPiecesPerThread * kDatesPerPiece;
  const int64_t begin = next_date_, end = std::min(input_.dates, begin + block);
  make_exposures(begin, end);
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t piece = begin; piece < end; piece += kDatesPerPiece) {
    Worker& worker = *workers_[omp_get_thread_num()];
    for (int64_t t = piece; t < std::min(end, piece + kDatesPerPiece); ++t) make_date(worker, t);
  }
  for (const auto& worker : workers_)
    if (worker->beyond.cell >= 0 && precedes(worker->beyond, beyond_)) beyond_ = worker->beyond;
  next_date_ = end;
  return next_date_ < input_.dates;
}

}  // namespace astgnn::ops
