// CUDA for one block of threads at a time on the CPU, so that the kernels of native/ops/cuda are
// tested where there is no GPU. Every thread of a block is a fiber; a fiber that reaches a barrier
// gives way until all of its block (or its warp, for a shuffle) have come. Included before a .cu
// file that is compiled as plain C++.
#pragma once

#undef _FORTIFY_SOURCE  // it takes a jump to another stack for a mistake

#include <setjmp.h>
#include <ucontext.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "fiber_stack.h"

#define ASTGNN_EMULATED_CUDA
#define __global__
#define __device__
#define __shared__ static  // one block runs at a time
#define __launch_bounds__(...)
#define ASTGNN_LARGE_SHARED(Type, name) static Type name

using std::exp;
using std::log;
using std::sqrt;
using std::tanh;

struct dim3 {
  unsigned int x = 1, y = 1, z = 1;
  explicit dim3(unsigned int width, unsigned int height = 1) : x(width), y(height) {}
};
inline dim3 threadIdx(0), blockIdx(0);

extern "C" std::atomic<long> emulated_device_launches;

namespace emulated {

void run(const std::function<void()>& work);  // emulated_graph.h

constexpr unsigned int kWarp = 32;
constexpr size_t kStack = 64 << 10;

class Block {
 public:
  Block(unsigned int threads, std::function<void()> body) : body_(std::move(body)) {
    static std::vector<std::unique_ptr<Fiber>> all;
    while (all.size() < threads) all.emplace_back(new Fiber);
    for (unsigned int t = 0; t < threads; ++t) fibers_.push_back(all[t].get());
  }

  void run() {
    // A barrier that is missing shows in one of the two orders.
    static bool last_first = false;
    last_first = !last_first;
    running_ = this;
    for (Fiber* fiber : fibers_) fiber->done = false;
    block_ = Gate{fibers_.size()};
    warps_.clear();
    for (size_t first = 0; first < fibers_.size(); first += kWarp)
      warps_.push_back(Gate{std::min<size_t>(kWarp, fibers_.size() - first)});
    while (block_.left > 0) {
      const size_t before = progress_;
      for (size_t turn = 0; turn < fibers_.size(); ++turn) {
        current_ = last_first ? fibers_.size() - 1 - turn : turn;
        Fiber& fiber = *fibers_[current_];
        if (fiber.done) continue;
        threadIdx.x = static_cast<unsigned int>(current_);
        if (_setjmp(scheduler_) == 0) resume(fiber);
        scheduler_stack_.arrive_from(fibers_[current_]->owned);
        if (!fibers_[current_]->done) continue;
        ++progress_;
        block_.leave();
        warps_[current_ / kWarp].leave();
      }
      if (before == progress_) fail("the threads wait for each other for ever");
    }
    running_ = nullptr;
  }

  // Ended threads do not hold a barrier up, as on the device.
  void barrier() { pass(block_); }

  // Every thread of the warp puts a value in and takes another's out.
  template <class T>
  T exchange(T value, unsigned int lane) {
    Fiber& own = *fibers_[current_];
    const size_t self = current_, first = self / kWarp * kWarp, from = first + lane % kWarp;
    static_assert(sizeof(T) <= sizeof own.slot[0]);
    if (from >= fibers_.size() || fibers_[from]->done) fail("a shuffle reads a thread that ended");
    Gate& warp = warps_[self / kWarp];
    const size_t slot = warp.passed % 2;
    std::memcpy(&own.slot[slot], &value, sizeof(T));
    pass(warp);
    T out;
    std::memcpy(&out, &fibers_[from]->slot[slot], sizeof(T));
    return out;
  }

  static Block& running() { return *running_; }

 private:
  struct Fiber {
    jmp_buf place;
    char stack[kStack];
    FiberStack owned{stack, kStack};
    bool started = false, done = true;
    // Two, so that a fast thread does not overwrite what a slow one has yet to read.
    double slot[2];
  };
  // Opens once all threads that have not ended are there.
  struct Gate {
    size_t left = 0, arrived = 0, passed = 0;

    void arrive() {
      ++arrived;
      open();
    }
    void leave() {
      --left;
      open();
    }
    void open() {
      if (arrived == 0 || arrived < left) return;
      arrived = 0;
      ++passed;
    }
  };

  static void fail(const char* what) {
    std::fprintf(stderr, "emulated CUDA: %s\n", what);
    std::abort();
  }
  // A fiber stays on its stack from block to block.
  static void enter() {
    running_->arrive();
    for (;;) {
      running_->body_();
      Fiber& fiber = *running_->fibers_[running_->current_];
      fiber.done = true;
      running_->give_way(fiber);
    }
  }
  void arrive() { fibers_[current_]->owned.arrive_from(scheduler_stack_); }
  // Back to the scheduler until it is this fiber's turn again, maybe of another block.
  void give_way(Fiber& fiber) {
    fiber.owned.leave_for(scheduler_stack_);
    if (_setjmp(fiber.place) == 0) _longjmp(scheduler_, 1);
    running_->arrive();
  }
  // Jumps, which cost no call of the system; a context of its own only puts a fiber on its stack.
  // AddressSanitizer would go on guarding the locals of a call that never returns.
  [[noreturn, gnu::no_sanitize_address]] void resume(Fiber& fiber) {
    scheduler_stack_.leave_for(fiber.owned);
    if (fiber.started) _longjmp(fiber.place, 1);
    fiber.started = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack = {fiber.stack, 0, kStack};
    context.uc_link = nullptr;
    makecontext(&context, &Block::enter, 0);
    setcontext(&context);
    std::abort();
  }
  void pass(Gate& gate) {
    ++progress_;
    const size_t mine = gate.passed, self = current_;
    gate.arrive();
    while (gate.passed == mine) give_way(*fibers_[self]);
  }

  static inline Block* running_ = nullptr;
  std::function<void()> body_;
  std::vector<Fiber*> fibers_;
  jmp_buf scheduler_;
  FiberStack scheduler_stack_;
  Gate block_;
  std::vector<Gate> warps_;
  size_t current_ = 0, progress_ = 0;
};

}  // namespace emulated

inline void __syncthreads() { emulated::Block::running().barrier(); }
inline void __syncwarp() { emulated::Block::running().exchange(0, threadIdx.x); }
template <class T>
T __shfl_xor_sync(unsigned int, T value, int mask) {
  return emulated::Block::running().exchange(value, threadIdx.x % emulated::kWarp ^ mask);
}

#include "emulated_wmma.h"

namespace astgnn::ops::cuda {

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, void*,
            const Arguments&... arguments) {
  ++emulated_device_launches;
  emulated::run([=] {
    emulated::Block threads(block.x, [&] { kernel(arguments...); });
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y) {
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) threads.run();
    }
  });
}

template <class... Parameters, class... Arguments>
void launch_with(size_t, void (*kernel)(Parameters...), dim3 grid, dim3 block, void* stream,
                 const Arguments&... arguments) {
  launch(kernel, grid, block, stream, arguments...);
}

}  // namespace astgnn::ops::cuda
