// Memory that runs out at any allocation of this code's own, or of any tensor: a constructor throws
// and leaves nothing behind (scripts/sanitize.mjs counts what does), and the compute threads go on.
// Not of a forward: LibTorch makes the nodes of its graph in a function that may not throw.
#include <c10/core/CPUAllocator.h>

#include <cstdlib>
#include <future>
#include <new>

#include "check.h"
#include "small_model.h"
#include "small_panel.h"
#include "train/executor.h"
#include "train/session.h"

extern "C" char __executable_start, etext;

namespace {

// Allocations until one fails; negative: none does. LibTorch's own never fail: what it does then is
// its own.
thread_local int64_t countdown = -1;

bool fails() { return countdown >= 0 && countdown-- == 0; }

void* allocate(size_t bytes, const void* caller) {
  const bool is_ours = caller >= &__executable_start && caller < &etext;
  void* memory = is_ours && fails() ? nullptr : std::malloc(bytes > 0 ? bytes : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

class FailingAllocator final : public c10::Allocator {
 public:
  explicit FailingAllocator(c10::Allocator* real) : real_(real) {}
  c10::DataPtr allocate(size_t bytes) override {
    if (fails()) throw std::bad_alloc();
    return real_->allocate(bytes);
  }
  c10::DeleterFnPtr raw_deleter() const override { return real_->raw_deleter(); }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    real_->copy_data(to, from, bytes);
  }

 private:
  c10::Allocator* real_;
};

}  // namespace

// In line they would see the caller of their caller.
__attribute__((noinline)) void* operator new(size_t bytes) { return allocate(bytes, __builtin_return_address(0)); }
__attribute__((noinline)) void* operator new[](size_t bytes) { return allocate(bytes, __builtin_return_address(0)); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace {

using namespace astgnn;
using train::Session;

// `body` with the n-th allocation failing, for growing n until all of it succeeds.
void without_memory(const std::string& what, const std::function<void()>& body) {
  body();  // what is made once per process
  int64_t failed = 0, others = 0;
  bool done = false;
  for (int64_t n = 0; !done && n < 200'000; n += 1 + n / 40) {
    try {
      countdown = n;
      body();
      done = countdown >= 0;
    } catch (const std::bad_alloc&) {
      ++failed;
    } catch (const std::exception& error) {
      if (others++ == 0) std::printf("%s: %s\n", what.c_str(), error.what());
    }
    countdown = -1;
  }
  std::printf("%s: %lld allocations failed\n", what.c_str(), static_cast<long long>(failed));
  check::that(done && failed > 0 && others == 0, what + " throws std::bad_alloc and nothing else");
  body();
}

std::vector<train::Term> objective() {
  train::Term ic;
  ic.name = "ic";
  ic.predictions = ic.horizons = {0};
  return {ic};
}

class Once : public train::Job {
 public:
  bool step() override { return false; }
  void finish(std::exception_ptr) noexcept override { end.set_value(); }
  std::promise<void> end;
};

}  // namespace

int main() {
  static FailingAllocator allocator(c10::GetCPUAllocator());
  c10::SetCPUAllocator(&allocator, 1);
  at::manual_seed(8);
  const auto source = small_panel(3, 5);
  const auto prepared = std::make_shared<train::Panel>(source);
  prepared->prepare();

  without_memory("a panel", [&] {
    train::Panel panel = source;
    panel.prepare();
  });
  without_memory("a model", [] { small_model(); });
  without_memory("a session", [&] { Session(small_model(), prepared, objective(), {}, 3); });
  without_memory("a batch", [&] { train::pack(*prepared, {2, 3, 4}, at::kFloat, 1, 1); });

  auto& executor = train::Executor::instance();
  without_memory("a job", [&] {
    int owner = 0;
    executor.join_owner(&owner);
    try {
      auto job = std::make_shared<Once>();
      job->owner = &owner;
      executor.submit(job);
      job->end.get_future().get();
    } catch (...) {
      countdown = -1;
      executor.leave_owner(&owner);
      throw;
    }
    const auto kept = countdown;
    countdown = -1;
    executor.leave_owner(&owner);
    countdown = kept;
  });
  return check::finish();
}
