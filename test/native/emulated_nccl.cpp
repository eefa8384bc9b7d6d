// NCCL among processes of one machine that each have an emulated GPU: through shared memory, on a
// thread, so that a collective returns at once and ends once all have come, or when it is aborted.
// ASTGNN_EMULATED_GPU_BUS is the GPU's address.
#include "emulated_nccl.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace emulated {

std::atomic<int> collectives = 0;

}  // namespace emulated

namespace {

constexpr size_t kPart = 1 << 20;  // bytes of a rank, at most

struct Id {
  char name[128];
};

struct Communicator {
  std::atomic<long>* arrived;
  char* parts;
  int rank, size;
  long rounds = 0;
  std::atomic<bool> aborted = false;

  // Until all have come here as often.
  bool meet() {
    const long all = ++rounds * size;
    ++*arrived;
    while (*arrived < all && !aborted) usleep(100);
    return !aborted;
  }
};

}  // namespace

extern "C" {
#define EXPORTED __attribute__((visibility("default")))

EXPORTED int cudaDeviceGetPCIBusId(char* text, int size, int) {
  const char* address = std::getenv("ASTGNN_EMULATED_GPU_BUS");
  std::snprintf(text, static_cast<size_t>(size), "%s", address ? address : "0000:00:00.0");
  return 0;
}

EXPORTED int ncclGetUniqueId(Id* id) {
  std::memset(id, 0, sizeof *id);
  std::snprintf(id->name, sizeof id->name, "/astgnn-nccl-%d", getpid());
  return 0;
}

EXPORTED int ncclCommInitRank(Communicator** communicator, int size, Id id, int rank) {
  const int file = shm_open(id.name, O_CREAT | O_RDWR, 0600);
  const size_t bytes = 4096 + static_cast<size_t>(size) * kPart;
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0) return 2;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return 2;
  auto* made = *communicator = new Communicator;
  made->arrived = static_cast<std::atomic<long>*>(memory);
  made->parts = static_cast<char*>(memory) + 4096;
  made->rank = rank;
  made->size = size;
  made->meet();
  if (rank == 0) shm_unlink(id.name);
  return 0;
}

EXPORTED int ncclAllGather(const void* from, void* to, size_t bytes, int, Communicator* all,
                           void*) {
  if (bytes > kPart) return 4;
  ++emulated::collectives;
  std::thread([=] {
    std::memcpy(all->parts + static_cast<size_t>(all->rank) * kPart, from, bytes);
    if (all->meet()) {
      for (int rank = 0; rank < all->size; ++rank)
        std::memcpy(static_cast<char*>(to) + static_cast<size_t>(rank) * bytes,
                    all->parts + static_cast<size_t>(rank) * kPart, bytes);
      all->meet();
    }
    --emulated::collectives;
  }).detach();
  return 0;
}

EXPORTED int ncclCommGetAsyncError(Communicator*, int* error) {
  *error = 0;
  return 0;
}

EXPORTED int ncclCommAbort(Communicator* all) {
  all->aborted = true;
  return 0;
}

EXPORTED const char* ncclGetErrorString(int) { return "of the emulation"; }
}
