// What is looked at on every cell of a panel's grid [dates * stocks]: impossible prices, digests,
// which cells hold a value, dates that lack stocks, moves of prices.
#pragma once

#include <cstdint>
#include <vector>

#include "table/digest.h"

namespace astgnn::table {

// Values of a column that became missing.
struct Replaced {
  std::vector<int32_t> cells;
  std::vector<double> values;
};

struct PriceCounts {
  int64_t zero = 0, negative = 0, positive = 0;
};

// One pass over the dates, in order.
class GridCheck {
 public:
  GridCheck() : date_digests_(parts) {}
  GridCheck(const GridCheck&) = delete;

  GridParts parts;
  std::vector<int64_t> prices;   // columns whose values of zero or less become missing
  int64_t high = -1, low = -1;   // columns that both become missing where high < low, -1: none
  std::vector<int64_t> filling;  // columns of which one has to have a value
  uint8_t* filled = nullptr;     // 1 where it does, after cleaning; null where nobody asks
  uint8_t* digests = nullptr;    // of what is left after cleaning: [parts, dates, 32]
  int64_t dates = 0;

  // Cleans dates from .. to - 1 and digests them.
  void step(int64_t from, int64_t to);

  std::vector<PriceCounts> counts;  // of each of `prices`
  std::vector<Replaced> replaced;   // of each of `prices`
  int64_t crossed = 0;              // cells with high < low
  int64_t kept = 0;                 // cells that are filled

 private:
  void clean(int64_t t);

  DateDigests date_digests_;
};

// Per date from `first` on: how many of the stocks that are there within `neighbours` dates before
// and after are there, and how many are not. On the newest date those before count alone.
void count_absent(const uint8_t* filled, int64_t dates, int64_t stocks, int64_t first,
                  int64_t neighbours, int32_t* there, int32_t* absent);

// Pairs of cells: a close from date `first` on that is beyond `low` to `high` times the last one
// before it, and the cell of that. Looks at dates from `from` on.
std::vector<int32_t> find_moves(GridColumn close, int64_t dates, int64_t stocks, int64_t from,
                                int64_t first, double low, double high);

// Returns since the date before [dates * stocks], NaN where one of the two closes is missing or a
// break of `segments`, which may be null, lies between them.
void returns_of(GridColumn close, const int32_t* segments, int64_t dates, int64_t stocks,
                float* out);

}  // namespace astgnn::table
