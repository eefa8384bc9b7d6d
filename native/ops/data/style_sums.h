// Sums over the look-backs of a tile of stocks, oldest date first: what style exposures are made of.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/data/grid.h"

namespace astgnn::ops {

// Returns that vary by less than 1e-8 a day are constant.
constexpr double kLeastVariance = 1e-16;
constexpr int kExtremes = 6;
// Stocks whose sums are in registers together.
constexpr int64_t kTile = 8;

struct alignas(64) Lanes {
  double at[kTile];
};

#define EACH_LANE for (int64_t j = 0; j < kTile; ++j)

// Whether a look-back of so many days lacks no more than a fifth of them.
inline bool enough(double count, int64_t days) { return 5 * count >= 4 * static_cast<double>(days); }

// Values of a tile's stocks, one row per date; a missing one is 0, and its `there` 0 in place of 1.
struct Series {
  explicit Series(int64_t rows) : value(rows), there(rows) {}
  void put(int64_t row, int64_t lane, double x) {
    const bool is_number = x - x == 0;  // neither NaN nor infinite
    value[row].at[lane] = is_number ? x : 0;
    there[row].at[lane] = is_number ? 1 : 0;
  }
  std::vector<Lanes> value, there;
};

struct Moments {
  Lanes n{}, x{}, xx{}, xxx{};

  void operator+=(const Moments& other) {
    EACH_LANE {
      n.at[j] += other.n.at[j];
      x.at[j] += other.x.at[j];
      xx.at[j] += other.xx.at[j];
      xxx.at[j] += other.xxx.at[j];
    }
  }
  double mean(int64_t lane, int64_t days) const {
    return enough(n.at[lane], days) ? x.at[lane] / n.at[lane] : kMissingValue;
  }
  double squares(int64_t lane) const {
    return std::max(0.0, xx.at[lane] - x.at[lane] * (x.at[lane] / n.at[lane]));
  }
  // Sample standard deviation.
  double deviation(int64_t lane, int64_t days) const {
    return enough(n.at[lane], days) ? std::sqrt(squares(lane) / (n.at[lane] - 1)) : kMissingValue;
  }
  // Third central moment over the 3/2 power of the second.
  double skewness(int64_t lane, int64_t days) const {
    const double count = n.at[lane], mean = x.at[lane] / count, variance = squares(lane) / count;
    if (!enough(count, days) || !(variance > kLeastVariance)) return kMissingValue;
    const double third = xxx.at[lane] / count - 3 * mean * (xx.at[lane] / count) + 2 * mean * mean * mean;
    return third / (variance * std::sqrt(variance));
  }
};

// Sums over rows first .. last - 1, oldest first.
inline Moments sum_moments(const Series& series, int64_t first, int64_t last) {
  Moments sum;
  for (int64_t row = first; row < last; ++row) {
    const double *x = series.value[row].at, *there = series.there[row].at;
    EACH_LANE {
      const double square = x[j] * x[j];
      sum.n.at[j] += there[j];
      sum.x.at[j] += x[j];
      sum.xx.at[j] += square;
      sum.xxx.at[j] += square * x[j];
    }
  }
  return sum;
}

// Sums and counts alone.
inline Moments sum_values(const Series& series, int64_t first, int64_t last) {
  Moments sum;
  for (int64_t row = first; row < last; ++row) {
    const double *x = series.value[row].at, *there = series.there[row].at;
    EACH_LANE {
      sum.n.at[j] += there[j];
      sum.x.at[j] += x[j];
    }
  }
  return sum;
}

// Sums of a weighted regression of returns r on the market's m.
struct Regression {
  Lanes n{}, w{}, ww{}, m{}, mm{}, r{}, rr{}, mr{};

  void add(double weight, double market, const double* there, const double* returns) {
    const double wm = weight * market;
    EACH_LANE {
      const double wr = weight * returns[j];
      n.at[j] += there[j];
      w.at[j] += weight * there[j];
      ww.at[j] += weight * weight * there[j];
      m.at[j] += wm * there[j];
      mm.at[j] += wm * market * there[j];
      r.at[j] += wr;
      rr.at[j] += wr * returns[j];
      mr.at[j] += wm * returns[j];
    }
  }
  double market_squares(int64_t j) const { return mm.at[j] - m.at[j] * (m.at[j] / w.at[j]); }
  double slope(int64_t j) const {
    return (mr.at[j] - m.at[j] * (r.at[j] / w.at[j])) / market_squares(j);
  }
  bool is_defined(int64_t j) const { return market_squares(j) > kLeastVariance * w.at[j]; }
  double residual_squares(int64_t j) const {
    const double b = slope(j), squares = rr.at[j] - r.at[j] * (r.at[j] / w.at[j]);
    return std::max(0.0, squares - b * b * market_squares(j));
  }
};

// Mean of the highest of the values, or of the lowest where sign is -1.
inline double mean_of_extremes(const Series& series, int64_t first, int64_t last, int64_t lane,
                        double sign) {
  double top[kExtremes];  // descending
  int count = 0;
  for (int64_t row = first; row < last; ++row) {
    if (series.there[row].at[lane] == 0) continue;
    const double x = sign * series.value[row].at[lane];
    if (count == kExtremes && x <= top[kExtremes - 1]) continue;
    int at = count < kExtremes ? count++ : kExtremes - 1;
    for (; at > 0 && top[at - 1] < x; --at) top[at] = top[at - 1];
    top[at] = x;
  }
  double sum = 0;
  for (int k = 0; k < count; ++k) sum += top[k];
  return sign * sum / count;
}

}  // namespace astgnn::ops
