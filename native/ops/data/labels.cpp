#include "ops/data/labels.h"

#include <omp.h>

#include <algorithm>
#include <cmath>

#include "ops/data/cross_section.h"

namespace astgnn::ops {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kListedGaps = 10;

void set_label(double value, float& label, LabelsRemoved& removed) {
  const float narrow = static_cast<float>(value);
  if (std::isinf(narrow))
    ++removed.overflowing;
  else
    label = narrow;
}

// The returns of one date and horizon, to every width-th label.
template <class T>
void forward_returns(const LabelsInput& in, const T* close, int64_t date, int64_t horizon,
                     float* labels, LabelsRemoved& removed) {
  const int64_t N = in.stocks, width = in.width(), entry = (date + in.lag) * N,
                end = entry + horizon * N;
  for (int64_t n = 0; n < N; ++n) {
    const double value =
        static_cast<double>(close[end + n]) / static_cast<double>(close[entry + n]) - 1;
    if (value != value) continue;
    if (in.tradable != nullptr && in.tradable[entry + n] != 1)
      ++removed.untradable;
    else if (in.segments != nullptr && in.segments[entry + n] != in.segments[end + n])
      ++removed.broken;
    else
      set_label(value, labels[n * width], removed);
  }
}

template <class T>
void column_labels(const LabelsInput& in, const T* column, int64_t date, float* labels,
                   LabelsRemoved& removed) {
  for (int64_t n = 0; n < in.stocks; ++n) {
    const int64_t cell = date * in.stocks + n;
    const double value = column[cell];
    if (value != value) continue;
    const bool is_tradable =
        in.tradable == nullptr ||
        (date + in.lag < in.dates && in.tradable[cell + in.lag * in.stocks] == 1);
    if (is_tradable)
      set_label(value, labels[n], removed);
    else
      ++removed.untradable;
  }
}

struct TargetWorker {
  TargetWorker(int64_t stocks, const NeutralTo* neutral)
      : cross_section(stocks),
        values(stocks),
        beyond(stocks),
        cells(stocks),
        twice(stocks),
        stock(stocks) {
    if (neutral != nullptr) residuals.emplace(stocks, neutral->count, neutral->group_count);
  }
  CrossSection cross_section;
  std::optional<Residuals> residuals;
  std::vector<double> values, beyond;
  std::vector<int64_t> cells;
  std::vector<int32_t> twice, stock;
};

// Puts residuals in the place of the labels of date t; false where they are too few.
bool neutralise(TargetWorker& worker, int64_t count, const NeutralTo& to, int64_t t,
                int64_t stocks, NeutralCounts& counts) {
  double* values = worker.values.data();
  for (int64_t i = 0; i < count; ++i) {
    const double seen = to.clip > 0 ? std::clamp(values[i], -to.clip, to.clip) : values[i];
    worker.beyond[i] = values[i] - seen;
    values[i] = seen;
  }
  const int64_t slots = to.slots == nullptr ? 0 : to.slots->count();
  const ExposureDate date{to.exposures + t * slots * to.count, to.slots,
                          to.groups == nullptr ? nullptr : to.groups + t * stocks};
  const auto fit = worker.residuals->take(values, count, worker.stock.data(), date);
  for (int64_t i = 0; i < count; ++i) values[i] += worker.beyond[i];
  const bool is_fit = count > fit.rank + fit.intercepts;
  if (to.counted != nullptr && to.counted[t] == 0) return is_fit;
  counts.labels += count;
  if (!is_fit) {
    counts.unfit += count;
  } else {
    counts.filled += fit.filled;
    counts.dependent += to.count - fit.rank;
  }
  return is_fit;
}

// Of `count` values, in place.
void transform_values(TargetWorker& worker, int64_t count, const LabelTransform& transform) {
  double* values = worker.values.data();
  if (transform.winsorize) {
    const auto bounds = worker.cross_section.mad_bounds(values, count, *transform.winsorize);
    for (int64_t i = 0; bounds && i < count; ++i) values[i] = clip(values[i], *bounds);
  }
  if (transform.kind == LabelTransform::Kind::kRank) {
    worker.cross_section.twice_ranks(values, count, worker.twice.data());
    for (int64_t i = 0; i < count; ++i)
      values[i] = normal_quantile((worker.twice[i] - 1) / static_cast<double>(2 * count));
  } else if (transform.kind == LabelTransform::Kind::kZscore) {
    const auto [mean, sd] = mean_and_sd(values, count, 0);
    for (int64_t i = 0; i < count; ++i) values[i] = sd > 0 ? (values[i] - mean) / sd : 0;
  }
}

}  // namespace

