// The dense grid that data ops work on: cell t * stocks + n of date t and stock n, dates before
// stocks, so that loops over the stocks of a date are contiguous. NaN is missing.
#pragma once

#include <cstdint>
#include <limits>

namespace astgnn::ops {

constexpr double kMissingValue = std::numeric_limits<double>::quiet_NaN();

// A column of the panel [dates * stocks], in the precision of its source.
struct Column {
  const float* single = nullptr;
  const double* twice = nullptr;

  explicit operator bool() const { return single != nullptr || twice != nullptr; }
  double at(int64_t cell) const { return single != nullptr ? single[cell] : twice[cell]; }
};

// use(pointer) with the column's own type.
template <class Use>
auto with_values(const Column& column, Use&& use) {
  return column.single != nullptr ? use(column.single) : use(column.twice);
}

}  // namespace astgnn::ops
