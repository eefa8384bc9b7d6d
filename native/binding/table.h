// The exports of the torch-free half by topic, and the table that they share.
#pragma once

#include <memory>

#include "binding/piece.h"
#include "table/scan.h"

namespace astgnn::binding {

// A table that a Reader fills, or one that lies in JavaScript's arrays.
struct Table {
  std::unique_ptr<table::Reader> reader;
  std::unique_ptr<table::Rows> given;
  std::unique_ptr<table::Scan> scan;
  Napi::ObjectReference held;  // arrays that it reads or writes

  table::Rows& rows() { return reader != nullptr ? reader->rows : *given; }
};

inline std::shared_ptr<Table>& table_of(const Napi::CallbackInfo& info) {
  return *info[0].As<Napi::External<std::shared_ptr<Table>>>().Data();
}

inline Napi::Value wrap(Napi::Env env, std::shared_ptr<Table> table) {
  return Napi::External<std::shared_ptr<Table>>::New(
      env, new std::shared_ptr<Table>(std::move(table)),
      [](Napi::Env, std::shared_ptr<Table>* held) { delete held; });
}

// Infinity where there is no cell.
inline Napi::Value cell_to_js(Napi::Env env, int64_t cell) {
  const bool is_none = cell == table::kNoCell;
  return Napi::Number::New(
      env, is_none ? std::numeric_limits<double>::infinity() : static_cast<double>(cell));
}

inline Napi::Object placed_to_js(Napi::Env env, const table::Placed& placed) {
  auto object = Napi::Object::New(env);
  object.Set("duplicates", static_cast<double>(placed.duplicates));
  object.Set("first", cell_to_js(env, placed.first_duplicate));
  return object;
}

inline std::vector<table::Width> widths_of(const Napi::Value& value) {
  const auto* widths = array<const uint8_t>(value);
  std::vector<table::Width> read;
  for (int64_t k = 0; k < length_of(value); ++k) read.push_back(static_cast<table::Width>(widths[k]));
  return read;
}

void define_reading(Napi::Object exports);  // table_reading.cpp
void define_rows(Napi::Object exports);     // table_rows.cpp
void define_checks(Napi::Object exports);   // table_checks.cpp
void define_scratch(Napi::Object exports);  // table.cpp

// Sets a function on the exports.
inline void define(Napi::Object exports, const char* name,
                   Napi::Value (*function)(const Napi::CallbackInfo&)) {
  exports.Set(name, Napi::Function::New(exports.Env(), function, name));
}

}  // namespace astgnn::binding
