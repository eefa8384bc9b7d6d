// The vectors of DuckDB's chunks as rows: keys as codes, numbers with NaN where missing.
#pragma once

#include <optional>
#include <variant>

#include "table/key_codes.h"
#include "table/rows.h"

namespace astgnn::table {

// Which columns a chunk has, in this order: date, ticker, late, group, universe, tradable, numbers.
struct ChunkLayout {
  enum class Date { kDay, kNumber, kText } date;  // DATE, DOUBLE, VARCHAR
  bool late, groups, universe, tradable;
  std::vector<Width> numbers;
  std::vector<bool> is_text;  // numbers whose source holds text: -Infinity stands for no number

  size_t columns() const { return 2 + late + groups + universe + tradable + numbers.size(); }
};

// A column of a chunk: valid only while the chunk is held.
struct Vector {
  const void* data;
  const uint64_t* validity;  // one bit a row, 1 where there is a value; null where all rows have one

  bool is_valid(int64_t row) const {
    return validity == nullptr || (validity[row >> 6] >> (row & 63) & 1) != 0;
  }
};

// Stands for a text that is neither yes nor no.
constexpr uint8_t kBadFlag = 2;

// The codes of a table's keys.
struct Keys {
  std::variant<NumberCodes, TextCodes> dates;
  TextCodes tickers, groups;
};

// A grid whose dates and tickers are known, for rows that go there as they are read.
struct Grid {
  const int32_t *date_index, *ticker_index, *group_codes;
  int64_t date_count, ticker_count, group_count;  // codes that are known
  int64_t stocks, cells;
  uint8_t* present;
  std::vector<void*> values;
  uint8_t *universe, *tradable;
  int32_t* groups;

  // No rows, flags and groups. Values are written all over in any case.
  void clear() const;
};

// What becomes of rows: they wait to be laid out, are forgotten but for their keys, or go straight
// to a grid, which takes a second scan and the memory of none of them.
class Reader {
 public:
  enum class Rest { kWaits, kForgotten };

  Reader(ChunkLayout layout, Rest rest);
  // `keys`: those of another reader of the same table.
  Reader(ChunkLayout layout, Keys keys, Grid grid);

  void append(const Vector* columns, int64_t count);
  // With a grid, after the last rows.
  void finish();

  const ChunkLayout layout;
  Rows rows;
  Keys keys;
  int64_t count = 0;
  Placed placed;                       // with a grid
  std::vector<int64_t> first_infinite;  // with a grid, of each column
  int64_t late = 0;
  bool lacks_date = false, lacks_ticker = false;
  // Columns with a cell that is none of what they hold.
  bool bad_universe = false, bad_tradable = false;
  std::vector<bool> bad_numbers;

 private:
  Block& open_block(int64_t count);
  void add_block(int64_t room);
  void empty_block();

  const Rest rest_;
  std::optional<Grid> grid_;
  int64_t room_ = 0;  // rows that the last block can hold
};

}  // namespace astgnn::table
