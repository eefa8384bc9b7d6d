// What is computed among the stocks of one date, in double precision. The members of a date are the
// universe stocks that have a value; another stock that has one is placed among them and moves none
// of them. Sums run over the members in the order of the stocks.
#pragma once

#include <optional>
#include <vector>

#include "ops/data/grid.h"

namespace astgnn::ops {

struct MeanAndSd {
  double mean, sd;
};
// Two passes; ddof 0: population, 1: sample. Equal values have sd exactly 0. count >= 1.
MeanAndSd mean_and_sd(const double* values, int64_t count, int64_t ddof);

struct Bounds {
  double low, high;
};
double clip(double value, const Bounds& bounds);  // NaN stays

// Median of values, which it reorders; -0 lies below 0. count >= 1.
double median(double* values, int64_t count);

// Inverse of the standard normal distribution function for 0 < p < 1 (Wichura 1988, AS 241, PPND16).
double normal_quantile(double p);

// Buffers for the work on one date at a time: one per thread.
class CrossSection {
 public:
  explicit CrossSection(int64_t stocks);

  // values [stocks] of a date, in place; universe [stocks]: 1 where the stock counts.
  // (p - 0.5) * sqrt(12), p = (members less + half of the members equal) / n; for a member p is
  // (average-tie rank - 0.5) / n. Without a member the date is missing.
  void rank(double* values, const uint8_t* universe);
  // (x - mean) / population sd of the members, 0 where sd is 0. Without a member: missing.
  void zscore(double* values, const uint8_t* universe);
  // Clips to median ± k * 1.4826 * MAD of the members; untouched where the MAD is 0.
  void winsorize(double* values, const uint8_t* universe, double k);

  // The same on `count` values without NaN, count <= stocks.
  // Average-tie ranks from 1, doubled: twice[i] is the number of values below i's plus that of those
  // not above, plus 1.
  void twice_ranks(const double* values, int64_t count, int32_t* twice);
  // median ± k * 1.4826 * MAD; none where the MAD is 0.
  std::optional<Bounds> mad_bounds(const double* values, int64_t count, double k);

 private:
  int64_t collect(const double* values, const uint8_t* universe);
  void sort(const double* values, int64_t count);

  int64_t stocks_;
  std::vector<double> members_, spare_;
  std::vector<int32_t> index_, twice_;
  std::vector<uint64_t> sorted_, other_;  // order key of a value in the upper half, its index below
  std::vector<uint32_t> counts_;
};

}  // namespace astgnn::ops
