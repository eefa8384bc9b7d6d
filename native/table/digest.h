// What proves that two panels hold the same data: SHA-256 over the rows of a grid [dates * stocks].
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "table/sha256.h"

namespace astgnn::table {

// A column of the grid, in the precision of its source; NaN is missing.
struct GridColumn {
  float* single = nullptr;
  double* twice = nullptr;
};

// A column of codes or flags of the grid.
struct GridCodes {
  const uint8_t* flags = nullptr;
  const int32_t* codes = nullptr;
};

// What is digested: of each date the stocks that have a row, and every column at these rows.
struct GridParts {
  int64_t stocks = 0;
  const uint8_t* present = nullptr;  // 1 where there is a row, else 0
  std::vector<GridColumn> columns;
  std::vector<GridCodes> codes;

  size_t count() const { return 1 + columns.size() + codes.size(); }
};

constexpr size_t kDigestBytes = 32;

// How numbers are written.
enum class Numbers {
  kDouble,    // float64
  // A byte 4 and float32 where all numbers of the date are exact in it, else 8 and float64.
  kShortest,
};

// The rows of one date after the other as bytes: number of rows and their stocks (int32), a column
// (one NaN, no negative zero), a column of codes (int32).
class DateRows {
 public:
  DateRows(const GridParts& parts, Numbers numbers) : parts_(parts), numbers_(numbers) {}

  // Calls use(data, bytes) for each part of date t, in the order of GridParts.
  template <class Use>
  void each(int64_t t, Use&& use) {
    room_.resize(static_cast<size_t>(8 + 8 * parts_.stocks));
    use(room_.data(), put_stocks(t));
    for (const GridColumn& column : parts_.columns) use(room_.data(), put_column(column, t));
    for (const GridCodes& column : parts_.codes) use(room_.data(), put_codes(column, t));
  }

 private:
  size_t put_stocks(int64_t t);
  size_t put_column(const GridColumn& column, int64_t t);
  size_t put_codes(const GridCodes& column, int64_t t);

  const GridParts& parts_;
  const Numbers numbers_;
  std::vector<uint8_t> room_;
};

// SHA-256 of each part of each date: [parts, dates, 32].
class DateDigests {
 public:
  explicit DateDigests(const GridParts& parts) : rows_(parts, Numbers::kShortest) {}

  void write(int64_t t, int64_t dates, uint8_t* digests);

 private:
  DateRows rows_;
  std::optional<Sha256> hash_;
};

// One SHA-256 over `head`, all parts of date 0, of date 1 ... and `tail`: the fingerprint as
// version 0.1.0 has it.
void digest_whole(const GridParts& parts, int64_t dates, const std::vector<uint8_t>& head,
                  const std::vector<uint8_t>& tail, uint8_t* digest);

}  // namespace astgnn::table
