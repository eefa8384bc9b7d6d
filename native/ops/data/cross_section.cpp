#include "ops/data/cross_section.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "ops/data/natural_log.h"

namespace astgnn::ops {
namespace {

constexpr int kDigitBits = 11;
constexpr uint32_t kBuckets = 1 << kDigitBits;
// Fewer values than this are sorted by comparison.
constexpr int64_t kFewValues = 192;

// Upper 32 bits of a number as an unsigned integer in the same order; -0 as 0.
inline uint32_t order_key(double value) {
  const auto high = static_cast<uint32_t>(std::bit_cast<uint64_t>(value + 0.0) >> 32);
  return (high & 0x80000000) != 0 ? ~high : high | 0x80000000;
}

// One pass of a radix sort; counts: how many items have each digit.
void scatter(const uint64_t* from, uint64_t* to, int64_t count, uint32_t* counts, int shift) {
  uint32_t before = 0;
  for (uint32_t digit = 0; digit < kBuckets; ++digit) {
    const uint32_t size = counts[digit];
    counts[digit] = before;
    before += size;
  }
  for (int64_t i = 0; i < count; ++i) to[counts[from[i] >> shift & (kBuckets - 1)]++] = from[i];
}

// Numbers in ascending order, -0 before 0, NaN last.
bool is_below(double a, double b) {
  return a < b || (a == b && std::signbit(a) && !std::signbit(b)) || (a == a && b != b);
}

constexpr double kCentre[][8] = {
    {3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
     45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727},
    {1, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077, 21213.794301586595867,
     39307.89580009271061, 28729.085735721942674, 5226.495278852545925}};
constexpr double kMiddle[][8] = {
    {1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504,
     1.27045825245236838258, 0.24178072517745061177, 0.0227238449892691845833,
     7.7454501427834140764e-4},
    {1, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455,
     0.14810397642748007459, 0.0151986665636164571966, 5.475938084995344946e-4,
     1.05075007164441684324e-9}};
constexpr double kFar[][8] = {
    {6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 0.29656057182650489123,
     0.026532189526576123093, 0.0012426609473880784386, 2.71155556874348757815e-5,
     2.01033439929228813265e-7},
    {1, 0.59983220655588793769, 0.13692988092273580531, 0.0148753612908506148508,
     7.868691311456132591e-4, 1.8463183175100546818e-5, 1.4215117583164458887e-7,
     2.04426310338993978564e-15}};

double ratio(const double (&coefficients)[2][8], double x) {
  double sums[2];
  for (int i = 0; i < 2; ++i) {
    sums[i] = coefficients[i][7];
    for (int k = 6; k >= 0; --k) sums[i] = sums[i] * x + coefficients[i][k];
  }
  return sums[0] / sums[1];
}

}  // namespace

MeanAndSd mean_and_sd(const double* values, int64_t count, int64_t ddof) {
  double sum = 0;
  bool varies = false;
  for (int64_t i = 0; i < count; ++i) {
    sum += values[i];
    varies |= values[i] != values[0];
  }
  if (!varies) return {values[0], 0};
  const double mean = sum / static_cast<double>(count);
  double squares = 0;
  for (int64_t i = 0; i < count; ++i) squares += (values[i] - mean) * (values[i] - mean);
  return {mean, std::sqrt(squares / static_cast<double>(count - ddof))};
}

double clip(double value, const Bounds& bounds) {
  if (value <= bounds.low) return bounds.low;  // 0 for -0
  return value > bounds.high ? bounds.high : value;
}

double median(double* values, int64_t count) {
  double* const middle = values + count / 2;
  std::nth_element(values, middle, values + count, is_below);
  if (count % 2 == 1) return *middle;
  return (*std::max_element(values, middle, is_below) + *middle) / 2;
}

double normal_quantile(double p) {
  const double q = p - 0.5;
  if (std::abs(q) <= 0.425) return q * ratio(kCentre, 0.180625 - q * q);
  const double r = std::sqrt(-natural_log(q < 0 ? p : 1 - p));
  const double tail = r <= 5 ? ratio(kMiddle, r - 1.6) : ratio(kFar, r - 5);
  return q < 0 ? -tail : tail;
}

CrossSection::CrossSection(int64_t stocks)
    : stocks_(stocks),
      members_(stocks),
      spare_(stocks),
      index_(stocks),
      twice_(stocks),
      sorted_(stocks),
      other_(stocks),
      counts_(2 * kBuckets) {}

// The members' values into members_, their stocks into index_.
int64_t CrossSection::collect(const double* values, const uint8_t* universe) {
  int64_t count = 0;
  for (int64_t n = 0; n < stocks_; ++n) {
    members_[count] = values[n];
    index_[count] = static_cast<int32_t>(n);
    count += universe[n] == 1 && values[n] == values[n];
  }
  return count;
}

// Leaves the values' indices in ascending order in the lower halves of sorted_: a radix sort by the
// 22 bits that tell the numbers apart best, then by value where these are the same.
void CrossSection::sort(const double* values, int64_t count) {
  uint32_t lowest = UINT32_MAX, highest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t key = order_key(values[i]);
    other_[i] = key;
    lowest = std::min(lowest, key);
    highest = std::max(highest, key);
  }
  const int shift = std::max(0, static_cast<int>(std::bit_width(highest - lowest)) - 2 * kDigitBits);
  uint32_t* const lower = counts_.data();
  uint32_t* const upper = lower + kBuckets;
  std::fill(counts_.begin(), counts_.end(), 0);
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t key = (other_[i] - lowest) >> shift;
    sorted_[i] = key << 32 | i;
    ++lower[key & (kBuckets - 1)];
    ++upper[key >> kDigitBits];
  }
  if (count < kFewValues) {
    std::sort(sorted_.begin(), sorted_.begin() + count);
  } else {
    scatter(sorted_.data(), other_.data(), count, lower, 32);
    scatter(other_.data(), sorted_.data(), count, upper, 32 + kDigitBits);
  }
  const auto by_value = [values](uint64_t a, uint64_t b) {
    return values[static_cast<uint32_t>(a)] < values[static_cast<uint32_t>(b)];
  };
  for (int64_t first = 0; first + 1 < count;) {
    int64_t end = first + 1;
    while (end < count && sorted_[end] >> 32 == sorted_[first] >> 32) ++end;
    const auto run = sorted_.begin() + first, run_end = sorted_.begin() + end;
    if (!std::is_sorted(run, run_end, by_value)) std::sort(run, run_end, by_value);
    first = end;
  }
}

