#include "ops/data/price_features.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "ops/data/natural_log.h"

namespace astgnn::ops {
namespace {

enum class Kind {
  kReturn,
  kCloseOverMean,
  kRange,
  kPosition,
  kOvernight,
  kIntraday,
  kVolatility,
  kVolumeOverMean,
  kDollarVolume,
  kMaxReturn,
  kCloseOverMax
};

// days: the length of the look-back.
struct Feature {
  std::string_view name;
  Kind kind;
  int64_t days, reach;
};

constexpr Feature kFeatures[] = {
    {"return_1", Kind::kReturn, 1, 1},
    {"return_5", Kind::kReturn, 5, 5},
    {"return_20", Kind::kReturn, 20, 20},
    {"return_60", Kind::kReturn, 60, 60},
    {"return_120", Kind::kReturn, 120, 120},
    {"close_over_mean_5", Kind::kCloseOverMean, 5, 4},
    {"close_over_mean_10", Kind::kCloseOverMean, 10, 9},
    {"close_over_mean_20", Kind::kCloseOverMean, 20, 19},
    {"close_over_mean_30", Kind::kCloseOverMean, 30, 29},
    {"range", Kind::kRange, 1, 0},
    {"position", Kind::kPosition, 1, 0},
    {"overnight_return", Kind::kOvernight, 1, 1},
    {"intraday_return", Kind::kIntraday, 1, 0},
    {"volatility_5", Kind::kVolatility, 5, 5},
    {"volatility_20", Kind::kVolatility, 20, 20},
    {"volume_over_mean_5", Kind::kVolumeOverMean, 5, 4},
    {"volume_over_mean_20", Kind::kVolumeOverMean, 20, 19},
    {"dollar_volume", Kind::kDollarVolume, 20, 19},
    {"max_return_20", Kind::kMaxReturn, 20, 20},
    {"close_over_max_60", Kind::kCloseOverMax, 60, 59},
};

// Stocks whose sums are in registers together.
constexpr int64_t kTile = 16;

// body(first, width) over the stocks, width a constant: whole tiles, then single stocks.
template <class Body>
void tiles(int64_t stocks, Body&& body) {
  int64_t n = 0;
  for (; n + kTile <= stocks; n += kTile) body(n, std::integral_constant<int64_t, kTile>());
  for (; n < stocks; ++n) body(n, std::integral_constant<int64_t, 1>());
}

// sum [W] of the rows k = days - 1 .. 0 dates before; row(k)[j] is the value of stock j.
template <int64_t W, class Value>
inline void sum_back(int64_t days, Value&& value, double* sum) {
  double total[W] = {};
  for (int64_t k = days - 1; k >= 0; --k)
    for (int64_t j = 0; j < W; ++j) total[j] += value(k, j);
  for (int64_t j = 0; j < W; ++j) sum[j] = total[j];
}

// NaN where a value is NaN or -infinity.
template <int64_t W, class Value>
inline void maximum_back(int64_t days, Value&& value, double* maximum) {
  constexpr double kLowest = -std::numeric_limits<double>::infinity();
  double highest[W];
  for (int64_t j = 0; j < W; ++j) highest[j] = kLowest;
  for (int64_t k = days - 1; k >= 0; --k) {
    for (int64_t j = 0; j < W; ++j) {
      const double x = value(k, j), higher = x > highest[j] ? x : highest[j];
      highest[j] = x > kLowest ? higher : kMissingValue;
    }
  }
  for (int64_t j = 0; j < W; ++j) maximum[j] = highest[j];
}

template <class T>
void over_mean(const T* values, int64_t stocks, int64_t days, double* out) {
  tiles(stocks, [&](int64_t n, auto width) {
    constexpr int64_t W = decltype(width)::value;
    double sum[W];
    sum_back<W>(
        days, [&](int64_t k, int64_t j) -> double { return values[n + j - k * stocks]; }, sum);
    for (int64_t j = 0; j < W; ++j) out[n + j] = values[n + j] / (sum[j] / days);
  });
}

template <class T>
void close_over_max(const T* close, int64_t stocks, int64_t days, double* out) {
  tiles(stocks, [&](int64_t n, auto width) {
    constexpr int64_t W = decltype(width)::value;
    double highest[W];
    maximum_back<W>(
        days, [&](int64_t k, int64_t j) -> double { return close[n + j - k * stocks]; }, highest);
    for (int64_t j = 0; j < W; ++j) out[n + j] = close[n + j] / highest[j];
  });
}

template <class V, class C>
void dollar_volume(const V* volume, const C* close, int64_t stocks, int64_t days, double* out) {
  tiles(stocks, [&](int64_t n, auto width) {
    constexpr int64_t W = decltype(width)::value;
    sum_back<W>(
        days,
        [&](int64_t k, int64_t j) {
          const int64_t cell = n + j - k * stocks;
          return static_cast<double>(volume[cell]) * static_cast<double>(close[cell]);
        },
        out + n);
  });
  for (int64_t n = 0; n < stocks; ++n) out[n] = natural_log(out[n] / days);
}

// rows[k]: the returns of k dates before.
void volatility(const double* const* rows, int64_t stocks, int64_t days, double* out) {
  tiles(stocks, [&](int64_t n, auto width) {
    constexpr int64_t W = decltype(width)::value;
    double centre[W], squares[W];
    sum_back<W>(days, [&](int64_t k, int64_t j) { return rows[k][n + j]; }, centre);
    for (int64_t j = 0; j < W; ++j) centre[j] /= days;
    sum_back<W>(
        days,
        [&](int64_t k, int64_t j) {
          const double difference = rows[k][n + j] - centre[j];
          return difference * difference;
        },
        squares);
    for (int64_t j = 0; j < W; ++j) out[n + j] = std::sqrt(squares[j] / (days - 1));
  });
}

// a / b - 1.
template <class A, class B>
void change(const A* a, const B* b, int64_t stocks, double* out) {
  for (int64_t n = 0; n < stocks; ++n)
    out[n] = static_cast<double>(a[n]) / static_cast<double>(b[n]) - 1;
}

}  // namespace

int price_feature(std::string_view name) {
  const auto* at = std::find_if(std::begin(kFeatures), std::end(kFeatures),
                                [&](const Feature& feature) { return feature.name == name; });
  return at == std::end(kFeatures) ? -1 : static_cast<int>(at - std::begin(kFeatures));
}

int64_t price_feature_reach(int feature) { return kFeatures[feature].reach; }

PriceFeatures::PriceFeatures(const PriceColumns& prices, const int32_t* segments, int64_t stocks)
    : prices_(prices), segments_(segments), stocks_(stocks), returns_(kKept * stocks) {}

// Daily returns of the `count` dates up to t.
void PriceFeatures::keep_returns(int64_t t, int64_t count) {
  const int64_t first = t - count + 1;
  if (first < from_ || first > to_) from_ = to_ = first;
  for (; to_ <= t; ++to_) {
    with_values(prices_.close, [&](const auto* close) {
      change(close + to_ * stocks_, close + (to_ - 1) * stocks_, stocks_,
             returns_.data() + (to_ % kKept) * stocks_);
    });
  }
  from_ = std::max(from_, to_ - kKept);
}

void PriceFeatures::compute(int feature, int64_t t, double* out) {
  const auto& [name, kind, days, reach] = kFeatures[feature];
  if (t < reach) {
    std::fill_n(out, stocks_, kMissingValue);
    return;
  }
  const int64_t N = stocks_, today = t * N;
  const double* rows[kKept];
  if (kind == Kind::kVolatility || kind == Kind::kMaxReturn) {
    keep_returns(t, days);
    for (int64_t k = 0; k < days; ++k) rows[k] = returns_of(t - k);
  }
  const auto& [open, high, low, close, volume] = prices_;
  switch (kind) {
    case Kind::kReturn:
      with_values(close, [&](const auto* c) { change(c + today, c + today - days * N, N, out); });
      break;
    case Kind::kCloseOverMean:
      with_values(close, [&](const auto* c) { over_mean(c + today, N, days, out); });
      break;
    case Kind::kRange:
      for (int64_t n = today; n < today + N; ++n) *out++ = (high.at(n) - low.at(n)) / close.at(n);
      out -= N;
      break;
    case Kind::kPosition:
      for (int64_t n = 0; n < N; ++n) {
        const double h = high.at(today + n), l = low.at(today + n), c = close.at(today + n);
        out[n] = h == l ? kMissingValue : (c - l) / (h - l);
      }
      break;
    case Kind::kOvernight:
      with_values(open, [&](const auto* o) {
        with_values(close, [&](const auto* c) { change(o + today, c + today - N, N, out); });
      });
      break;
    case Kind::kIntraday:
      with_values(close, [&](const auto* c) {
        with_values(open, [&](const auto* o) { change(c + today, o + today, N, out); });
      });
      break;
    case Kind::kVolatility:
      volatility(rows, N, days, out);
      break;
    case Kind::kVolumeOverMean:
      with_values(volume, [&](const auto* v) { over_mean(v + today, N, days, out); });
      for (int64_t n = 0; n < N; ++n) out[n] = natural_log(out[n]);
      break;
    case Kind::kDollarVolume:
      with_values(volume, [&](const auto* v) {
        with_values(close, [&](const auto* c) { dollar_volume(v + today, c + today, N, days, out); });
      });
      break;
    case Kind::kMaxReturn:
      tiles(N, [&](int64_t n, auto width) {
        constexpr int64_t W = decltype(width)::value;
        maximum_back<W>(days, [&](int64_t k, int64_t j) { return rows[k][n + j]; }, out + n);
      });
      break;
    case Kind::kCloseOverMax:
      with_values(close, [&](const auto* c) { close_over_max(c + today, N, days, out); });
      break;
  }
  if (segments_ == nullptr || reach == 0) return;
  const int32_t *now = segments_ + today, *then = now - reach * N;
  for (int64_t n = 0; n < N; ++n)
    if (now[n] != then[n]) out[n] = kMissingValue;
}

}  // namespace astgnn::ops
