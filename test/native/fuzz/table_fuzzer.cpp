// Chunks of a table, on both of their ways onto the grid: as rows that wait, and straight there in a
// second scan. Both grids are the same and are what a map of the rows says.
#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <numeric>
#include <stdexcept>

#include "input.h"
#include "table/check.h"
#include "table/reader.h"

// Node's OpenSSL, which the table's digests come from, is not here: what stands in for it reads every
// byte and writes 32.
extern "C" {
#define SHARED __attribute__((visibility("default"), used))
SHARED void* EVP_MD_CTX_new() { return new uint8_t(0); }
SHARED void EVP_MD_CTX_free(void* context) { delete static_cast<uint8_t*>(context); }
SHARED const void* EVP_sha256() { return nullptr; }
SHARED int EVP_DigestInit_ex(void*, const void*, void*) { return 1; }
SHARED int EVP_DigestUpdate(void* context, const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < size; ++i) *static_cast<uint8_t*>(context) ^= bytes[i];
  return 1;
}
SHARED int EVP_DigestFinal_ex(void* context, unsigned char* digest, unsigned int*) {
  std::memset(digest, *static_cast<uint8_t*>(context), 32);
  return 1;
}
}

namespace {

using namespace astgnn::table;
using fuzz::require;

struct Chunk {
  int64_t count = 0;
  std::vector<Vector> columns;
  // What the columns point to.
  std::vector<std::vector<uint64_t>> words;
  std::vector<std::unique_ptr<std::string>> texts;

  template <class T>
  T* column(bool has_missing, fuzz::Input& input) {
    words.emplace_back((static_cast<size_t>(count) * sizeof(T) + 7) / 8 + 1, 0);
    auto* data = reinterpret_cast<T*>(words.back().data());
    uint64_t* validity = nullptr;
    if (has_missing) {
      words.emplace_back(static_cast<size_t>(count) / 64 + 1, 0);
      validity = words.back().data();
      for (int64_t i = 0; i < count; ++i)
        if (input.byte() % 8 != 0) validity[i / 64] |= uint64_t{1} << (i % 64);
    }
    columns.push_back({data, validity});
    return data;
  }
  void write(Text& text, const std::string& content) {
    text.length = static_cast<uint32_t>(content.size());
    std::memset(text.prefix, 0, 12);
    if (content.size() <= 12) {
      std::memcpy(text.prefix, content.data(), content.size());
    } else {
      texts.push_back(std::make_unique<std::string>(content));
      std::memcpy(text.prefix, content.data(), 4);
      text.elsewhere = texts.back()->data();
    }
  }
};

std::string name(fuzz::Input& input) {
  const auto kind = input.byte();
  std::string text(kind % 16 < 12 ? kind % 3 : 11 + kind % 4, static_cast<char>('a' + kind / 64));
  if (kind % 16 == 15) text += '\0';
  return text;
}

Chunk read_chunk(const ChunkLayout& layout, fuzz::Input& input) {
  Chunk chunk;
  chunk.words.reserve(64);
  chunk.count = 1 + input.below(70);
  using Date = ChunkLayout::Date;
  if (layout.date == Date::kText) {
    auto* texts = chunk.column<Text>(input.flag(), input);
    for (int64_t i = 0; i < chunk.count; ++i) chunk.write(texts[i], name(input));
  } else if (layout.date == Date::kDay) {
    auto* days = chunk.column<int32_t>(input.flag(), input);
    for (int64_t i = 0; i < chunk.count; ++i) days[i] = input.index(20);
  } else {
    auto* numbers = chunk.column<double>(input.flag(), input);
    for (int64_t i = 0; i < chunk.count; ++i) numbers[i] = input.number();
  }
  auto* tickers = chunk.column<Text>(input.flag(), input);
  for (int64_t i = 0; i < chunk.count; ++i) chunk.write(tickers[i], name(input));
  const auto flags = [&] {
    auto* values = chunk.column<uint8_t>(false, input);
    for (int64_t i = 0; i < chunk.count; ++i) values[i] = input.byte() % 3;
  };
  if (layout.late) flags();
  if (layout.groups) {
    auto* groups = chunk.column<Text>(input.flag(), input);
    for (int64_t i = 0; i < chunk.count; ++i) chunk.write(groups[i], name(input));
  }
  if (layout.universe) flags();
  if (layout.tradable) flags();
  for (const Width width : layout.numbers) {
    if (width == Width::kSingle) {
      auto* values = chunk.column<float>(input.flag(), input);
      for (int64_t i = 0; i < chunk.count; ++i)
        values[i] = static_cast<float>(std::clamp(input.number(), -3e38, 3e38));
    } else {
      auto* values = chunk.column<double>(input.flag(), input);
      for (int64_t i = 0; i < chunk.count; ++i) values[i] = input.number();
    }
  }
  return chunk;
}

size_t date_count(const Keys& keys) {
  const auto* numbers = std::get_if<NumberCodes>(&keys.dates);
  return numbers != nullptr ? numbers->numbers().size()
                            : std::get<TextCodes>(keys.dates).texts().size();
}

struct Cells {
  explicit Cells(const std::vector<Width>& widths, size_t cells)
      : present(cells), universe(cells), tradable(cells), groups(cells) {
    for (const Width width : widths) values.emplace_back(cells * static_cast<size_t>(width));
  }
  std::vector<uint8_t> present, universe, tradable;
  std::vector<int32_t> groups;
  std::vector<std::vector<uint8_t>> values;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  ChunkLayout layout;
  layout.date = static_cast<ChunkLayout::Date>(input.below(3));
  layout.late = input.flag();
  layout.groups = input.flag();
  layout.universe = input.flag();
  layout.tradable = input.flag();
  for (int64_t k = input.below(4); k > 0; --k) {
    layout.numbers.push_back(input.flag() ? Width::kSingle : Width::kDouble);
    layout.is_text.push_back(layout.numbers.back() == Width::kDouble && input.flag());
  }
  std::vector<Chunk> chunks;
  for (int64_t left = 1 + input.below(3); left > 0; --left)
    chunks.push_back(read_chunk(layout, input));

