#include "ops/data/style.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "ops/data/natural_log.h"
#include "ops/data/style_sums.h"

namespace astgnn::ops {

const std::string_view kStyleNames[kStyleFeatures] = {
    "size",          "size_cubed",          "beta",                "momentum",
    "reversal",      "ewma_20_120",         "ewma_20_240",         "volatility_243",
    "volatility_21", "residual_volatility", "turnover_volatility", "liquidity",
    "illiquidity",   "range",               "max_6",               "min_6",
    "skewness",      "downside_beta",       "high_252",            "seasonality",
    "age"};

int style_feature(std::string_view name) {
  const auto* at = std::find(std::begin(kStyleNames), std::end(kStyleNames), name);
  return at == std::end(kStyleNames) ? -1 : static_cast<int>(at - kStyleNames);
}

namespace {

constexpr int64_t kYear = Style::kLookBack, kMonth = 21, kQuarter = 63, kLong = 243;
constexpr double kLimit = 3;
// 2^(-1/63): beta's weights halve in 63 days. std::exp2 has other bits on other processors.
constexpr double kBetaDecay = 0.9890579681360733;
constexpr double kSpans[] = {20, 120, 240};

}  // namespace

struct Style::Tile {
  explicit Tile(int64_t rows)
      : close(rows), returns(rows), volume(rows), log_volume(rows), dollar_volume(rows),
        illiquidity(rows), range(rows) {}
  Series close, returns, volume, log_volume, dollar_volume, illiquidity, range;
};

// What a block of dates is made with.
struct Style::Block {
  const StyleInput& in;
  int64_t from, to;  // dates; row i of a tile is date from - kYear + i
  double* out;

