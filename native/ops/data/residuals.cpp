#include "ops/data/residuals.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace astgnn::ops {
namespace {

// A pivot below this share of a column's length leaves the column out: it is a combination of others.
constexpr double kDependent = 1e-10;
// A residual below this share of the values' own variation is rounding and counts as 0.
constexpr double kExplained = 1e-20;
// What centring leaves of a constant column.
constexpr double kConstant = 1e-24;

}  // namespace

Residuals::Residuals(int64_t stocks, int64_t exposures, int64_t groups)
    : exposures_(exposures),
      group_(stocks),
      sums_(groups + 1),
      sizes_(groups + 1),
      column_(stocks),
      design_(stocks * exposures),
      gram_(exposures * exposures),
      length_(exposures),
      slope_(exposures),
      order_(exposures) {}

Residuals::Fit Residuals::take(double* values, int64_t count, const int32_t* stock,
                               const ExposureDate& exposures) {
  const int64_t others = static_cast<int64_t>(sums_.size()) - 1;
  for (int64_t i = 0; i < count; ++i) {
    const int32_t group = exposures.groups == nullptr ? -1 : exposures.groups[stock[i]];
    group_[i] = group < 0 ? others : group;
  }
  const double total = centre(values, count);
  Fit fit{0, 0, std::count_if(sizes_.begin(), sizes_.end(), [](int64_t n) { return n > 0; })};
  used_ = 0;
  for (int64_t k = 0; k < exposures_; ++k) {
    double sum = 0, squares = 0;
    int64_t missing = 0;
    for (int64_t i = 0; i < count; ++i) {
      const double value = exposures.values[exposures.slots->slot(stock[i]) * exposures_ + k];
      column_[i] = value;
      if (value != value) {
        ++missing;
      } else {
        sum += value;
        squares += value * value;
      }
    }
    if (missing > 0) {
      const double mean = missing == count ? 0 : sum / static_cast<double>(count - missing);
      for (int64_t i = 0; i < count; ++i)
        if (column_[i] != column_[i]) column_[i] = mean;
      fit.filled += missing;
    }
    if (!(centre(column_.data(), count) > squares * kConstant)) continue;
    for (int64_t i = 0; i < count; ++i) design_[i * exposures_ + used_] = column_[i];
    ++used_;
  }
  std::fill_n(gram_.begin(), used_ * used_, 0);
  for (int64_t i = 0; i < count; ++i) {
    const double* row = design_.data() + i * exposures_;
    for (int64_t a = 0; a < used_; ++a)
      for (int64_t b = 0; b <= a; ++b) gram_[a * used_ + b] += row[a] * row[b];
  }
  fit.rank = factorise();
  project(values, count, fit.rank);
  double left = 0;
  for (int64_t i = 0; i < count; ++i) left += values[i] * values[i];
  if (!(left > total * kExplained)) std::fill_n(values, count, 0);
  return fit;
}

// Takes the mean of each group off; returns the sum of squares that is left.
double Residuals::centre(double* values, int64_t count) {
  std::fill(sums_.begin(), sums_.end(), 0);
  std::fill(sizes_.begin(), sizes_.end(), 0);
  bool is_constant = true;
  for (int64_t i = 0; i < count; ++i) {
    sums_[group_[i]] += values[i];
    ++sizes_[group_[i]];
    is_constant &= values[i] == values[0];
  }
  // A mean of equal numbers need not equal them.
  if (is_constant) {
    std::fill_n(values, count, 0);
    return 0;
  }
  for (size_t g = 0; g < sums_.size(); ++g)
    sums_[g] /= static_cast<double>(std::max<int64_t>(1, sizes_[g]));
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) {
    values[i] -= sums_[group_[i]];
    squares += values[i] * values[i];
  }
  return squares;
}

// Cholesky factor of the correlations in the lower half of the Gram matrix, in place, largest pivot
// first: entry (order[a], order[b]) for b <= a. Ends where a column is a combination of those before.
int64_t Residuals::factorise() {
  const int64_t size = used_;
  const auto entry = [&](int64_t a, int64_t b) -> double& {
    return gram_[std::max(a, b) * size + std::min(a, b)];
  };
  for (int64_t a = 0; a < size; ++a) length_[a] = std::sqrt(entry(a, a));
  for (int64_t a = 0; a < size; ++a)
    for (int64_t b = 0; b <= a; ++b) entry(a, b) /= length_[a] * length_[b];
  std::iota(order_.begin(), order_.begin() + size, 0);
  for (int64_t a = 0; a < size; ++a) {
    int64_t best = a;
    for (int64_t b = a + 1; b < size; ++b)
      if (entry(order_[b], order_[b]) > entry(order_[best], order_[best])) best = b;
    std::swap(order_[a], order_[best]);
    const int64_t p = order_[a];
    if (!(entry(p, p) > kDependent)) return a;
    const double pivot = entry(p, p) = std::sqrt(entry(p, p));
    for (int64_t b = a + 1; b < size; ++b) entry(order_[b], p) /= pivot;
    for (int64_t b = a + 1; b < size; ++b)
      for (int64_t c = a + 1; c <= b; ++c)
        entry(order_[b], order_[c]) -= entry(order_[b], p) * entry(order_[c], p);
  }
  return size;
}

// Takes the projection on the columns off, and once more what rounding left of it.
void Residuals::project(double* values, int64_t count, int64_t rank) {
  const auto factor = [&](int64_t a, int64_t b) {
    const int64_t row = order_[a], column = order_[b];
    return gram_[std::max(row, column) * used_ + std::min(row, column)];
  };
  std::vector<double> products(used_), steps(used_);
  for (int pass = 0; pass < 2; ++pass) {
    std::fill(products.begin(), products.end(), 0);
    std::fill(steps.begin(), steps.end(), 0);
    for (int64_t i = 0; i < count; ++i) {
      const double* row = design_.data() + i * exposures_;
      for (int64_t a = 0; a < used_; ++a) products[a] += row[a] * values[i];
    }
    for (int64_t a = 0; a < rank; ++a) {
      double sum = products[order_[a]] / length_[order_[a]];
      for (int64_t b = 0; b < a; ++b) sum -= factor(a, b) * slope_[b];
      slope_[a] = sum / factor(a, a);
    }
    for (int64_t a = rank - 1; a >= 0; --a) {
      for (int64_t b = a + 1; b < rank; ++b) slope_[a] -= factor(b, a) * slope_[b];
      slope_[a] /= factor(a, a);
      steps[order_[a]] = slope_[a] / length_[order_[a]];
    }
    for (int64_t i = 0; i < count; ++i) {
      const double* row = design_.data() + i * exposures_;
      double fitted = 0;
      for (int64_t a = 0; a < used_; ++a) fitted += steps[a] * row[a];
      values[i] -= fitted;
    }
  }
}

}  // namespace astgnn::ops
