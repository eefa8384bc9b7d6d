// Rows of a table that wait for their grid: their way there, column by column.
#include <algorithm>

#include "binding/table.h"

namespace astgnn::binding {

namespace {

using table::Block;
using table::BlockColumn;
using table::Rows;

// (widths, blocks): a table in JavaScript's arrays. Those of a column are read until it is laid out.
Napi::Value rows_of(const Napi::CallbackInfo& info) {
  auto table = std::make_shared<Table>();
  table->given = std::make_unique<Rows>(widths_of(info[0]));
  const auto blocks = info[1].As<Napi::Array>();
  table->held = Napi::Persistent(blocks.As<Napi::Object>());
  for (uint32_t b = 0; b < blocks.Length(); ++b) {
    const auto given = blocks.Get(b).As<Napi::Object>();
    const auto column = [&](const char* key) { return BlockColumn{data_of(given.Get(key)), {}}; };
    Block block;
    block.count = integer(given.Get("count"));
    block.dates = column("dates");
    block.tickers = column("tickers");
    block.groups = column("groups");
    block.universe = column("universe");
    block.tradable = column("tradable");
    const auto values = given.Get("values").As<Napi::Array>();
    for (uint32_t k = 0; k < values.Length(); ++k)
      block.values.push_back({data_of(values.Get(k)), {}});
    table->given->blocks.push_back(std::move(block));
  }
  return wrap(info.Env(), std::move(table));
}

// (table, dateIndex, tickerIndex, stocks, present)
Napi::Value place(const Napi::CallbackInfo& info) {
  auto placed = std::make_shared<table::Placed>();
  return Piece::start(
      info,
      [table = table_of(info), dates = array<const int32_t>(info[1]),
       tickers = array<const int32_t>(info[2]), stocks = integer(info[3]),
       present = array<uint8_t>(info[4]), cells = length_of(info[4]), placed] {
        *placed = table->rows().place(dates, tickers, stocks, present, cells);
      },
      [placed](Napi::Env env) -> Napi::Value { return placed_to_js(env, *placed); });
}

// (table, k, grid, present): the first cell with an infinite value, or Infinity.
Napi::Value lay_out(const Napi::CallbackInfo& info) {
  auto first = std::make_shared<int64_t>();
  return Piece::start(
      info,
      [table = table_of(info), k = static_cast<size_t>(integer(info[1])), grid = data_of(info[2]),
       present = array<const uint8_t>(info[3]), cells = length_of(info[2]), first] {
        *first = table->rows().lay_out(k, grid, present, cells);
      },
      [first](Napi::Env env) -> Napi::Value { return cell_to_js(env, *first); });
}

// (table, codes, grid)
Napi::Value lay_out_groups(const Napi::CallbackInfo& info) {
  return Piece::start(
      info,
      [table = table_of(info), codes = array<const int32_t>(info[1]),
       grid = array<int32_t>(info[2]), cells = length_of(info[2])] {
        std::fill_n(grid, cells, -1);
        for (const Block& block : table->rows().blocks) table::scatter_groups(block, codes, grid);
      },
      undefined);
}

// (table, "universe" | "tradable", grid)
Napi::Value lay_out_flags(const Napi::CallbackInfo& info) {
  const bool is_universe = info[1].As<Napi::String>().Utf8Value() == "universe";
  return Piece::start(
      info,
      [table = table_of(info), flags = is_universe ? &Block::universe : &Block::tradable,
       grid = array<uint8_t>(info[2]), cells = length_of(info[2])] {
        std::fill_n(grid, cells, uint8_t{0});
        for (const Block& block : table->rows().blocks) table::scatter_flags(block, flags, grid);
      },
      undefined);
}

// (table, cell): the first row of the cell, from 1.
Napi::Value row_of(const Napi::CallbackInfo& info) {
  const auto row = table_of(info)->rows().row_of(integer(info[1]));
  return Napi::Number::New(info.Env(), static_cast<double>(row));
}

Napi::Value release(const Napi::CallbackInfo& info) {
  table_of(info)->rows().blocks.clear();
  table_of(info)->held.Reset();
  return info.Env().Undefined();
}

}  // namespace

void define_rows(Napi::Object exports) {
  define(exports, "rowsOf", rows_of);
  define(exports, "place", place);
  define(exports, "layOut", lay_out);
  define(exports, "layOutGroups", lay_out_groups);
  define(exports, "layOutFlags", lay_out_flags);
  define(exports, "rowOf", row_of);
  define(exports, "release", release);
}

}  // namespace astgnn::binding
