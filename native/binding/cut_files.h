// Files that another process cuts while they are mapped here. Reading a page that is gone raises
// SIGBUS, which would end the process. Such pages read as zeros instead, and from then on nothing
// that may be made of them gets out.
#pragma once

#include <cstdint>
#include <string>

namespace astgnn::binding {

// Watches the mapping of a file, for as long as it lives.
class CutWatch {
 public:
  CutWatch(const std::string& path, char* begin, int64_t bytes);
  ~CutWatch();
  CutWatch(const CutWatch&) = delete;
  CutWatch& operator=(const CutWatch&) = delete;

 private:
  int slot_;  // -1 where too many are watched
};

// Throws BindingError where a file was cut while it was mapped.
void refuse_cut_files();

}  // namespace astgnn::binding
