#include "table/scan.h"

#include <dlfcn.h>

#include <mutex>

namespace astgnn::table {

namespace {

// As duckdb.h declares them; the package that brings the library has no headers.
using Handle = void*;
enum Type : int { kUtinyint = 6, kFloat = 10, kDouble = 11, kDate = 13, kVarchar = 17 };

Type type_of(const ChunkLayout& layout, size_t column) {
  using Date = ChunkLayout::Date;
  if (column == 0)
    return layout.date == Date::kDay ? kDate : layout.date == Date::kNumber ? kDouble : kVarchar;
  if (column == 1) return kVarchar;
  size_t next = 2;
  if (layout.late && column == next++) return kUtinyint;
  if (layout.groups && column == next++) return kVarchar;
  const size_t first_number = layout.columns() - layout.numbers.size();
  if (column < first_number) return kUtinyint;
  return layout.numbers[column - first_number] == Width::kSingle ? kFloat : kDouble;
}

}  // namespace

struct Duckdb {
  struct Result {
    uint64_t column_count, row_count, rows_changed;
    void* columns;
    char* error;
    void* internal;
  };

  explicit Duckdb(const std::string& library) {
    void* opened = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) throw ScanError(dlerror());
    const auto find = [&](auto& function, const char* name) {
      function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(opened, name));
      if (function == nullptr) throw ScanError(std::string("DuckDB has no ") + name);
    };
    find(create_config, "duckdb_create_config");
    find(set_config, "duckdb_set_config");
    find(destroy_config, "duckdb_destroy_config");
    find(open, "duckdb_open_ext");
    find(connect, "duckdb_connect");
    find(prepare, "duckdb_prepare");
    find(prepare_error, "duckdb_prepare_error");
    find(destroy_prepare, "duckdb_destroy_prepare");
    find(execute, "duckdb_execute_prepared_streaming");
    find(result_error, "duckdb_result_error");
    find(destroy_result, "duckdb_destroy_result");
    find(column_count, "duckdb_column_count");
    find(column_type, "duckdb_column_type");
    find(fetch, "duckdb_fetch_chunk");
    find(size, "duckdb_data_chunk_get_size");
    find(vector, "duckdb_data_chunk_get_vector");
    find(data, "duckdb_vector_get_data");
    find(validity, "duckdb_vector_get_validity");
    find(destroy_chunk, "duckdb_destroy_data_chunk");
    find(interrupt, "duckdb_interrupt");
    find(disconnect, "duckdb_disconnect");
    find(close, "duckdb_close");
    find(free, "duckdb_free");
  }

  int (*create_config)(Handle*);
  int (*set_config)(Handle, const char*, const char*);
  void (*destroy_config)(Handle*);
  int (*open)(const char*, Handle*, Handle, char**);
  int (*connect)(Handle, Handle*);
  int (*prepare)(Handle, const char*, Handle*);
  const char* (*prepare_error)(Handle);
  void (*destroy_prepare)(Handle*);
  int (*execute)(Handle, Result*);
  const char* (*result_error)(Result*);
  void (*destroy_result)(Result*);
  uint64_t (*column_count)(Result*);
  int (*column_type)(Result*, uint64_t);
  Handle (*fetch)(Result);
  uint64_t (*size)(Handle);
  Handle (*vector)(Handle, uint64_t);
  void* (*data)(Handle);
  uint64_t* (*validity)(Handle);
  void (*destroy_chunk)(Handle*);
  void (*interrupt)(Handle);
  void (*disconnect)(Handle*);
  void (*close)(Handle*);
  void (*free)(void*);

  Handle database = nullptr, statement = nullptr;
  Result result{};
  bool has_result = false;
  std::mutex mutex;  // of connection and interrupted: interrupt comes from another thread
  Handle connection = nullptr;
  bool interrupted = false;
};

Scan::Scan(const std::string& library, std::string sql,
           std::vector<std::pair<std::string, std::string>> settings)
    : duckdb_(std::make_unique<Duckdb>(library)),
      sql_(std::move(sql)),
      settings_(std::move(settings)) {}

Scan::~Scan() { close(); }

void Scan::open(const ChunkLayout& layout) {
  Duckdb& d = *duckdb_;
  Handle config = nullptr;
  d.create_config(&config);
  for (const auto& [name, value] : settings_) d.set_config(config, name.c_str(), value.c_str());
  char* reason = nullptr;
  const bool failed = d.open(nullptr, &d.database, config, &reason) != 0;
  d.destroy_config(&config);
  if (failed) {
    ScanError error(reason == nullptr ? "DuckDB cannot be opened" : reason);
    if (reason != nullptr) d.free(reason);
    throw error;
  }
  {
    std::lock_guard lock(d.mutex);
    if (d.interrupted) throw ScanError("INTERRUPT Error: Interrupted!");
    if (d.connect(d.database, &d.connection) != 0) throw ScanError("DuckDB gives no connection");
  }
  if (d.prepare(d.connection, sql_.c_str(), &d.statement) != 0)
    throw ScanError(d.prepare_error(d.statement));
  const bool runs = d.execute(d.statement, &d.result) == 0;
  d.has_result = true;
  if (!runs) {
    const char* error = d.result_error(&d.result);
    throw ScanError(error == nullptr ? "DuckDB cannot run the query" : error);
  }
  bool is_alike = d.column_count(&d.result) == layout.columns();
  for (size_t column = 0; is_alike && column < layout.columns(); ++column)
    is_alike = d.column_type(&d.result, column) == type_of(layout, column);
  if (!is_alike) throw ScanError("The columns changed while they were read");
}

bool Scan::read(Reader& reader, int64_t count) {
  Duckdb& d = *duckdb_;
  if (!d.has_result) open(reader.layout);
  const size_t columns = reader.layout.columns();
  std::vector<Vector> vectors(columns);
  for (const int64_t end = reader.count + count; reader.count < end;) {
    Handle chunk = d.fetch(d.result);
    const uint64_t rows = chunk == nullptr ? 0 : d.size(chunk);
    if (rows == 0) {
      if (chunk != nullptr) d.destroy_chunk(&chunk);
      if (const char* error = d.result_error(&d.result)) throw ScanError(error);
      return false;
    }
    for (size_t column = 0; column < columns; ++column) {
      const Handle vector = d.vector(chunk, column);
      vectors[column] = {d.data(vector), d.validity(vector)};
    }
    try {
      reader.append(vectors.data(), static_cast<int64_t>(rows));
    } catch (...) {
      d.destroy_chunk(&chunk);
      throw;
    }
    d.destroy_chunk(&chunk);
  }
  return true;
}

void Scan::interrupt() {
  std::lock_guard lock(duckdb_->mutex);
  duckdb_->interrupted = true;
  if (duckdb_->connection != nullptr) duckdb_->interrupt(duckdb_->connection);
}

void Scan::close() {
  Duckdb& d = *duckdb_;
  if (d.has_result) d.destroy_result(&d.result);
  d.has_result = false;
  if (d.statement != nullptr) d.destroy_prepare(&d.statement);
  {
    std::lock_guard lock(d.mutex);
    if (d.connection != nullptr) d.disconnect(&d.connection);
    d.connection = nullptr;
  }
  if (d.database != nullptr) d.close(&d.database);
  d.statement = d.database = nullptr;
}

}  // namespace astgnn::table