LabelsRemoved make_labels(const LabelsInput& in, float* labels) {
  const int64_t width = in.width();
  int64_t untradable = 0, broken = 0, overflowing = 0;
#pragma omp parallel for schedule(dynamic, 16) reduction(+ : untradable, broken, overflowing)
  for (int64_t t = 0; t < in.dates; ++t) {
    LabelsRemoved removed;
    float* row = labels + t * in.stocks * width;
    std::fill_n(row, in.stocks * width, kMissing);
    with_values(in.column, [&](const auto* column) {
      if (in.horizons.empty()) column_labels(in, column, t, row, removed);
      for (size_t l = 0; l < in.horizons.size(); ++l)
        if (t + in.lag + in.horizons[l] < in.dates)
          forward_returns(in, column, t, in.horizons[l], row + l, removed);
    });
    untradable += removed.untradable;
    broken += removed.broken;
    overflowing += removed.overflowing;
  }
  return {untradable, broken, overflowing};
}

NeutralCounts make_targets(const RowList& rows, const float* labels, int64_t width,
                           const LabelTransform& transform, const NeutralTo* neutral,
                           float* targets) {
  std::vector<TargetWorker> workers(omp_get_max_threads(), TargetWorker(rows.stocks, neutral));
  std::vector<NeutralCounts> counts(workers.size());
#pragma omp parallel for schedule(dynamic, 8)
  for (int64_t t = 0; t < rows.dates; ++t) {
    TargetWorker& worker = workers[omp_get_thread_num()];
    std::fill_n(targets + t * rows.stocks * width, rows.stocks * width, kMissing);
    for (int64_t l = 0; l < width; ++l) {
      int64_t count = 0;
      for (int64_t r = rows.offsets[t]; r < rows.offsets[t + 1]; ++r) {
        const int64_t cell = (t * rows.stocks + rows.row_stocks[r]) * width + l;
        worker.cells[count] = cell;
        worker.stock[count] = rows.row_stocks[r];
        worker.values[count] = labels[cell];
        count += labels[cell] == labels[cell];
      }
      if (count == 0) continue;
      if (neutral != nullptr && !neutralise(worker, count, *neutral, t, rows.stocks,
                                            counts[omp_get_thread_num()]))
        continue;
      transform_values(worker, count, transform);
      for (int64_t i = 0; i < count; ++i)
        targets[worker.cells[i]] = static_cast<float>(worker.values[i]);
    }
  }
  NeutralCounts all;
  for (const auto& [filled, dependent, unfit, of] : counts) {
    all.filled += filled;
    all.dependent += dependent;
    all.unfit += unfit;
    all.labels += of;
  }
  return all;
}

MissingLabels find_missing_labels(const MissingLabelsInput& in) {
  const auto& [dates, N, offsets, row_stocks] = in.rows;
  const int64_t width = static_cast<int64_t>(in.reach.size());
  std::vector<int32_t> lost(N);
  MissingLabels found;
  for (int64_t i = 0; i < in.sample_count; ++i) {
    const int32_t t = in.sample_dates[i];
    for (int64_t r = offsets[t]; r < offsets[t + 1]; ++r) {
      const int32_t n = row_stocks[r];
      if (in.tradable != nullptr &&
          (t + in.lag >= dates || in.tradable[(t + in.lag) * N + n] != 1))
        continue;
      for (int64_t l = 0; l < width; ++l) {
        ++found.all;
        const float label = in.labels[(t * N + n) * width + l];
        if (label == label) continue;
        if (t + in.lag + in.reach[l] > in.last_priced[n]) {
          if (lost[n]++ == 0) found.leavers.push_back(n);
          ++found.gone;
        } else if (found.missing++ < kListedGaps) {
          found.gaps.insert(found.gaps.end(), {t, n});
        }
      }
    }
  }
  for (const int32_t n : found.leavers) found.leaver_counts.push_back(lost[n]);
  return found;
}

}  // namespace astgnn::ops
