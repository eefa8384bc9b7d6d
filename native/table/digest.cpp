#include "table/digest.h"

#include <cstring>
#include <limits>

namespace astgnn::table {

namespace {

template <class T>
void put(uint8_t* out, T value) {
  std::memcpy(out, &value, sizeof value);
}

// Every cell is written and the next one over it, unless it was that of a row: no branch.
template <class T, class Value>
size_t put_rows(const uint8_t* is_row, int64_t stocks, uint8_t* out, Value&& value) {
  uint8_t* next = out;
  for (int64_t n = 0; n < stocks; ++n) {
    put<T>(next, value(n));
    next += sizeof(T) * is_row[n];
  }
  return static_cast<size_t>(next - out);
}

template <class Written, class T>
size_t put_numbers(const T* values, const uint8_t* is_row, int64_t stocks, uint8_t* out) {
  constexpr Written kMissing = std::numeric_limits<Written>::quiet_NaN();
  return put_rows<Written>(is_row, stocks, out, [&](int64_t n) {
    const auto value = static_cast<Written>(values[n]);
    return value == value ? value + Written{0} : kMissing;
  });
}

bool is_single(const float*, const uint8_t*, int64_t) { return true; }

bool is_single(const double* values, const uint8_t* is_row, int64_t stocks) {
  for (int64_t n = 0; n < stocks; ++n)
    if (is_row[n] && values[n] == values[n] && static_cast<float>(values[n]) != values[n])
      return false;
  return true;
}

template <class T>
size_t put_shortest(const T* values, const uint8_t* is_row, int64_t stocks, uint8_t* out) {
  const bool is_short = is_single(values, is_row, stocks);
  *out++ = is_short ? sizeof(float) : sizeof(double);
  return 1 + (is_short ? put_numbers<float>(values, is_row, stocks, out)
                       : put_numbers<double>(values, is_row, stocks, out));
}

}  // namespace

size_t DateRows::put_stocks(int64_t t) {
  const size_t bytes =
      put_rows<int32_t>(parts_.present + t * parts_.stocks, parts_.stocks, room_.data() + 4,
                        [](int64_t n) { return static_cast<int32_t>(n); });
  put(room_.data(), static_cast<int32_t>(bytes / 4));
  return 4 + bytes;
}

size_t DateRows::put_column(const GridColumn& column, int64_t t) {
  const int64_t first = t * parts_.stocks;
  const uint8_t* is_row = parts_.present + first;
  const auto put = [&](const auto* values) {
    return numbers_ == Numbers::kShortest
               ? put_shortest(values + first, is_row, parts_.stocks, room_.data())
               : put_numbers<double>(values + first, is_row, parts_.stocks, room_.data());
  };
  return column.single != nullptr ? put(column.single) : put(column.twice);
}

size_t DateRows::put_codes(const GridCodes& column, int64_t t) {
  const int64_t first = t * parts_.stocks;
  return put_rows<int32_t>(parts_.present + first, parts_.stocks, room_.data(), [&](int64_t n) {
    return column.flags != nullptr ? int32_t{column.flags[first + n]} : column.codes[first + n];
  });
}

void DateDigests::write(int64_t t, int64_t dates, uint8_t* digests) {
  if (!hash_) hash_.emplace();
  int64_t part = 0;
  rows_.each(t, [&](const uint8_t* data, size_t bytes) {
    hash_->update(data, bytes);
    hash_->finish(digests + (dates * part++ + t) * static_cast<int64_t>(kDigestBytes));
  });
}

void digest_whole(const GridParts& parts, int64_t dates, const std::vector<uint8_t>& head,
                  const std::vector<uint8_t>& tail, uint8_t* digest) {
  Sha256 hash;
  DateRows rows(parts, Numbers::kDouble);
  hash.update(head.data(), head.size());
  for (int64_t t = 0; t < dates; ++t)
    rows.each(t, [&](const uint8_t* data, size_t bytes) { hash.update(data, bytes); });
  hash.update(tail.data(), tail.size());
  hash.finish(digest);
}

}  // namespace astgnn::table
