#include "train/future_returns.h"

#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/to_device.h"
#include "train/panel.h"

namespace astgnn::train {
namespace {

constexpr int64_t kVolatilityDays = 60, kFewestReturns = 20;
constexpr double kClip = 4, kUnknown = std::numeric_limits<double>::quiet_NaN();

// Sample standard deviations of the stocks' daily returns on the kVolatilityDays dates up to
// `date`; NaN where there are too few returns or all of them are equal.
std::vector<double> volatilities(const Panel& panel, int64_t date, at::ArrayRef<int32_t> stocks) {
  const auto* returns = panel.returns.const_data_ptr<float>();
  const int64_t width = panel.returns.size(1);
  std::vector<double> mean(stocks.size()), squares(stocks.size());
  std::vector<int64_t> count(stocks.size());
  const auto each = [&](auto&& take) {
    for (int64_t t = std::max<int64_t>(0, date - kVolatilityDays + 1); t <= date; ++t) {
      for (size_t i = 0; i < stocks.size(); ++i) {
        const double value = returns[t * width + stocks[i]];
        if (std::isfinite(value)) take(i, value);
      }
    }
  };
  each([&](size_t i, double value) {
    mean[i] += value;
    ++count[i];
  });
  for (size_t i = 0; i < stocks.size(); ++i) mean[i] /= static_cast<double>(count[i]);
  each([&](size_t i, double value) { squares[i] += (value - mean[i]) * (value - mean[i]); });
  for (size_t i = 0; i < stocks.size(); ++i) {
    const bool known = count[i] >= kFewestReturns && squares[i] > 0;
    squares[i] = known ? std::sqrt(squares[i] / static_cast<double>(count[i] - 1)) : kUnknown;
  }
  return squares;
}

// x of one day over the rows of one date, from the day's returns.
void standardise(const float* returns, at::ArrayRef<int32_t> stocks,
                 const std::vector<double>& volatility, std::vector<double>& x) {
  double sum = 0, known = 0;
  for (size_t i = 0; i < stocks.size(); ++i) {
    const double value = returns[stocks[i]] / volatility[i];
    x[i] = std::isfinite(value) ? std::clamp(value, -kClip, kClip) : kUnknown;
    if (std::isnan(x[i])) continue;
    sum += x[i];
    ++known;
  }
  for (double& value : x) value -= sum / known;
}

// Of a date of two rows.
bool in_one_group(const Panel& panel, int64_t date) {
  if (panel.graph == Panel::Graph::kNone || !panel.groups.defined()) return false;
  const auto* group =
      panel.groups.const_data_ptr<int32_t>() + panel.row_offsets.const_data_ptr<int32_t>()[date];
  return group[0] == group[1];
}

}  // namespace

FutureReturns future_returns(const Panel& panel, const PackedBatch& packed, int64_t days,
                             bool within_groups, int64_t rows, at::ScalarType dtype) {
  const auto all = at::zeros({3, rows, days}, at::kDouble);  // x, known, others
  all[0].fill_(kUnknown);
  auto* to_x = all.mutable_data_ptr<double>();
  auto *to_known = to_x + rows * days, *to_others = to_known + rows * days;
  const auto* ends = panel.return_ends.const_data_ptr<int32_t>();
  const int64_t width = panel.returns.size(1);
  for (size_t d = 0; d < packed.dates.size(); ++d) {
    const int64_t date = packed.dates[d], first = packed.offsets[d];
    if (date + days > ends[date]) continue;
    const auto stocks =
        at::ArrayRef<int32_t>(packed.stocks).slice(first, packed.offsets[d + 1] - first);
    const auto volatility = volatilities(panel, date, stocks);
    std::vector<double> x(stocks.size());
    const bool a_pair = stocks.size() == 2 && (!within_groups || in_one_group(panel, date));
    for (int64_t h = 0; h < days; ++h) {
      const auto* returns = panel.returns.const_data_ptr<float>() + (date + h + 1) * width;
      standardise(returns, stocks, volatility, x);
      double total = 0;  // 0 but for rounding
      for (const double value : x) total += std::isnan(value) ? 0 : value;
      for (size_t i = 0; i < stocks.size(); ++i) {
        const int64_t cell = (first + static_cast<int64_t>(i)) * days + h;
        to_x[cell] = x[i];
        if (a_pair) continue;
        to_known[cell] = std::isnan(x[i]) ? 0 : x[i];
        to_others[cell] =
            (total - to_known[cell]) / std::max(1.0, static_cast<double>(stocks.size()) - 1);
      }
    }
  }
  const Tensor host = all.to(dtype), there = ops::to_device(host, panel.device());
  return {days, host[0], there[0], there[1], there[2]};
}

}  // namespace astgnn::train
