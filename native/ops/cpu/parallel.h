// Work handed out as threads get free: a core that is shared delays no other thread. Which thread
// does which piece is left to chance, so every piece must write its own memory.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>

namespace astgnn::ops {

// body(worker, k) for k < count, with a Worker per thread.
template <class Worker, class Body>
void each_in_parallel(int64_t count, Body&& body) {
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(count, at::get_num_threads()), 1, [&](int64_t, int64_t) {
    Worker worker;
    for (int64_t k; (k = next.fetch_add(1, std::memory_order_relaxed)) < count;) body(worker, k);
  });
}

// body(k) for k < count.
template <class Body>
void each_in_parallel(int64_t count, Body&& body) {
  struct Nothing {};
  each_in_parallel<Nothing>(count, [&](Nothing, int64_t k) { body(k); });
}

}  // namespace astgnn::ops