  Reader reader(layout, Reader::Rest::kWaits);
  for (const Chunk& chunk : chunks) reader.append(chunk.columns.data(), chunk.count);
  const auto dates = date_count(reader.keys), tickers = reader.keys.tickers.texts().size();
  // As the caller: a row that lacks a key is an error, and nothing is laid out.
  if (reader.lacks_date || reader.lacks_ticker) return 0;
  std::vector<int32_t> date_index(dates), ticker_index(tickers),
      group_codes(reader.keys.groups.texts().size());
  std::iota(date_index.rbegin(), date_index.rend(), 0);
  std::iota(ticker_index.begin(), ticker_index.end(), 0);
  std::iota(group_codes.begin(), group_codes.end(), 5);
  const auto cells = dates * tickers;

  // What the rows say: the last row of a cell counts.
  std::map<int64_t, int64_t> last;
  int64_t rows = 0, duplicates = 0;
  for (const Block& block : reader.rows.blocks)
    for (int64_t i = 0; i < block.count; ++i, ++rows) {
      const int64_t cell = date_index[block.dates.as<int32_t>()[i]] * static_cast<int64_t>(tickers) +
                           ticker_index[block.tickers.as<int32_t>()[i]];
      duplicates += last.count(cell);
      last[cell] = rows;
    }
  require(rows == reader.count, "rows are counted");

