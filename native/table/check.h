// What is looked at on every cell of a panel's grid [dates * stocks]: the bytes of its fingerprint,
// impossible prices, which cells hold a value, dates that lack stocks, moves of prices.
#pragma once

#include <cstdint>
#include <vector>

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

struct PriceCounts {
  int64_t zero = 0, negative = 0, positive = 0;
};

// One pass over the dates, in order.
class GridCheck {
 public:
  int64_t stocks = 0;
  const uint8_t* present = nullptr;  // 1 where there is a row, else 0
  std::vector<GridColumn> columns;  // in the order of the fingerprint
  std::vector<GridCodes> codes;
  std::vector<int64_t> prices;   // columns whose values of zero or less become missing
  int64_t high = -1, low = -1;   // columns that both become missing where high < low, -1: none
  std::vector<int64_t> filling;  // columns of which one has to have a value
  uint8_t* filled = nullptr;     // 1 where it does, after cleaning

  // Bytes that a date may take.
  int64_t date_bytes() const;
  // Writes dates from .. to - 1 as the fingerprint has them and cleans them. Returns the bytes:
  // of each date the number of rows and their stocks (int32), every column (float64, one NaN, no
  // negative zero) and every column of codes (int32) at these rows.
  int64_t step(int64_t from, int64_t to, uint8_t* out);

  std::vector<PriceCounts> counts;  // of each of `prices`
  int64_t crossed = 0;              // cells with high < low
  int64_t kept = 0;                 // cells that are filled
};

// Per date from `first` on: how many of the stocks that are there within `neighbours` dates before
// and after are there, and how many are not. On the newest date those before count alone.
void count_absent(const uint8_t* filled, int64_t dates, int64_t stocks, int64_t first,
                  int64_t neighbours, int32_t* there, int32_t* absent);

// Pairs of cells: a close from date `first` on that is beyond `low` to `high` times the last one
// before it, and the cell of that. Looks at dates from `from` on.
std::vector<int32_t> find_moves(GridColumn close, int64_t dates, int64_t stocks, int64_t from,
                                int64_t first, double low, double high);

}  // namespace astgnn::table
