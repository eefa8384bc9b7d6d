// Residuals of cross-sectional least squares: what of a label known properties of stocks leave. In
// double precision. The definition is that of lib/metrics/neutralise.ts, which takes the same from
// predictions.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/data/slots.h"

namespace astgnn::ops {

// Exposures of one date.
struct ExposureDate {
  const float* values;    // [slots, exposures]; NaN counts as the mean of its column
  const Slots* slots;
  const int32_t* groups;  // [stocks], or null: one intercept. Those below 0 share one.
};

class Residuals {
 public:
  Residuals(int64_t stocks, int64_t exposures, int64_t groups);

  struct Fit {
    int64_t filled;      // missing exposures
    int64_t rank;        // exposures that are no combination of the others and the intercepts
    int64_t intercepts;  // groups of the date, or 1
  };
  // Replaces `count` values by their residuals on the intercepts and exposures of stocks stock[i]; by
  // zeros where these explain them whole.
  Fit take(double* values, int64_t count, const int32_t* stock, const ExposureDate& exposures);

 private:
  double centre(double* values, int64_t count);
  int64_t factorise();
  void project(double* values, int64_t count, int64_t rank);

  int64_t exposures_;
  std::vector<int64_t> group_;  // [stocks]: intercept of each value
  std::vector<double> sums_;    // [groups + 1]
  std::vector<int64_t> sizes_;
  std::vector<double> column_;  // [stocks]
  std::vector<double> design_;  // [stocks, exposures]: centred columns that are not constant, first
  int64_t used_ = 0;            // of them
  std::vector<double> gram_;    // [used, used], then its Cholesky factor
  std::vector<double> length_, slope_;
  std::vector<int64_t> order_;
};

}  // namespace astgnn::ops
