#include "binding/cut_files.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "binding/failure.h"

namespace astgnn::binding {

namespace {

constexpr size_t kPathBytes = 1024;

// Read in a signal handler: atomics and memory that is always there.
struct Watched {
  std::atomic<char*> begin{nullptr};
  std::atomic<int64_t> bytes{0};
  std::array<char, kPathBytes> path{};
};

std::array<Watched, 1024> watched;
std::array<char, kPathBytes> cut_path{};
enum class Cut { kNone, kNaming, kNamed };
std::atomic<Cut> cut{Cut::kNone};
std::mutex slots_mutex;
struct sigaction before;
uintptr_t page_bytes = 4096;

void copy_path(const char* from, std::array<char, kPathBytes>& to) {
  size_t i = 0;
  for (; i + 1 < to.size() && from[i] != '\0'; ++i) to[i] = from[i];
  to[i] = '\0';
}

// All from the page on is gone: one mapping of zeros takes its place.
void on_bus_error(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (const Watched& each : watched) {
    const auto begin = reinterpret_cast<uintptr_t>(each.begin.load());
    const uintptr_t end = begin + static_cast<uintptr_t>(each.bytes.load());
    if (begin == 0 || address < begin || address >= end) continue;
    const uintptr_t page = address - address % page_bytes;
    const int error = errno;
    if (::mmap(reinterpret_cast<void*>(page), end - page, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
      break;
    errno = error;
    Cut none = Cut::kNone;
    if (cut.compare_exchange_strong(none, Cut::kNaming)) {
      copy_path(each.path.data(), cut_path);
      cut.store(Cut::kNamed);
    }
    return;
  }
  if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
    before.sa_sigaction(signal, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
  } else {
    ::sigaction(SIGBUS, &before, nullptr);  // it is raised again, and ends the process
  }
}

void install() {
  page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &before);
}

}  // namespace

CutWatch::CutWatch(const std::string& path, char* begin, int64_t bytes) : slot_(-1) {
  static std::once_flag once;
  std::call_once(once, install);
  const std::lock_guard lock(slots_mutex);
  for (size_t i = 0; i < watched.size() && slot_ < 0; ++i) {
    if (watched[i].begin.load() != nullptr) continue;
    copy_path(path.c_str(), watched[i].path);
    watched[i].bytes.store(bytes);
    watched[i].begin.store(begin);
    slot_ = static_cast<int>(i);
  }
}

CutWatch::~CutWatch() {
  if (slot_ < 0) return;
  const std::lock_guard lock(slots_mutex);
  watched[static_cast<size_t>(slot_)].begin.store(nullptr);
}

void refuse_cut_files() {
  if (cut.load() == Cut::kNone) return;
  while (cut.load() == Cut::kNaming) {
  }
  throw BindingError("ERR_DATA", std::string(cut_path.data()) +
                                     " was cut, or could not be read, while it was in use.");
}

}  // namespace astgnn::binding
