// Tables that are read: chunk by chunk from JavaScript, or by a scan of their own.
#include "binding/table.h"

namespace astgnn::binding {

namespace {

using table::ChunkLayout;
using table::Reader;
using table::Scan;

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

}  // namespace

void define_reading(Napi::Object exports) {
  define(exports, "createReader", create_reader);
  define(exports, "createGridReader", create_grid_reader);
  define(exports, "finishGrid", finish_grid);
  define(exports, "appendChunk", append_chunk);
  define(exports, "startScan", start_scan);
  define(exports, "readScan", read_scan);
  define(exports, "interruptScan", interrupt_scan);
  define(exports, "closeScan", close_scan);
  define(exports, "describe", describe);
}

}  // namespace astgnn::binding