  Cells waited(layout.numbers, cells), direct(layout.numbers, cells);
  const auto placed =
      reader.rows.place(date_index.data(), ticker_index.data(), static_cast<int64_t>(tickers),
                        waited.present.data(), static_cast<int64_t>(cells));
  require(placed.duplicates == duplicates, "duplicates are counted");
  for (size_t cell = 0; cell < cells; ++cell)
    require((waited.present[cell] == 1) == (last.count(static_cast<int64_t>(cell)) == 1),
            "cells with a row are present");
  std::fill(waited.groups.begin(), waited.groups.end(), -1);
  for (const Block& block : reader.rows.blocks) {
    if (layout.groups) scatter_groups(block, group_codes.data(), waited.groups.data());
    if (layout.universe) scatter_flags(block, &Block::universe, waited.universe.data());
    if (layout.tradable) scatter_flags(block, &Block::tradable, waited.tradable.data());
  }
  std::vector<int64_t> infinite;
  for (size_t k = 0; k < layout.numbers.size(); ++k)
    infinite.push_back(reader.rows.lay_out(k, waited.values[k].data(), waited.present.data(),
                                           static_cast<int64_t>(cells)));

  Grid grid{date_index.data(), ticker_index.data(), group_codes.data(),
            static_cast<int64_t>(dates), static_cast<int64_t>(tickers),
            static_cast<int64_t>(group_codes.size()), static_cast<int64_t>(tickers),
            static_cast<int64_t>(cells), direct.present.data(), {},
            layout.universe ? direct.universe.data() : nullptr,
            layout.tradable ? direct.tradable.data() : nullptr,
            layout.groups ? direct.groups.data() : nullptr};
  for (auto& values : direct.values) grid.values.push_back(values.data());
  Reader second(layout, std::move(reader.keys), grid);
  // A table that changed between both scans has keys that the first one did not.
  const bool changes = input.byte() == 7;
  for (const Chunk& chunk : chunks) second.append(chunk.columns.data(), chunk.count);
  if (changes) {
    const Chunk more = read_chunk(layout, input);
    second.append(more.columns.data(), more.count);
  }
  try {
    second.finish();
  } catch (const std::runtime_error&) {
    require(changes, "a table that is as before is read");
    return 0;
  }
  if (changes) return 0;
  require(second.placed.duplicates == duplicates && second.first_infinite == infinite &&
              direct.present == waited.present && direct.values == waited.values,
          "both ways lead to the same grid");
  require(!layout.groups || direct.groups == waited.groups, "and to the same groups");
  require((!layout.universe || direct.universe == waited.universe) &&
              (!layout.tradable || direct.tradable == waited.tradable),
          "and to the same flags");

  // Cleaned, digested and looked at.
  GridCheck check;
  check.parts.stocks = static_cast<int64_t>(tickers);
  check.parts.present = waited.present.data();
  for (size_t k = 0; k < layout.numbers.size(); ++k) {
    auto* values = waited.values[k].data();
    const bool is_single = layout.numbers[k] == Width::kSingle;
    check.parts.columns.push_back({is_single ? reinterpret_cast<float*>(values) : nullptr,
                                   is_single ? nullptr : reinterpret_cast<double*>(values)});
    check.prices.push_back(static_cast<int64_t>(k));
    check.filling.push_back(static_cast<int64_t>(k));
  }
  if (layout.groups) check.parts.codes.push_back({nullptr, waited.groups.data()});
  if (layout.universe) check.parts.codes.push_back({waited.universe.data(), nullptr});
  if (layout.numbers.size() > 1) check.high = 0, check.low = 1;
  std::vector<uint8_t> filled(cells), digests(check.parts.count() * dates * kDigestBytes);
  check.filled = filled.data();
  check.digests = digests.data();
  check.dates = static_cast<int64_t>(dates);
  check.step(0, check.dates);
  const auto sum = std::accumulate(filled.begin(), filled.end(), int64_t{0});
  require(check.kept == sum, "cells that are kept are counted");
  std::vector<int32_t> there(dates), absent(dates);
  count_absent(filled.data(), check.dates, check.parts.stocks, input.below(check.dates + 1),
               1 + input.below(4), there.data(), absent.data());
  if (layout.numbers.empty()) return 0;
  const auto column = check.parts.columns[0];
  const auto moves = find_moves(column, check.dates, check.parts.stocks, 0, 0, 0.5, 2);
  require(moves.size() % 2 == 0, "moves are pairs");
  std::vector<float> returns(cells);
  returns_of(column, nullptr, check.dates, check.parts.stocks, returns.data());
  return 0;
}
