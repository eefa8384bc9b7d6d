#include "table/rows.h"

#include <algorithm>
#include <cmath>

namespace astgnn::table {

namespace {

template <class T>
int64_t scatter_values(const T* values, const int32_t* cells, int64_t count, T* grid) {
  bool any = false;
  for (int64_t i = 0; i < count; ++i) {
    grid[cells[i]] = values[i];
    any |= std::isinf(values[i]);
  }
  int64_t first = kNoCell;
  for (int64_t i = 0; any && i < count; ++i)
    if (std::isinf(values[i])) first = std::min<int64_t>(first, cells[i]);
  return first;
}

template <class T>
void fill(void* grid, const std::vector<std::pair<int64_t, int64_t>>& runs) {
  for (const auto& [from, to] : runs)
    std::fill(static_cast<T*>(grid) + from, static_cast<T*>(grid) + to,
              std::numeric_limits<T>::quiet_NaN());
}

}  // namespace

void place(Block& block, const int32_t* date_index, const int32_t* ticker_index, int64_t stocks,
           uint8_t* present, Placed& placed) {
  auto* dates = block.dates.as<int32_t>();
  const auto* tickers = block.tickers.as<const int32_t>();
  for (int64_t i = 0; i < block.count; ++i) {
    const int64_t cell = date_index[dates[i]] * stocks + ticker_index[tickers[i]];
    dates[i] = static_cast<int32_t>(cell);
    if (present[cell] == 1) {
      ++placed.duplicates;
      placed.first_duplicate = std::min(placed.first_duplicate, cell);
    }
    present[cell] = 1;
  }
}

int64_t scatter(const Block& block, size_t k, Width width, void* grid) {
  const auto* cells = block.dates.as<const int32_t>();
  const BlockColumn& values = block.values[k];
  return width == Width::kSingle
             ? scatter_values(values.as<const float>(), cells, block.count,
                              static_cast<float*>(grid))
             : scatter_values(values.as<const double>(), cells, block.count,
                              static_cast<double*>(grid));
}

void fill_absent(const std::vector<void*>& grids, const std::vector<Width>& widths,
                 const uint8_t* present, int64_t cells) {
  constexpr int64_t kAtOnce = 1 << 16;
  std::vector<std::pair<int64_t, int64_t>> runs;
  for (int64_t from = 0; from < cells; from += kAtOnce) {
    const uint8_t* const end = present + std::min(cells, from + kAtOnce);
    runs.clear();
    for (const uint8_t* cell = present + from; (cell = std::find(cell, end, 0)) != end;) {
      const uint8_t* const row = std::find(cell, end, 1);
      runs.emplace_back(cell - present, row - present);
      cell = row;
    }
    for (size_t k = 0; k < grids.size(); ++k)
      widths[k] == Width::kSingle ? fill<float>(grids[k], runs) : fill<double>(grids[k], runs);
  }
}

void scatter_groups(const Block& block, const int32_t* codes, int32_t* grid) {
  const auto* cells = block.dates.as<const int32_t>();
  const auto* groups = block.groups.as<const int32_t>();
  for (int64_t i = 0; i < block.count; ++i)
    if (groups[i] >= 0) grid[cells[i]] = codes[groups[i]];
}

void scatter_flags(const Block& block, BlockColumn Block::* flags, uint8_t* grid) {
  const auto* cells = block.dates.as<const int32_t>();
  for (int64_t i = 0; i < block.count; ++i) grid[cells[i]] = (block.*flags).as<uint8_t>()[i];
}

Placed Rows::place(const int32_t* date_index, const int32_t* ticker_index, int64_t stocks,
                   uint8_t* present, int64_t cells) {
  Placed placed;
  std::fill_n(present, cells, uint8_t{0});
  for (Block& block : blocks) {
    table::place(block, date_index, ticker_index, stocks, present, placed);
    block.tickers = {};
  }
  return placed;
}

int64_t Rows::lay_out(size_t k, void* grid, const uint8_t* present, int64_t cells) {
  use_large_pages(grid, static_cast<size_t>(widths[k]) * static_cast<size_t>(cells));
  int64_t first = kNoCell;
  for (Block& block : blocks) {
    first = std::min(first, scatter(block, k, widths[k], grid));
    block.values[k] = {};
  }
  fill_absent({grid}, {widths[k]}, present, cells);
  return first;
}

int64_t Rows::row_of(int64_t cell) const {
  int64_t before = 0;
  for (const Block& block : blocks) {
    const auto* cells = block.dates.as<const int32_t>();
    const auto* found = std::find(cells, cells + block.count, cell);
    if (found != cells + block.count) return before + (found - cells) + 1;
    before += block.count;
  }
  return before;
}

}  // namespace astgnn::table
