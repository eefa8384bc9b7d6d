// The checks of a grid, and the digests of what it holds.
#include <algorithm>
#include <array>

#include "binding/table.h"
#include "table/check.h"

namespace astgnn::binding {

namespace {

using table::GridCheck;
using table::GridColumn;

std::vector<int64_t> indices(const Napi::Value& value) {
  std::vector<int64_t> read;
  const auto given = value.As<Napi::Array>();
  for (uint32_t i = 0; i < given.Length(); ++i) read.push_back(integer(given.Get(i)));
  return read;
}

template <class Array, class Values>
Napi::Value to_js(Napi::Env env, const Values& values) {
  auto array = Array::New(env, values.size());
  std::copy(values.begin(), values.end(), array.Data());
  return array;
}

GridColumn grid_column(const Napi::Value& value) {
  const bool is_double =
      value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array;
  return {is_double ? nullptr : array<float>(value), is_double ? array<double>(value) : nullptr};
}

table::GridParts grid_parts(const Napi::Object& given) {
  table::GridParts parts;
  parts.stocks = integer(given.Get("stocks"));
  parts.present = array<const uint8_t>(given.Get("present"));
  const auto columns = given.Get("columns").As<Napi::Array>();
  for (uint32_t k = 0; k < columns.Length(); ++k)
    parts.columns.push_back(grid_column(columns.Get(k)));
  const auto codes = given.Get("codes").As<Napi::Array>();
  for (uint32_t k = 0; k < codes.Length(); ++k) {
    const Napi::Value column = codes.Get(k);
    const bool is_flags = column.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
    parts.codes.push_back({is_flags ? array<const uint8_t>(column) : nullptr,
                           is_flags ? nullptr : array<const int32_t>(column)});
  }
  return parts;
}

using Check = Napi::External<std::shared_ptr<GridCheck>>;

// (input): the caller keeps its arrays.
Napi::Value create_check(const Napi::CallbackInfo& info) {
  const auto given = info[0].As<Napi::Object>();
  auto check = std::make_shared<GridCheck>();
  check->parts = grid_parts(given);
  check->prices = indices(given.Get("prices"));
  check->high = integer(given.Get("high"));
  check->low = integer(given.Get("low"));
  check->filling = indices(given.Get("filling"));
  check->filled = array<uint8_t>(given.Get("filled"));
  check->digests = array<uint8_t>(given.Get("digests"));
  check->dates = length_of(given.Get("digests")) /
                 static_cast<int64_t>(check->parts.count() * table::kDigestBytes);
  return Check::New(info.Env(), new std::shared_ptr<GridCheck>(std::move(check)),
                    [](Napi::Env, std::shared_ptr<GridCheck>* held) { delete held; });
}

// (check, input, from, to)
Napi::Value check_dates(const Napi::CallbackInfo& info) {
  return Piece::start(
      info,
      [check = *info[0].As<Check>().Data(), from = integer(info[2]), to = integer(info[3])] {
        check->step(from, to);
      },
      undefined);
}

// (input, dates, head, tail): 32 bytes.
Napi::Value digest_whole(const Napi::CallbackInfo& info) {
  const auto bytes = [](const Napi::Value& value) {
    const auto* data = array<const uint8_t>(value);
    return std::vector<uint8_t>(data, data + length_of(value));
  };
  auto digest = std::make_shared<std::array<uint8_t, table::kDigestBytes>>();
  return Piece::start(
      info,
      [parts = grid_parts(info[0].As<Napi::Object>()), dates = integer(info[1]),
       head = bytes(info[2]), tail = bytes(info[3]),
       digest] { table::digest_whole(parts, dates, head, tail, digest->data()); },
      [digest](Napi::Env env) -> Napi::Value { return to_js<Napi::Uint8Array>(env, *digest); });
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
  auto replaced = Napi::Array::New(env);
  for (const auto& [cells, values] : check.replaced) {
    auto column = Napi::Object::New(env);
    column.Set("cells", to_js<Napi::Int32Array>(env, cells));
    column.Set("values", to_js<Napi::Float64Array>(env, values));
    replaced.Set(replaced.Length(), column);
  }
  object.Set("replaced", replaced);
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
      [moves](Napi::Env env) -> Napi::Value { return to_js<Napi::Int32Array>(env, *moves); });
}

// (close, segments or undefined, dates, stocks, out)
Napi::Value returns_of(const Napi::CallbackInfo& info) {
  return Piece::start(
      info,
      [close = grid_column(info[0]), segments = array<const int32_t>(info[1]),
       dates = integer(info[2]), stocks = integer(info[3]), out = array<float>(info[4])] {
        table::returns_of(close, segments, dates, stocks, out);
      },
      undefined);
}

}  // namespace

void define_checks(Napi::Object exports) {
  define(exports, "createCheck", create_check);
  define(exports, "checkDates", check_dates);
  define(exports, "checkCounts", check_counts);
  define(exports, "digestWhole", digest_whole);
  define(exports, "countAbsent", count_absent);
  define(exports, "findMoves", find_moves);
  define(exports, "returnsOf", returns_of);
}

}  // namespace astgnn::binding
