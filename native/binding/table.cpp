// The torch-free half's exports: long tables on their way to the grid, and the checks of a grid. What
// takes time runs on a thread of libuv's, in pieces that JavaScript asks for one after the other.
// Arrays are read and written where they lie; a piece of work holds on to them.
#include <napi.h>

#include <functional>

#include "table/check.h"
#include "table/scan.h"

namespace astgnn::binding {

namespace {

using table::Block;
using table::BlockColumn;
using table::ChunkLayout;
using table::GridCheck;
using table::GridColumn;
using table::Reader;
using table::Rows;
using table::Scan;
using table::Width;

// A promise of what `work` makes on another thread; `finish` makes its value on JavaScript's.
class Piece : public Napi::AsyncWorker {
 public:
  using Finish = std::function<Napi::Value(Napi::Env)>;

  static Napi::Value start(const Napi::CallbackInfo& info, std::function<void()> work,
                           Finish finish) {
    auto* piece = new Piece(info, std::move(work), std::move(finish));
    const Napi::Promise promise = piece->deferred_.Promise();
    piece->Queue();
    return promise;
  }

 private:
  Piece(const Napi::CallbackInfo& info, std::function<void()> work, Finish finish)
      : Napi::AsyncWorker(info.Env(), "astgnn"),
        deferred_(info.Env()),
        work_(std::move(work)),
        finish_(std::move(finish)) {
    auto held = Napi::Array::New(info.Env(), info.Length());
    for (uint32_t i = 0; i < info.Length(); ++i) held.Set(i, info[i]);
    held_ = Napi::Persistent(held.As<Napi::Object>());
  }
  void Execute() override { work_(); }
  // Where the environment ends meanwhile nobody waits, and no value can be made.
  void OnWorkComplete(Napi::Env env, napi_status status) override {
    try {
      Napi::AsyncWorker::OnWorkComplete(env, status);
    } catch (const Napi::Error&) {
    }
  }
  void OnOK() override { deferred_.Resolve(finish_(Env())); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

  Napi::Promise::Deferred deferred_;
  std::function<void()> work_;
  Finish finish_;
  Napi::ObjectReference held_;
};

Napi::Value undefined(Napi::Env env) { return env.Undefined(); }

// Null where the value is no typed array.
void* data_of(Napi::Value value) {
  if (!value.IsTypedArray()) return nullptr;
  void* data = nullptr;
  napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, &data, nullptr, nullptr);
  return data;
}

template <class T>
T* array(const Napi::Value& value) {
  return static_cast<T*>(data_of(value));
}

int64_t length_of(const Napi::Value& value) {
  return static_cast<int64_t>(value.As<Napi::TypedArray>().ElementLength());
}

GridColumn grid_column(const Napi::Value& value) {
  const bool is_double =
      value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array;
  return {is_double ? nullptr : array<float>(value), is_double ? array<double>(value) : nullptr};
}

int64_t integer(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }

std::vector<Width> widths_of(const Napi::Value& value) {
  const auto* widths = array<const uint8_t>(value);
  std::vector<Width> read;
  for (int64_t k = 0; k < length_of(value); ++k) read.push_back(static_cast<Width>(widths[k]));
  return read;
}

// --- tables ---

// Infinity where there is no cell.
Napi::Value cell_to_js(Napi::Env env, int64_t cell) {
  const bool is_none = cell == table::kNoCell;
  return Napi::Number::New(
      env, is_none ? std::numeric_limits<double>::infinity() : static_cast<double>(cell));
}

Napi::Object placed_to_js(Napi::Env env, const table::Placed& placed) {
  auto object = Napi::Object::New(env);
  object.Set("duplicates", static_cast<double>(placed.duplicates));
  object.Set("first", cell_to_js(env, placed.first_duplicate));
  return object;
}

// A table that a Reader fills, or one that lies in JavaScript's arrays.
struct Table {
  std::unique_ptr<Reader> reader;
  std::unique_ptr<Rows> given;
  std::unique_ptr<Scan> scan;
  Napi::ObjectReference held;  // arrays that it reads or writes

