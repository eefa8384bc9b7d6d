// Style exposures of stocks (`style`): 21 known properties such as size, beta and momentum, of
// prices and volume up to a date, as z-scores among the universe stocks of the date, clipped to ±3.
//
// In double precision. A value reads its look-back of at most 252 dates, oldest first, never a
// running total (`seasonality` and `age` read all dates before theirs); it is missing where the
// look-back lacks more than a fifth of its dates. Those before the panel count as lacking. Between
// two segments of prices there is no return; a value that compares prices or volumes of two segments
// is missing.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ops/data/cross_section.h"
#include "ops/data/price_features.h"

namespace astgnn::ops {

enum StyleFeature {
  kSize,              // a column, or ln of the mean dollar volume of 252 days
  kSizeCubed,         // size^3, its regression on size taken out, per date
  kBeta,              // slope of the return on the market's, 252 days with half-life 63; Vasicek
  kMomentum,          // ln close(t - 21) / close(t - 252)
  kReversal,          // ln close(t) / close(t - 21)
  kEwma120,           // average of close with span 20 over that with span 120
  kEwma240,           // and 240; of 252 days
  kVolatility243,     // sd of returns
  kVolatility21,
  kResidualVolatility,  // sd of the residuals of the regression of beta
  kTurnoverVolatility,  // sd of ln volume, 243 days
  kLiquidity,         // ln of the mean volume of 21 days over that of 252
  kIlliquidity,       // ln of the mean of |return| / dollar volume, 21 days
  kRange,             // mean of high / low - 1, 21 days
  kMax6,              // mean of the six highest returns of 63 days
  kMin6,              // and of the six lowest
  kSkewness,          // of returns, 252 days
  kDownsideBeta,      // as beta, on days with a falling market, not shrunk
  kHigh252,           // close / maximum of 252 days
  kSeasonality,       // mean return of the same calendar month in earlier years
  kAge,               // ln of 1 + dates since the first row
  kStyleFeatures
};
extern const std::string_view kStyleNames[kStyleFeatures];
// Index of an exposure by its name, or -1.
int style_feature(std::string_view name);

struct StyleInput {
  int64_t dates, stocks;
  PriceColumns prices;
  Column size;              // or none
  const uint8_t* universe;  // [dates, stocks]: 1 where the stock counts
  const uint8_t* present;   // [dates, stocks]: 1 where the table has a row
  const int32_t* segments;  // [dates, stocks], or null
  const int32_t* months;    // [dates]: year * 12 + month
};

class Style {
 public:
  static constexpr int64_t kLookBack = 252;

  explicit Style(StyleInput input);
  // The exposures of dates from .. to - 1 into out [dates, kStyleFeatures, stocks], by OpenMP's
  // threads; all of them before they are z-scores where `raw`. In raw values kSizeCubed holds the
  // squared standard error of kBeta, which is not shrunk.
  void compute(int64_t from, int64_t to, double* out, bool raw = false);

 private:
  struct Block;
  struct Tile;
  double daily_return(int64_t t, int64_t n) const;
  void sum_returns();
  // One tile of stocks: its look-backs, then the raw values of date t by what they read.
  void fill_tile(const Block& block, int64_t first, int64_t width, Tile& tile) const;
  void regress(const Block& block, int64_t t, int64_t first, int64_t width, const Tile& tile) const;
  void compare_closes(const Block& block, int64_t t, int64_t first, int64_t width,
                      const Tile& tile) const;
  void compare_volumes(const Block& block, int64_t t, int64_t first, int64_t width,
                       const Tile& tile) const;
  void describe_returns(const Block& block, int64_t t, int64_t first, int64_t width,
                        const Tile& tile) const;
  void finish(CrossSection& cross_section, int64_t date, double* values) const;

  StyleInput in_;
  std::vector<double> market_;   // [dates]: mean return of the universe
  std::vector<double> weights_;  // [kLookBack], oldest first: those of beta
  std::vector<double> spans_;    // [3, kLookBack], newest first: those of the averages of close
  std::vector<int32_t> first_;   // [stocks]: date of the first row
  // Sums and counts of returns by month since the first of the panel: [months, stocks].
  std::vector<double> month_sums_, month_counts_;
};

}  // namespace astgnn::ops
