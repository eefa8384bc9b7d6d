// The allocator of CPU tensors: alignment, reuse, bounds, what goes back to the system and when.
#include "ops/cpu/caching_allocator.h"

#include <c10/core/CPUAllocator.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "check.h"
#include "train/executor.h"

namespace {

using astgnn::ops::CachingAllocator;

constexpr size_t kMiB = size_t{1} << 20;

// ThreadSanitizer notes every access, in memory that it keeps when the pages are long gone.
#ifdef __SANITIZE_THREAD__
constexpr bool kPagesCount = false;
#else
constexpr bool kPagesCount = true;
#endif

// Of this process, in bytes.
size_t resident() {
  long pages = 0, ignored = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%ld %ld", &ignored, &pages) != 2) return 0;
  std::fclose(file);
  return static_cast<size_t>(pages) * 4096;
}

c10::DataPtr touched(size_t bytes, int value = 1) {
  auto memory = CachingAllocator::instance().allocate(bytes);
  std::memset(memory.get(), value, bytes);
  return memory;
}

// Random blocks, each filled with a byte of its own that has to be there when it is freed.
bool survives(unsigned seed, int turns) {
  std::mt19937 random(seed);
  std::vector<std::pair<c10::DataPtr, size_t>> held;
  for (int turn = 0; turn < turns; ++turn) {
    if (held.size() < 40 && random() % 5 != 0) {
      const size_t bytes = size_t{1} << (4 + random() % 18), odd = bytes + random() % bytes;
      held.emplace_back(touched(odd, static_cast<int>(odd % 251)), odd);
      if (reinterpret_cast<uintptr_t>(held.back().first.get()) % 64 != 0) return false;
    } else if (!held.empty()) {
      std::swap(held[random() % held.size()], held.back());
      const auto* bytes = static_cast<const unsigned char*>(held.back().first.get());
      for (size_t i = 0; i < held.back().second; i += 97)
        if (bytes[i] != held.back().second % 251) return false;
      held.pop_back();
    }
  }
  return true;
}

class Nothing : public astgnn::train::Job {
 public:
  bool step() override { return touched(100 * kMiB), false; }
  void finish(std::exception_ptr) noexcept override {}
};

}  // namespace