  double* at(StyleFeature feature, int64_t t) const {
    return out + ((t - from) * kStyleFeatures + feature) * in.stocks;
  }
};

Style::Style(StyleInput input) : in_(std::move(input)) {
  const int64_t D = in_.dates, N = in_.stocks;
  weights_.assign(kYear, 1);
  for (int64_t d = kYear - 2; d >= 0; --d) weights_[d] = weights_[d + 1] * kBetaDecay;
  for (const double span : kSpans) {
    const double kept = 1 - 2 / (span + 1);
    double weight = 1;
    for (int64_t age = 0; age < kYear; ++age, weight *= kept) spans_.push_back(weight);
  }
  first_.assign(N, static_cast<int32_t>(D));
  for (int64_t t = 0; t < D; ++t)
    for (int64_t n = 0; n < N; ++n)
      if (in_.present[t * N + n] == 1) first_[n] = std::min(first_[n], static_cast<int32_t>(t));
  sum_returns();
}

double Style::daily_return(int64_t t, int64_t n) const {
  if (t < 1) return kMissingValue;
  const int64_t now = t * in_.stocks + n, before = now - in_.stocks;
  if (in_.segments != nullptr && in_.segments[now] != in_.segments[before]) return kMissingValue;
  return in_.prices.close.at(now) / in_.prices.close.at(before) - 1;
}

// The market, and the sums by month.
void Style::sum_returns() {
  const int64_t D = in_.dates, N = in_.stocks;
  market_.assign(D, kMissingValue);
  const int64_t months = D == 0 ? 0 : in_.months[D - 1] - in_.months[0] + 1;
  month_sums_.assign(months * N, 0);
  month_counts_.assign(months * N, 0);
  std::vector<int64_t> starts;  // of months
  for (int64_t t = 0; t < D; ++t)
    if (t == 0 || in_.months[t] != in_.months[t - 1]) starts.push_back(t);
  const int64_t count = static_cast<int64_t>(starts.size());
#pragma omp parallel for schedule(dynamic, 1)
  for (int64_t i = 0; i < count; ++i) {
    const int64_t end = i + 1 < count ? starts[i + 1] : D;
    const int64_t month = (in_.months[starts[i]] - in_.months[0]) * N;
    for (int64_t t = starts[i]; t < end; ++t) {
      double sum = 0, members = 0;
      for (int64_t n = 0; n < N; ++n) {
        const double r = daily_return(t, n);
        if (r - r != 0) continue;
        month_sums_[month + n] += r;
        month_counts_[month + n] += 1;
        if (in_.universe[t * N + n] != 1) continue;
        sum += r;
        members += 1;
      }
      market_[t] = sum / members;
    }
  }
}

void Style::fill_tile(const Block& block, int64_t first, int64_t width, Tile& tile) const {
  const auto& [open, high, low, close, volume] = in_.prices;
  for (int64_t row = 0; row < block.to - block.from + kYear; ++row) {
    const int64_t t = block.from - kYear + row;
    for (int64_t j = 0; j < kTile; ++j) {
      const bool is_there = t >= 0 && j < width;
      const int64_t cell = t * in_.stocks + first + j;
      const double c = is_there ? close.at(cell) : kMissingValue;
      const double v = is_there ? volume.at(cell) : kMissingValue;
      const double r = is_there ? daily_return(t, first + j) : kMissingValue;
      tile.close.put(row, j, c);
      tile.returns.put(row, j, r);
      tile.volume.put(row, j, v);
      tile.log_volume.put(row, j, natural_log(v));
      tile.dollar_volume.put(row, j, v * c);
      tile.illiquidity.put(row, j, std::abs(r) / (v * c));
      tile.range.put(row, j, is_there ? high.at(cell) / low.at(cell) - 1 : kMissingValue);
    }
  }
}

void Style::regress(const Block& block, int64_t t, int64_t first, int64_t width,
                    const Tile& tile) const {
  Regression all, falling;
  int64_t falling_days = 0;
  const int64_t before = t - block.from + 1;  // row of the oldest date
  for (int64_t d = 0; d < kYear; ++d) {
    const int64_t date = t - kYear + 1 + d;
    if (date < 1 || market_[date] != market_[date]) continue;
    const double *there = tile.returns.there[before + d].at, *r = tile.returns.value[before + d].at;
    all.add(weights_[d], market_[date], there, r);
    if (!(market_[date] < 0)) continue;
    falling.add(weights_[d], market_[date], there, r);
    ++falling_days;
  }
  double *beta = block.at(kBeta, t), *error = block.at(kSizeCubed, t),
         *residual = block.at(kResidualVolatility, t), *downside = block.at(kDownsideBeta, t);
  for (int64_t j = 0; j < width; ++j) {
    const int64_t n = first + j;
    const double freedom = all.w.at[j] * all.w.at[j] / all.ww.at[j] - 2;
    const bool is_known = enough(all.n.at[j], kYear) && all.is_defined(j) && freedom > 0;
    beta[n] = is_known ? all.slope(j) : kMissingValue;
    error[n] = is_known ? all.residual_squares(j) / (freedom * all.market_squares(j)) : kMissingValue;
    residual[n] = is_known ? std::sqrt(all.residual_squares(j) / all.w.at[j]) : kMissingValue;
    downside[n] = enough(falling.n.at[j], falling_days) && falling.is_defined(j)
                      ? falling.slope(j)
                      : kMissingValue;
  }
}

// The values of date t that look at closes alone.
void Style::compare_closes(const Block& block, int64_t t, int64_t first, int64_t width,
                           const Tile& tile) const {
  const int64_t before = t - block.from, today = before + kYear;  // rows of t - kYear and of t
  Lanes average[3]{}, weight[3]{}, highest{}, count{}, month{};
  EACH_LANE highest.at[j] = -std::numeric_limits<double>::infinity();
  for (int64_t row = before + 1; row <= today; ++row) {
    const double *c = tile.close.value[row].at, *there = tile.close.there[row].at;
    EACH_LANE {
      count.at[j] += there[j];
      highest.at[j] = c[j] > highest.at[j] ? c[j] : highest.at[j];
    }
    for (int s = 0; s < 3; ++s) {
      const double w = spans_[s * kYear + today - row];
      EACH_LANE {
        average[s].at[j] += w * c[j];
        weight[s].at[j] += w * there[j];
      }
    }
  }
  for (int64_t row = today - kMonth; row <= today; ++row)
    EACH_LANE month.at[j] += tile.close.there[row].at[j];
  double *momentum = block.at(kMomentum, t), *reversal = block.at(kReversal, t),
         *ewma_120 = block.at(kEwma120, t), *ewma_240 = block.at(kEwma240, t),
         *high = block.at(kHigh252, t);
  for (int64_t j = 0; j < width; ++j) {
    const int64_t n = first + j;
    const auto close = [&](int64_t row) {
      return tile.close.there[row].at[j] == 1 ? tile.close.value[row].at[j] : kMissingValue;
    };
    const auto same_prices = [&](int64_t days) {
      return in_.segments == nullptr || t < days ||
             in_.segments[t * in_.stocks + n] == in_.segments[(t - days) * in_.stocks + n];
    };
    const double now = close(today), month_ago = close(today - kMonth), year_ago = close(before);
    // Dates t - 252 .. t - 21 and t - 21 .. t.
    const double of_momentum = count.at[j] - month.at[j] + (month_ago == month_ago) + (year_ago == year_ago);
    const bool is_month = enough(month.at[j], kMonth + 1) && same_prices(kMonth);
    const bool is_year = enough(count.at[j], kYear) &&
                         same_prices(std::min(t, kYear - 1));
    const bool is_momentum = enough(of_momentum, kYear - kMonth + 1) && same_prices(kYear);
    momentum[n] = is_momentum ? natural_log(month_ago / year_ago) : kMissingValue;
    reversal[n] = is_month ? natural_log(now / month_ago) : kMissingValue;
    const double fast = average[0].at[j] / weight[0].at[j];
    ewma_120[n] = is_year ? fast / (average[1].at[j] / weight[1].at[j]) : kMissingValue;
    ewma_240[n] = is_year ? fast / (average[2].at[j] / weight[2].at[j]) : kMissingValue;
    high[n] = is_year ? now / highest.at[j] : kMissingValue;
  }
}

void Style::compare_volumes(const Block& block, int64_t t, int64_t first, int64_t width,
                            const Tile& tile) const {
  const int64_t end = t - block.from + kYear + 1;
  const Moments month = sum_values(tile.volume, end - kMonth, end);
  Moments year = sum_values(tile.volume, end - kYear, end - kMonth);
  year += month;
  const Moments logs = sum_moments(tile.log_volume, end - kLong, end);
  const Moments impact = sum_values(tile.illiquidity, end - kMonth, end);
  const Moments range = sum_values(tile.range, end - kMonth, end);
  const Moments dollars = sum_values(tile.dollar_volume, end - kYear, end);
  for (int64_t j = 0; j < width; ++j) {
    const int64_t n = first + j, cell = t * in_.stocks + n;
    const auto same_prices = [&](int64_t days) {
      return in_.segments == nullptr ||
             in_.segments[cell] == in_.segments[cell - std::min(t, days - 1) * in_.stocks];
    };
    block.at(kSize, t)[n] = in_.size ? in_.size.at(cell) : natural_log(dollars.mean(j, kYear));
    block.at(kTurnoverVolatility, t)[n] =
        same_prices(kLong) ? logs.deviation(j, kLong) : kMissingValue;
    block.at(kLiquidity, t)[n] =
        same_prices(kYear) ? natural_log(month.mean(j, kMonth) / year.mean(j, kYear))
                           : kMissingValue;
    block.at(kIlliquidity, t)[n] = natural_log(impact.mean(j, kMonth));
    block.at(kRange, t)[n] = range.mean(j, kMonth);
  }
}

void Style::describe_returns(const Block& block, int64_t t, int64_t first, int64_t width,
                             const Tile& tile) const {
  const int64_t N = in_.stocks, end = t - block.from + kYear + 1;
  const Moments month = sum_moments(tile.returns, end - kMonth, end);
  Moments late = sum_moments(tile.returns, end - kLong, end - kMonth);
  late += month;
  Moments year = sum_moments(tile.returns, end - kYear, end - kLong);
  year += late;
  const Moments quarter = sum_values(tile.returns, end - kQuarter, end);
  const int64_t now = in_.months[t] - in_.months[0];
  for (int64_t j = 0; j < width; ++j) {
    const int64_t n = first + j;
    block.at(kVolatility21, t)[n] = month.deviation(j, kMonth);
    block.at(kVolatility243, t)[n] = late.deviation(j, kLong);
    block.at(kSkewness, t)[n] = year.skewness(j, kYear);
    const bool is_quarter = enough(quarter.n.at[j], kQuarter);
    const auto extremes = [&](double sign) {
      return is_quarter ? mean_of_extremes(tile.returns, end - kQuarter, end, j, sign)
                        : kMissingValue;
    };
    block.at(kMax6, t)[n] = extremes(1);
    block.at(kMin6, t)[n] = extremes(-1);
    double sum = 0, count = 0;
    for (int64_t month_ago = now % 12; month_ago < now; month_ago += 12) {
      sum += month_sums_[month_ago * N + n];
      count += month_counts_[month_ago * N + n];
    }
    block.at(kSeasonality, t)[n] = count > 0 ? sum / count : kMissingValue;
    block.at(kAge, t)[n] =
        t >= first_[n] ? natural_log(static_cast<double>(1 + t - first_[n])) : kMissingValue;
  }
}

// From raw values to z-scores.
void Style::finish(CrossSection& cross_section, int64_t date, double* values) const {
  const int64_t N = in_.stocks;
  const uint8_t* universe = in_.universe + date * N;
  const auto row = [&](int feature) { return values + feature * N; };
  const auto standardize = [&](double* x) {
    cross_section.zscore(x, universe);
    for (int64_t n = 0; n < N; ++n) x[n] = x[n] < -kLimit ? -kLimit : x[n] > kLimit ? kLimit : x[n];
  };
  // Vasicek: towards 1, by the variance of the betas and their own.
  double *beta = row(kBeta), *error = row(kSizeCubed);
  std::vector<double> members;
  for (int64_t n = 0; n < N; ++n)
    if (universe[n] == 1 && beta[n] == beta[n]) members.push_back(beta[n]);
  if (!members.empty()) {
    const double sd = mean_and_sd(members.data(), static_cast<int64_t>(members.size()), 0).sd;
    for (int64_t n = 0; n < N; ++n) {
      const double own = sd * sd / (sd * sd + error[n]);
      if (own == own) beta[n] = 1 + own * (beta[n] - 1);
    }
  }
  for (int feature = 0; feature < kStyleFeatures; ++feature)
    if (feature != kSizeCubed) standardize(row(feature));
  double *size = row(kSize), *cubed = error;
  double sum = 0, sum_cubed = 0, count = 0;
  for (int64_t n = 0; n < N; ++n) {
    cubed[n] = size[n] * size[n] * size[n];
    if (universe[n] != 1 || size[n] != size[n]) continue;
    sum += size[n];
    sum_cubed += cubed[n];
    count += 1;
  }
  const double mean = sum / count, mean_cubed = sum_cubed / count;
  double product = 0, square = 0;
  for (int64_t n = 0; n < N; ++n) {
    if (universe[n] != 1 || size[n] != size[n]) continue;
    product += (size[n] - mean) * (cubed[n] - mean_cubed);
    square += (size[n] - mean) * (size[n] - mean);
  }
  const double slope = square > 0 ? product / square : 0;
  for (int64_t n = 0; n < N; ++n) cubed[n] -= mean_cubed + slope * (size[n] - mean);
  standardize(cubed);
}

void Style::compute(int64_t from, int64_t to, double* out, bool raw) {
  const int64_t N = in_.stocks;
  const Block block{in_, from, to, out};
#pragma omp parallel
  {
    Tile tile(to - from + kYear);
#pragma omp for schedule(dynamic, 1)
    for (int64_t first = 0; first < N; first += kTile) {
      const int64_t width = std::min(kTile, N - first);
      fill_tile(block, first, width, tile);
      for (int64_t t = from; t < to; ++t) {
        regress(block, t, first, width, tile);
        compare_closes(block, t, first, width, tile);
        compare_volumes(block, t, first, width, tile);
        describe_returns(block, t, first, width, tile);
      }
    }
    if (!raw) {
      CrossSection cross_section(N);
#pragma omp for schedule(dynamic, 1)
      for (int64_t t = from; t < to; ++t)
        finish(cross_section, t, out + (t - from) * kStyleFeatures * N);
    }
  }
}

}  // namespace astgnn::ops