  Rows& rows() { return reader != nullptr ? reader->rows : *given; }
};

std::shared_ptr<Table>& table_of(const Napi::CallbackInfo& info) {
  return *info[0].As<Napi::External<std::shared_ptr<Table>>>().Data();
}

Napi::Value wrap(Napi::Env env, std::shared_ptr<Table> table) {
  return Napi::External<std::shared_ptr<Table>>::New(
      env, new std::shared_ptr<Table>(std::move(table)),
      [](Napi::Env, std::shared_ptr<Table>* held) { delete held; });
}

ChunkLayout layout_of(const Napi::Value& value) {
  const auto given = value.As<Napi::Object>();
  const auto is = [&](const char* key) { return given.Get(key).ToBoolean().Value(); };
  const std::string date = given.Get("date").As<Napi::String>();
  using Date = ChunkLayout::Date;
  ChunkLayout layout{date == "DATE" ? Date::kDay : date == "DOUBLE" ? Date::kNumber : Date::kText,
                     is("late"), is("groups"), is("universe"), is("tradable"),
                     widths_of(given.Get("widths")), {}};
  const auto* is_text = array<const uint8_t>(given.Get("isText"));
  layout.is_text.assign(is_text, is_text + layout.numbers.size());
  return layout;
}

// (layout, keysOnly): a table without rows.
Napi::Value create_reader(const Napi::CallbackInfo& info) {
  const bool forgets = info[1].ToBoolean().Value();
  auto table = std::make_shared<Table>();
  table->reader = std::make_unique<Reader>(
      layout_of(info[0]), forgets ? Reader::Rest::kForgotten : Reader::Rest::kWaits);
  return wrap(info.Env(), std::move(table));
}

// (keys, layout, grid): a table whose rows go to the grid as they are read; it takes over the keys.
Napi::Value create_grid_reader(const Napi::CallbackInfo& info) {
  const auto given = info[2].As<Napi::Object>();
  const auto length = [&](const char* key) {
    return given.Get(key).IsTypedArray() ? length_of(given.Get(key)) : 0;
  };
  table::Grid grid{
      array<const int32_t>(given.Get("dateIndex")), array<const int32_t>(given.Get("tickerIndex")),
      array<const int32_t>(given.Get("groupCodes")), length("dateIndex"), length("tickerIndex"),
      length("groupCodes"), integer(given.Get("stocks")), length("present"),
      array<uint8_t>(given.Get("present")), {}, array<uint8_t>(given.Get("universe")),
      array<uint8_t>(given.Get("tradable")), array<int32_t>(given.Get("groups"))};
  const auto values = given.Get("values").As<Napi::Array>();
  for (uint32_t k = 0; k < values.Length(); ++k) grid.values.push_back(data_of(values.Get(k)));
  auto table = std::make_shared<Table>();
  table->reader = std::make_unique<Reader>(
      layout_of(info[1]), std::move(table_of(info)->reader->keys), std::move(grid));
  table->held = Napi::Persistent(given);
  return wrap(info.Env(), std::move(table));
}

// (table): where the rows of a grid reader lie.
Napi::Value finish_grid(const Napi::CallbackInfo& info) {
  return Piece::start(
      info, [table = table_of(info)] { table->reader->finish(); },
      [table = table_of(info)](Napi::Env env) -> Napi::Value {
        const Reader& reader = *table->reader;
        auto object = placed_to_js(env, reader.placed);
        auto infinite = Napi::Array::New(env);
        for (const int64_t cell : reader.first_infinite)
          infinite.Set(infinite.Length(), cell_to_js(env, cell));
        object.Set("infinite", infinite);
        return object;
      });
}

// (table, count, arrays): rows of a chunk; of each column its memory, then its validity or undefined.
Napi::Value append_chunk(const Napi::CallbackInfo& info) {
  const auto arrays = info[2].As<Napi::Array>();
  std::vector<table::Vector> columns;
  for (uint32_t i = 0; i < arrays.Length(); i += 2)
    columns.push_back({data_of(arrays.Get(i)), array<const uint64_t>(arrays.Get(i + 1))});
  table_of(info)->reader->append(columns.data(), integer(info[1]));
  return info.Env().Undefined();
}

// (table, library, sql, settings): settings as name, value, name, value.
Napi::Value start_scan(const Napi::CallbackInfo& info) {
  const auto given = info[3].As<Napi::Array>();
  const auto text = [](const Napi::Value& value) { return value.As<Napi::String>().Utf8Value(); };
  std::vector<std::pair<std::string, std::string>> settings;
  for (uint32_t i = 0; i + 1 < given.Length(); i += 2)
    settings.emplace_back(text(given.Get(i)), text(given.Get(i + 1)));
  table_of(info)->scan =
      std::make_unique<Scan>(text(info[1]), text(info[2]), std::move(settings));
  return info.Env().Undefined();
}

// (table, count): reads so many rows; whether there may be more.
Napi::Value read_scan(const Napi::CallbackInfo& info) {
  auto more = std::make_shared<bool>();
  return Piece::start(
      info,
      [table = table_of(info), count = integer(info[1]), more] {
        *more = table->scan->read(*table->reader, count);
      },
      [more](Napi::Env env) -> Napi::Value { return Napi::Boolean::New(env, *more); });
}

Napi::Value interrupt_scan(const Napi::CallbackInfo& info) {
  table_of(info)->scan->interrupt();
  return info.Env().Undefined();
}

Napi::Value close_scan(const Napi::CallbackInfo& info) {
  return Piece::start(info, [table = table_of(info)] { table->scan->close(); }, undefined);
}

template <class Texts>
Napi::Value texts_to_js(Napi::Env env, const Texts& texts) {
  auto array = Napi::Array::New(env, texts.size());
  uint32_t i = 0;
  for (const auto& text : texts) array.Set(i++, text);
  return array;
}

// (table): what was read.
Napi::Value describe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Reader& reader = *table_of(info)->reader;
  auto object = Napi::Object::New(env);
  object.Set("rows", static_cast<double>(reader.count));
  object.Set("late", static_cast<double>(reader.late));
  object.Set("lacksDate", reader.lacks_date);
  object.Set("lacksTicker", reader.lacks_ticker);
  object.Set("badUniverse", reader.bad_universe);
  object.Set("badTradable", reader.bad_tradable);
  auto bad = Napi::Array::New(env);
  for (size_t k = 0; k < reader.bad_numbers.size(); ++k)
    if (reader.bad_numbers[k]) bad.Set(bad.Length(), static_cast<double>(k));
  object.Set("badNumbers", bad);
  if (const auto* numbers = std::get_if<table::NumberCodes>(&reader.keys.dates)) {
    auto dates = Napi::Float64Array::New(env, numbers->numbers().size());
    std::copy(numbers->numbers().begin(), numbers->numbers().end(), dates.Data());
    object.Set("dates", dates);
  } else {
    object.Set("dates", texts_to_js(env, std::get<table::TextCodes>(reader.keys.dates).texts()));
  }
  object.Set("tickers", texts_to_js(env, reader.keys.tickers.texts()));
  if (reader.layout.groups) object.Set("groups", texts_to_js(env, reader.keys.groups.texts()));
  return object;
}

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
       present = array<uint8_t>(info[4]), placed] {
        *placed = table->rows().place(dates, tickers, stocks, present);
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
       grid = array<int32_t>(info[2])] {
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
       grid = array<uint8_t>(info[2])] {
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

// --- checks ---

std::vector<int64_t> indices(const Napi::Value& value) {
  std::vector<int64_t> read;
  const auto given = value.As<Napi::Array>();
  for (uint32_t i = 0; i < given.Length(); ++i) read.push_back(integer(given.Get(i)));
  return read;
}

using Check = Napi::External<std::shared_ptr<GridCheck>>;

// (input): the caller keeps its arrays.
Napi::Value create_check(const Napi::CallbackInfo& info) {
  const auto given = info[0].As<Napi::Object>();
  auto check = std::make_shared<GridCheck>();
  check->stocks = integer(given.Get("stocks"));
  check->present = array<const uint8_t>(given.Get("present"));
  const auto columns = given.Get("columns").As<Napi::Array>();
  for (uint32_t k = 0; k < columns.Length(); ++k)
    check->columns.push_back(grid_column(columns.Get(k)));
  const auto codes = given.Get("codes").As<Napi::Array>();
  for (uint32_t k = 0; k < codes.Length(); ++k) {
    const Napi::Value column = codes.Get(k);
    const bool is_flags = column.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
    check->codes.push_back({is_flags ? array<const uint8_t>(column) : nullptr,
                            is_flags ? nullptr : array<const int32_t>(column)});
  }
  check->prices = indices(given.Get("prices"));
  check->high = integer(given.Get("high"));
  check->low = integer(given.Get("low"));
  check->filling = indices(given.Get("filling"));
  check->filled = array<uint8_t>(given.Get("filled"));
  return Check::New(info.Env(), new std::shared_ptr<GridCheck>(std::move(check)),
                    [](Napi::Env, std::shared_ptr<GridCheck>* held) { delete held; });
}

// (check): bytes that a date may take.
Napi::Value date_bytes(const Napi::CallbackInfo& info) {
  const auto bytes = (*info[0].As<Check>().Data())->date_bytes();
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

// (check, input, from, to, out): how many bytes of the fingerprint were written.
Napi::Value check_dates(const Napi::CallbackInfo& info) {
  auto bytes = std::make_shared<int64_t>();
  return Piece::start(
      info,
      [check = *info[0].As<Check>().Data(), from = integer(info[2]), to = integer(info[3]),
       out = array<uint8_t>(info[4]), bytes] { *bytes = check->step(from, to, out); },
      [bytes](Napi::Env env) -> Napi::Value {
        return Napi::Number::New(env, static_cast<double>(*bytes));
      });
}

// (check): what was counted.
Napi::Value check_counts(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const GridCheck& check = **info[0].As<Check>().Data();
  auto object = Napi::Object::New(env);
  auto prices = Napi::Array::New(env);
  for (const auto& counts : check.counts) {
    auto price = Napi::Object::New(env);
    price.Set("zero", static_cast<double>(counts.zero));
    price.Set("negative", static_cast<double>(counts.negative));
    price.Set("positive", static_cast<double>(counts.positive));
    prices.Set(prices.Length(), price);
  }
  object.Set("prices", prices);
  object.Set("crossed", static_cast<double>(check.crossed));
  object.Set("kept", static_cast<double>(check.kept));
  return object;
}

// (filled, stocks, first, neighbours, there, absent): there and absent [dates].
Napi::Value count_absent(const Napi::CallbackInfo& info) {
  return Piece::start(
      info,
      [filled = array<const uint8_t>(info[0]), stocks = integer(info[1]),
       first = integer(info[2]), neighbours = integer(info[3]), there = array<int32_t>(info[4]),
       absent = array<int32_t>(info[5]), dates = length_of(info[4])] {
        table::count_absent(filled, dates, stocks, first, neighbours, there, absent);
      },
      undefined);
}

// (close, dates, stocks, from, first, low, high): Int32Array of pairs.
Napi::Value find_moves(const Napi::CallbackInfo& info) {
  auto moves = std::make_shared<std::vector<int32_t>>();
  const auto number = [&](int i) { return info[i].As<Napi::Number>().DoubleValue(); };
  return Piece::start(
      info,
      [close = grid_column(info[0]), dates = integer(info[1]), stocks = integer(info[2]),
       from = integer(info[3]), first = integer(info[4]), low = number(5), high = number(6),
       moves] { *moves = table::find_moves(close, dates, stocks, from, first, low, high); },
      [moves](Napi::Env env) -> Napi::Value {
        auto pairs = Napi::Int32Array::New(env, moves->size());
        std::copy(moves->begin(), moves->end(), pairs.Data());
        return pairs;
      });
}

}  // namespace

}  // namespace astgnn::binding

// Sets the functions on the bootstrap's exports.
extern "C" napi_value astgnn_define_table(napi_env env, napi_value exports) {
  using namespace astgnn::binding;
  try {
    Napi::Object object(env, exports);
    const auto set = [&](const char* name, Napi::Value (*function)(const Napi::CallbackInfo&)) {
      object.Set(name, Napi::Function::New(env, function, name));
    };
    set("createReader", create_reader);
    set("createGridReader", create_grid_reader);
    set("finishGrid", finish_grid);
    set("appendChunk", append_chunk);
    set("startScan", start_scan);
    set("readScan", read_scan);
    set("interruptScan", interrupt_scan);
    set("closeScan", close_scan);
    set("describe", describe);
    set("rowsOf", rows_of);
    set("place", place);
    set("layOut", lay_out);
    set("layOutGroups", lay_out_groups);
    set("layOutFlags", lay_out_flags);
    set("rowOf", row_of);
    set("release", release);
    set("createCheck", create_check);
    set("dateBytes", date_bytes);
    set("checkDates", check_dates);
    set("checkCounts", check_counts);
    set("countAbsent", count_absent);
    set("findMoves", find_moves);
    return exports;
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
    return nullptr;
  }
}
