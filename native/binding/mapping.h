// Parts of files in memory: features of a packed dataset, which may be larger than memory.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "binding/cut_files.h"
#include "binding/failure.h"
#include "table/scratch.h"

namespace astgnn::binding {

class Mapping {
 public:
  // kRead: the pages are the file's, shared with other processes; what is written to them stays in
  // this one. kWrite: the file grows to offset + bytes and takes what is written.
  enum class Use { kRead, kWrite };

  Mapping(const std::string& path, int64_t offset, int64_t bytes, Use use)
      : bytes_(bytes), before_(offset % ::sysconf(_SC_PAGESIZE)) {
    const bool writes = use == Use::kWrite;
    const int file = ::open(path.c_str(), (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (file < 0) fail(path, "opened");
    struct stat status {};
    const bool fits = ::fstat(file, &status) == 0 && (writes || bytes <= status.st_size - offset);
    const int error = writes ? table::reserve(file, offset + bytes) : errno;
    if (!fits || (writes && error != 0)) {
      ::close(file);
      if (!fits && !writes)
        throw BindingError("ERR_DATA", path + " is cut: it has " + std::to_string(status.st_size) +
                                           " bytes, and " + std::to_string(bytes) + " from " +
                                           std::to_string(offset) + " on are asked for.");
      errno = error;
      fail(path, "made larger");
    }
    void* data = ::mmap(nullptr, bytes + before_, PROT_READ | PROT_WRITE,
                        writes ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE, file, offset - before_);
    ::close(file);
    if (data == MAP_FAILED) fail(path, "mapped");
    data_ = static_cast<char*>(data) + before_;
    watch_.emplace(path, static_cast<char*>(data), bytes + before_);
  }
  ~Mapping() {
    watch_.reset();
    ::munmap(data_ - before_, bytes_ + before_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  char* data() const { return data_; }
  // Bytes that are read soon: the kernel fetches them meanwhile.
  void expect(int64_t from, int64_t bytes) const { advise(from, bytes, MADV_WILLNEED); }
  // Bytes that are read later at the earliest: this process gives its pages back; the file keeps
  // what it holds.
  void release(int64_t from, int64_t bytes) const { advise(from, bytes, MADV_DONTNEED); }

 private:
  [[noreturn]] static void fail(const std::string& path, const char* what) {
    throw BindingError("ERR_DATA",
                       path + " cannot be " + what + ": " + std::strerror(errno) + ".");
  }
  // Whole pages within: those at the ends are also others'.
  void advise(int64_t from, int64_t bytes, int advice) const {
    const int64_t page = ::sysconf(_SC_PAGESIZE);
    const int64_t first = (before_ + from + page - 1) / page * page;
    const int64_t end = (before_ + std::min(from + bytes, bytes_)) / page * page;
    if (first < end) ::madvise(data_ - before_ + first, end - first, advice);
  }

  int64_t bytes_;
  int64_t before_;  // bytes of the first page that are before it
  char* data_ = nullptr;
  std::optional<CutWatch> watch_;
};

inline at::Tensor tensor_over(std::shared_ptr<Mapping> mapping, at::IntArrayRef shape,
                              at::ScalarType type) {
  void* data = mapping->data();
  return at::from_blob(data, shape, [mapping = std::move(mapping)](void*) {},
                       at::TensorOptions(type));
}

}  // namespace astgnn::binding
