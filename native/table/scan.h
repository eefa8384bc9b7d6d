// A query's rows, straight from DuckDB's C interface: through its JavaScript bindings every chunk of
// 2,048 rows costs a promise and two array buffers a column.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "table/reader.h"

namespace astgnn::table {

struct Duckdb;

// DuckDB's own message.
struct ScanError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A database in memory of its own that runs one query. All methods but `interrupt` are for one
// thread at a time.
class Scan {
 public:
  // `library`: a file that is open in this process and depends on DuckDB.
  Scan(const std::string& library, std::string sql,
       std::vector<std::pair<std::string, std::string>> settings);
  ~Scan();

  // Appends `count` rows or somewhat more; false where there are no more. Throws ScanError.
  bool read(Reader& reader, int64_t count);
  // From any thread: what runs ends with an error.
  void interrupt();
  void close();

 private:
  void open(const ChunkLayout& layout);

  std::unique_ptr<Duckdb> duckdb_;
  std::string sql_;
  std::vector<std::pair<std::string, std::string>> settings_;
};

}  // namespace astgnn::table
