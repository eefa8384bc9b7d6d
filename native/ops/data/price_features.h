// The 20 features of open, high, low, close and volume (`ohlcv`), one date of all stocks at a time.
// In double precision; every sum runs over its own look-back, oldest date first, never as a running
// total: a value depends on nothing outside its look-back, to the last bit, on any processor.
#pragma once

#include <string_view>
#include <vector>

#include "ops/data/grid.h"

namespace astgnn::ops {

struct PriceColumns {
  Column open, high, low, close, volume;
};

// Index of a feature by its name, or -1.
int price_feature(std::string_view name);
// How many dates before its own a feature reads.
int64_t price_feature_reach(int feature);

// Computes features date by date. One per thread: dates are to ascend, for its daily returns of the
// last 20 dates are kept.
class PriceFeatures {
 public:
  // segments [dates * stocks], or null: a feature whose look-back begins and ends in two segments is
  // missing.
  PriceFeatures(const PriceColumns& prices, const int32_t* segments, int64_t stocks);
  // Writes the feature of date t to out [stocks].
  void compute(int feature, int64_t t, double* out);

 private:
  void keep_returns(int64_t t, int64_t count);
  const double* returns_of(int64_t t) const { return returns_.data() + (t % kKept) * stocks_; }

  static constexpr int64_t kKept = 20;
  PriceColumns prices_;
  const int32_t* segments_;
  int64_t stocks_;
  std::vector<double> returns_;  // [kKept, stocks], date t in row t % kKept
  int64_t from_ = 0, to_ = 0;    // dates whose returns are kept
};

}  // namespace astgnn::ops