int main() {
  auto& allocator = CachingAllocator::instance();
  {  // a block of every size is aligned, whoever serves it
    bool aligned = true;
    for (size_t bytes = 1; bytes <= 512 * kMiB; bytes = bytes * 3 + 1)
      aligned &= reinterpret_cast<uintptr_t>(allocator.allocate(bytes).get()) % 64 == 0;
    check::that(aligned, "data starts at a multiple of 64");
    check::that(allocator.allocate(0).get() == nullptr, "no bytes are no block");
    check::throws([&] { allocator.allocate(SIZE_MAX); }, "", "a size that wraps around is refused");
    check::throws([&] { allocator.allocate(size_t{1} << 55); }, "can't allocate memory",
                  "more than there is is refused in LibTorch's words");
  }
  {  // a freed block serves the next one of its size and smaller ones
    void* first = touched(10 * kMiB).get();
    const auto mapped = allocator.statistics().mapped;
    check::that(touched(10 * kMiB).get() == first, "the same block comes again");
    auto half = touched(5 * kMiB), other = touched(4 * kMiB);
    check::that(half.get() == first, "a larger block is split");
    half.clear();
    other.clear();
    check::that(touched(10 * kMiB).get() == first, "its parts are merged");
    check::that(allocator.statistics().mapped == mapped, "and no address space is added");
    check::that(allocator.statistics().used == 0, "nothing is in use");
  }
  {  // steps of changing sizes end in no growth
    size_t after_first = 0;
    for (int step = 0; step < 50; ++step) {
      std::vector<c10::DataPtr> kept;
      for (size_t i = 1; i <= 12; ++i) kept.push_back(touched((i * 700 + step % 7 * 31) << 10));
      for (size_t i = 0; i < kept.size(); i += 2) kept[i].clear();
      kept.push_back(touched(6 * kMiB));
      if (step == 7) after_first = allocator.statistics().mapped;
    }
    check::that(allocator.statistics().mapped == after_first, "steps reuse the memory of steps");
  }
  {  // a trim gives pages back, also beside blocks that stay
    allocator.trim();
    check::that(allocator.statistics().mapped == 0, "mappings without blocks go");
    auto stays = touched(kMiB, 7);
    const size_t before = resident();
    touched(200 * kMiB);
    auto large = touched(20 * kMiB);
    auto also = touched(kMiB, 9);
    large.clear();
    check::that(allocator.statistics().kept > 190 * kMiB && resident() > before + 200 * kMiB,
                "what is freed is kept");
    allocator.trim();
    check::that(allocator.statistics().kept == 0, "nothing is kept");
    check::that(!kPagesCount || resident() < before + 20 * kMiB, "what was kept goes back");
    check::that(*static_cast<char*>(stays.get()) == 7 && *static_cast<char*>(also.get()) == 9,
                "what is in use stays");
  }
  {  // the cache is bounded
    std::vector<c10::DataPtr> many;
    for (int i = 0; i < 20; ++i) many.push_back(allocator.allocate(100 * kMiB));
    many.clear();
    check::that(allocator.statistics().kept <= 1024 * kMiB, "at most 1 GiB is kept");
    const auto before = allocator.statistics();
    allocator.allocate(300 * kMiB);
    check::that(allocator.statistics().mapped == before.mapped, "huge blocks are not kept");
    allocator.trim();
  }
  {  // many threads, and blocks that another thread frees
    std::vector<std::thread> threads;
    std::atomic<int> whole = 0;
    for (unsigned seed = 0; seed < 4; ++seed)
      threads.emplace_back([&, seed] { whole += survives(seed, 4000); });
    for (auto& thread : threads) thread.join();
    check::that(whole == 4, "no block overlaps another, on four threads at once");
    check::that(allocator.statistics().used == 0, "and every one comes back");
    auto mine = touched(30 * kMiB);
    std::thread([&] {
      CachingAllocator::keep_nothing_on_this_thread();
      mine.clear();
      const auto foreign = touched(30 * kMiB);
      check::that(allocator.statistics().used == 0, "a thread that computes nothing takes nothing");
    }).join();
    allocator.trim();
  }
  {  // JavaScript lets go of a result between two predictions: the second finds its pages
    auto result = touched(2 * kMiB);
    touched(50 * kMiB);
    const auto free = [&](c10::DataPtr& memory) {
      std::thread([&] {
        CachingAllocator::keep_nothing_on_this_thread();
        memory.clear();
      }).join();
    };
    const size_t before = resident();
    free(result);
    check::that(!kPagesCount || (resident() < before - kMiB && resident() > before - 4 * kMiB),
                "a result that such a thread frees goes back, and nothing beside it");
    check::that(allocator.statistics().kept >= 50 * kMiB, "what lies beside it is still kept");
    result = touched(2 * kMiB);
    allocator.trim();
    free(result);
    check::that(allocator.statistics().mapped == 0, "the last block of a mapping takes it along");
  }
  {  // LibTorch's tensors
    allocator.install();
    check::that(c10::GetCPUAllocator() == &allocator, "LibTorch takes it");
    auto tensor = at::arange(1 << 20, at::kFloat);
    check::that(allocator.statistics().used >= 4 * kMiB, "tensors come from it");
    tensor.resize_({1 << 21});
    check::that(tensor[(1 << 20) - 1].item<float>() == (1 << 20) - 1, "a tensor grows in it");
  }
  {  // the compute thread gives back what it keeps once it has nothing to do
    auto& executor = astgnn::train::Executor::instance();
    int owner = 0;
    executor.join_owner(&owner);
    auto job = std::make_shared<Nothing>();
    job->owner = &owner;
    executor.submit(job);
    bool kept = false;
    for (int i = 0; i < 2000 && !kept; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      kept = allocator.statistics().kept >= 100 * kMiB;
    }
    check::that(kept, "a job's memory is kept for the next job");
    for (int i = 0; i < 100 && allocator.statistics().kept > 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    check::that(allocator.statistics().kept == 0, "not for ever");
    executor.leave_owner(&owner);
  }
  return check::finish();
}
