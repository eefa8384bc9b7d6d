// Rows of a long table, a block at a time, and their way onto the grid of dates x stocks: cell
// t * stocks + n. A column is let go of once it lies on the grid, so that no two copies of all
// values are there at any time.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "table/memory.h"

namespace astgnn::table {

enum class Width : uint8_t { kSingle = 4, kDouble = 8 };

// A column of a block. `pages` is empty where the memory is JavaScript's.
struct BlockColumn {
  void* data = nullptr;
  Pages pages;

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

struct Block {
  int64_t count = 0;
  BlockColumn dates;    // int32: codes of dates; cells once place has run
  BlockColumn tickers;  // int32: codes of tickers
  BlockColumn groups;   // int32: codes of groups, -1 for none; null where there is no group column
  BlockColumn universe, tradable;  // uint8
  std::vector<BlockColumn> values;
};

constexpr int64_t kNoCell = std::numeric_limits<int64_t>::max();

struct Placed {
  int64_t duplicates = 0;
  int64_t first_duplicate = kNoCell;
};

// Finds each row's cell and marks it. Codes of dates become cells in place.
void place(Block& block, const int32_t* date_index, const int32_t* ticker_index, int64_t stocks,
           uint8_t* present, Placed& placed);
// Column k onto `grid`. Returns the first cell with an infinite value, or kNoCell.
int64_t scatter(const Block& block, size_t k, Width width, void* grid);
// NaN where there is no row, in several grids.
void fill_absent(const std::vector<void*>& grids, const std::vector<Width>& widths,
                 const uint8_t* present, int64_t cells);
// `codes`: of each group; cells without one are left as they are.
void scatter_groups(const Block& block, const int32_t* codes, int32_t* grid);
void scatter_flags(const Block& block, BlockColumn Block::* flags, uint8_t* grid);

class Rows {
 public:
  explicit Rows(std::vector<Width> widths) : widths(std::move(widths)) {}

  Placed place(const int32_t* date_index, const int32_t* ticker_index, int64_t stocks,
               uint8_t* present, int64_t cells);
  // Column k onto `grid`, all of it; lets go of the rows' values.
  int64_t lay_out(size_t k, void* grid, const uint8_t* present, int64_t cells);
  // The first row of a cell, from 1.
  int64_t row_of(int64_t cell) const;

  const std::vector<Width> widths;
  std::vector<Block> blocks;
};

}  // namespace astgnn::table
