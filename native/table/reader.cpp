#include "table/reader.h"

#include <algorithm>
#include <stdexcept>

namespace astgnn::table {

namespace {

// Bytes of the rows that are put onto the grid at once: few enough for the processor's cache, so
// many that rows of neighbouring stocks fill the cells of a date together.
constexpr int64_t kAtOnce = 1 << 21;
// Rows of the first block that waits and of the largest: each is twice the one before.
constexpr int64_t kFirstBlock = 1 << 12;
constexpr int64_t kBlock = 1 << 17;

template <class T, class Codes>
bool encode(const Vector& column, int64_t count, Codes& codes, int32_t* out) {
  const auto* values = static_cast<const T*>(column.data);
  if (column.validity == nullptr) {
    for (int64_t i = 0; i < count; ++i) out[i] = codes.code(values[i]);
    return true;
  }
  bool is_complete = true;
  for (int64_t i = 0; i < count; ++i) {
    const bool is_there = column.is_valid(i);
    is_complete &= is_there;
    out[i] = is_there ? codes.code(values[i]) : -1;
  }
  return is_complete;
}

template <class T>
void copy_numbers(const Vector& column, int64_t count, T* out) {
  std::copy_n(static_cast<const T*>(column.data), count, out);
  if (column.validity == nullptr) return;
  for (int64_t i = 0; i < count; ++i)
    if (!column.is_valid(i)) out[i] = std::numeric_limits<T>::quiet_NaN();
}

bool copy_flags(const Vector& column, int64_t count, uint8_t* out) {
  std::copy_n(static_cast<const uint8_t*>(column.data), count, out);
  return std::find(out, out + count, kBadFlag) != out + count;
}

BlockColumn owned(bool is_there, size_t bytes) {
  BlockColumn column;
  if (!is_there) return column;
  column.pages = Pages(bytes);
  column.data = column.pages.data();
  return column;
}

}  // namespace

void Grid::clear() const {
  for (uint8_t* flags : {present, universe, tradable})
    if (flags != nullptr) std::fill_n(flags, cells, uint8_t{0});
  if (groups != nullptr) std::fill_n(groups, cells, -1);
}

Reader::Reader(ChunkLayout layout, Rest rest)
    : layout(std::move(layout)),
      rows(this->layout.numbers),
      bad_numbers(rows.widths.size()),
      rest_(rest) {
  if (this->layout.date == ChunkLayout::Date::kText) keys.dates.emplace<TextCodes>();
}

Reader::Reader(ChunkLayout layout, Keys keys, Grid grid)
    : layout(std::move(layout)),
      rows(this->layout.numbers),
      keys(std::move(keys)),
      first_infinite(rows.widths.size(), kNoCell),
      bad_numbers(rows.widths.size()),
      rest_(Rest::kForgotten),
      grid_(std::move(grid)) {
  for (size_t k = 0; k < rows.widths.size(); ++k)
    use_large_pages(grid_->values[k],
                    static_cast<size_t>(rows.widths[k]) * static_cast<size_t>(grid_->cells));
}

void Reader::add_block(int64_t room) {
  const auto length = static_cast<size_t>(room);
  Block block;
  block.dates = owned(true, 4 * length);
  block.tickers = owned(true, 4 * length);
  block.groups = owned(layout.groups, 4 * length);
  block.universe = owned(layout.universe, length);
  block.tradable = owned(layout.tradable, length);
  for (const Width width : rows.widths)
    block.values.push_back(owned(true, static_cast<size_t>(width) * length));
  rows.blocks.push_back(std::move(block));
  room_ = room;
}

// The block in which there is room for so many rows.
Block& Reader::open_block(int64_t added) {
  const bool is_full = rows.blocks.empty() || rows.blocks.back().count + added > room_;
  if (is_full && rest_ == Rest::kForgotten) {
    empty_block();
    if (added > room_) {
      int64_t row_bytes = 8;
      for (const Width width : rows.widths) row_bytes += static_cast<int64_t>(width);
      rows.blocks.clear();
      add_block(std::max({added, kFirstBlock, kAtOnce / row_bytes}));
    }
  } else if (is_full) {
    add_block(std::max(added, std::min(kBlock, std::max(kFirstBlock, 2 * room_))));
  }
  return rows.blocks.back();
}

// Puts the rows of the block onto the grid, if there is one.
void Reader::empty_block() {
  if (rows.blocks.empty() || rows.blocks.back().count == 0) return;
  Block& block = rows.blocks.back();
  if (grid_) {
    const auto* dates = block.dates.as<const int32_t>();
    const auto* tickers = block.tickers.as<const int32_t>();
    const auto* groups = block.groups.as<const int32_t>();
    // Codes that the keys did not have; -1 is the largest of all.
    uint32_t date = 0, ticker = 0;
    int32_t group = -1;
    for (int64_t i = 0; i < block.count; ++i) {
      date = std::max(date, static_cast<uint32_t>(dates[i]));
      ticker = std::max(ticker, static_cast<uint32_t>(tickers[i]));
    }
    for (int64_t i = 0; groups != nullptr && i < block.count; ++i) group = std::max(group, groups[i]);
    if (date >= grid_->date_count || ticker >= grid_->ticker_count || group >= grid_->group_count)
      throw std::runtime_error("The rows changed while they were read");
    place(block, grid_->date_index, grid_->ticker_index, grid_->stocks, grid_->present, placed);
    for (size_t k = 0; k < rows.widths.size(); ++k)
      first_infinite[k] =
          std::min(first_infinite[k], scatter(block, k, rows.widths[k], grid_->values[k]));
    if (layout.groups) scatter_groups(block, grid_->group_codes, grid_->groups);
    if (layout.universe) scatter_flags(block, &Block::universe, grid_->universe);
    if (layout.tradable) scatter_flags(block, &Block::tradable, grid_->tradable);
  }
  block.count = 0;
}

void Reader::finish() {
  if (count == 0) grid_->clear();
  empty_block();
  rows.blocks.clear();
  fill_absent(grid_->values, rows.widths, grid_->present, grid_->cells);
}

void Reader::append(const Vector* columns, int64_t added) {
  if (grid_ && count == 0) grid_->clear();
  Block& block = open_block(added);
  const int64_t at = block.count;
  int32_t* days = block.dates.as<int32_t>() + at;
  using Date = ChunkLayout::Date;
  const bool has_dates =
      layout.date == Date::kText
          ? encode<Text>(*columns, added, std::get<TextCodes>(keys.dates), days)
      : layout.date == Date::kDay
          ? encode<int32_t>(*columns, added, std::get<NumberCodes>(keys.dates), days)
          : encode<double>(*columns, added, std::get<NumberCodes>(keys.dates), days);
  lacks_date |= !has_dates;
  ++columns;
  lacks_ticker |= !encode<Text>(*columns++, added, keys.tickers, block.tickers.as<int32_t>() + at);
  if (layout.late) {
    const auto* flags = static_cast<const uint8_t*>(columns++->data);
    late += std::count(flags, flags + added, 1);
  }
  if (layout.groups) encode<Text>(*columns++, added, keys.groups, block.groups.as<int32_t>() + at);
  if (layout.universe)
    bad_universe |= copy_flags(*columns++, added, block.universe.as<uint8_t>() + at);
  if (layout.tradable)
    bad_tradable |= copy_flags(*columns++, added, block.tradable.as<uint8_t>() + at);
  for (size_t k = 0; k < rows.widths.size(); ++k, ++columns) {
    if (rows.widths[k] == Width::kSingle) {
      copy_numbers(*columns, added, block.values[k].as<float>() + at);
      continue;
    }
    double* values = block.values[k].as<double>() + at;
    copy_numbers(*columns, added, values);
    constexpr double kNoNumber = -std::numeric_limits<double>::infinity();
    if (layout.is_text[k] && std::find(values, values + added, kNoNumber) != values + added)
      bad_numbers[k] = true;
  }
  block.count += added;
  count += added;
}

}  // namespace astgnn::table