void CrossSection::twice_ranks(const double* values, int64_t count, int32_t* twice) {
  sort(values, count);
  for (int64_t first = 0; first < count;) {
    const double value = values[static_cast<uint32_t>(sorted_[first])];
    int64_t end = first + 1;
    while (end < count && values[static_cast<uint32_t>(sorted_[end])] == value) ++end;
    for (int64_t i = first; i < end; ++i)
      twice[static_cast<uint32_t>(sorted_[i])] = static_cast<int32_t>(first + end + 1);
    first = end;
  }
}

void CrossSection::rank(double* values, const uint8_t* universe) {
  static const double spread = std::sqrt(12.0);
  const int64_t count = collect(values, universe);
  const double n = static_cast<double>(count);
  const auto spread_out = [n](double below_and_not_above) {
    return (below_and_not_above / (2 * n) - 0.5) * spread;
  };
  if (count > 0) twice_ranks(members_.data(), count, twice_.data());
  const auto value_at = [this](uint64_t item) { return members_[static_cast<uint32_t>(item)]; };
  for (int64_t i = 0; i < stocks_; ++i) {
    const double x = values[i];
    if (universe[i] == 1 || x != x) continue;
    const auto begin = sorted_.begin(), end = begin + count;
    const auto below = std::lower_bound(
        begin, end, x, [&](uint64_t item, double other) { return value_at(item) < other; });
    const auto not_above = std::upper_bound(
        begin, end, x, [&](double other, uint64_t item) { return other < value_at(item); });
    values[i] = count == 0 ? kMissingValue
                           : spread_out(static_cast<double>((below - begin) + (not_above - begin)));
  }
  for (int64_t i = 0; i < count; ++i) values[index_[i]] = spread_out(twice_[i] - 1);
}

void CrossSection::zscore(double* values, const uint8_t* universe) {
  const int64_t count = collect(values, universe);
  const auto [mean, sd] =
      count == 0 ? MeanAndSd{kMissingValue, 1} : mean_and_sd(members_.data(), count, 0);
  for (int64_t n = 0; n < stocks_; ++n)
    if (values[n] == values[n]) values[n] = sd > 0 ? (values[n] - mean) / sd : 0;
}

void CrossSection::winsorize(double* values, const uint8_t* universe, double k) {
  const int64_t count = collect(values, universe);
  const auto bounds = mad_bounds(members_.data(), count, k);
  if (!bounds) return;
  for (int64_t n = 0; n < stocks_; ++n) values[n] = clip(values[n], *bounds);
}

std::optional<Bounds> CrossSection::mad_bounds(const double* values, int64_t count, double k) {
  if (count == 0) return std::nullopt;
  std::copy_n(values, count, spare_.data());
  const double centre = median(spare_.data(), count);
  for (int64_t i = 0; i < count; ++i) spare_[i] = std::abs(values[i] - centre);
  const double mad = median(spare_.data(), count), reach = k * 1.4826 * mad;
  if (!(mad > 0)) return std::nullopt;
  return Bounds{centre - reach, centre + reach};
}

}  // namespace astgnn::ops
