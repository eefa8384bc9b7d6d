// Memory in a file without a name, for what may be larger than memory: the system puts its pages on
// disk where it needs their place, and what a process gives back it finds there again.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_set>

namespace astgnn::table {

// Makes a file so long, on blocks that are the file's: writing to mapped pages that a full disk has no
// block for would end the process. 0, or an error number.
inline int reserve(int file, int64_t bytes) {
#ifdef __APPLE__
  fstore_t blocks{F_ALLOCATEALL, F_PEOFPOSMODE, 0, bytes, 0};
  if (::fcntl(file, F_PREALLOCATE, &blocks) != 0 && errno != ENOTSUP) return errno;
  return ::ftruncate(file, bytes) == 0 ? 0 : errno;
#else
  int error = EINTR;
  while (error == EINTR) error = ::posix_fallocate(file, 0, bytes);
  return error;
#endif
}

class Scratch {
 public:
  // Throws std::runtime_error where the folder takes no file of that size.
  Scratch(const std::string& folder, int64_t bytes) : bytes_(bytes < 1 ? 1 : bytes) {
    std::string path = folder + "/.astgnn-scratch-XXXXXX";
    const int file = ::mkstemp(path.data());
    if (file < 0) fail(folder, errno);
    ::unlink(path.c_str());
    int error = reserve(file, bytes_);
    if (error == 0) {
      data_ = ::mmap(nullptr, size(), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
      if (data_ == MAP_FAILED) error = errno;
    }
    ::close(file);
    if (error != 0) fail(folder, error);
    const std::lock_guard lock(mutex());
    all().insert(this);
  }
  ~Scratch() {
    {
      const std::lock_guard lock(mutex());
      all().erase(this);
    }
    ::munmap(data_, size());
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  void* data() const { return data_; }

  // The process gives back the pages of all of them; they stay what they are.
  static void release_all() {
    const std::lock_guard lock(mutex());
    for (const Scratch* each : all()) ::madvise(each->data_, each->size(), MADV_DONTNEED);
  }

 private:
  [[noreturn]] void fail(const std::string& folder, int error) const {
    throw std::runtime_error(folder + " has no room for a file of " +
                             std::to_string((bytes_ + 999'999) / 1'000'000) +
                             " MB: " + std::strerror(error) + ".");
  }
  size_t size() const { return static_cast<size_t>(bytes_); }
  static std::mutex& mutex() {
    static auto* mutex = new std::mutex;
    return *mutex;
  }
  static std::unordered_set<const Scratch*>& all() {
    static auto* all = new std::unordered_set<const Scratch*>;
    return *all;
  }

  int64_t bytes_;
  void* data_ = nullptr;
};

}  // namespace astgnn::table
