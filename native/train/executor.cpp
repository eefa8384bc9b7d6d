#include "train/executor.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>

#include "ops/cpu/caching_allocator.h"

namespace astgnn::train {

namespace {

// So long the memory of the last job waits for the next one.
constexpr std::chrono::seconds kMemoryKept{1};

bool share_one(const std::vector<const void*>& a, const std::vector<const void*>& b) {
  return std::any_of(a.begin(), a.end(), [&](const void* used) {
    return std::find(b.begin(), b.end(), used) != b.end();
  });
}

}  // namespace

Executor& Executor::instance() {
  // Leaked on purpose: at process exit threads may still wait in it, and the order of static
  // destruction is not defined across libraries.
  static auto* executor = new Executor();
  return *executor;
}

void Executor::use_cores(int count) {
  std::lock_guard lock(mutex_);
  cores_ = std::max(1, count);
  hand_out();
}

void Executor::join_owner(const void* owner) {
  std::lock_guard lock(mutex_);
  owners_.push_back(owner);
}

void Executor::submit(std::shared_ptr<Job> job) {
  std::lock_guard lock(mutex_);
  queue_.push_back(std::move(job));
  try {
    hand_out();
  } catch (...) {
    queue_.pop_back();
    throw;
  }
}

bool Executor::has_jobs(const void* owner) const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [&](const auto& worker) {
                       return worker->releases == owner ||
                              (worker->job && worker->job->owner == owner);
                     }) ||
         std::any_of(queue_.begin(), queue_.end(),
                     [&](const auto& job) { return job->owner == owner; });
}

void Executor::cancel_all(const void* owner) {
  std::unique_lock lock(mutex_);
  for (auto& job : queue_)
    if (job->owner == owner) job->cancel();
  for (auto& worker : workers_)
    if (worker->job && worker->job->owner == owner) worker->job->cancel();
  idle_.wait(lock, [&] { return !has_jobs(owner); });
}

void Executor::leave_owner(const void* owner) {
  cancel_all(owner);
  std::vector<std::unique_ptr<Worker>> ended;
  {
    std::lock_guard lock(mutex_);
    auto at = std::find(owners_.begin(), owners_.end(), owner);
    if (at == owners_.end()) return;
    owners_.erase(at);
    if (!owners_.empty()) return;
    // Jobs of a later owner go to threads of their own.
    ended = std::move(workers_);
    workers_.clear();
    for (auto& worker : ended) {
      worker->ends = true;
      worker->wake.notify_one();
    }
  }
  for (auto& worker : ended) worker->thread.join();
}

bool Executor::is_idle() const {
  return std::none_of(workers_.begin(), workers_.end(),
                      [](const auto& worker) { return worker->job != nullptr; });
}

bool Executor::may_run(const Job& job) const {
  int taken = 0;
  for (const auto& worker : workers_) {
    const Job* other = worker->job.get();
    if (other == nullptr) continue;
    // Precision is a setting of the whole process.
    if (job.alone || other->alone || job.precision != other->precision ||
        share_one(job.uses, other->uses))
      return false;
    taken += other->threads;
  }
  return taken == 0 || taken + job.threads <= cores_;
}

Executor::Worker* Executor::free_worker() {
  // The same thread again where it can be: each has OpenMP threads of its own, which would lie idle
  // beside those of another.
  for (const auto& worker : workers_)
    if (worker->job == nullptr) return worker.get();
  try {
    workers_.reserve(workers_.size() + 1);
    auto worker = std::make_unique<Worker>();
    worker->thread = std::thread([this, &self = *worker] { work(self); });
    return workers_.emplace_back(std::move(worker)).get();
  } catch (const std::exception&) {
    if (is_idle()) throw;
    return nullptr;
  }
}

void Executor::hand_out() {
  while (!queue_.empty() && may_run(*queue_.front())) {
    Worker* free = free_worker();
    if (free == nullptr) return;
    free->job = std::move(queue_.front());
    queue_.pop_front();
    free->wake.notify_one();
  }
}

void Executor::step(Job& job, int& threads, bool& more) {
  if (job.cancelled_ && !job.ends_itself()) {
    job.wind_up();
    throw Cancelled();
  }
  if (job.threads != threads) at::set_num_threads(threads = job.threads);
  ops::use_precision(job.precision);
  more = job.step();
}

void Executor::work(Worker& self) {
  // LibTorch and this library each set a thread's count on its first use: before ours.
  at::get_num_threads();
  at::internal::lazy_init_num_threads();
  int threads = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto wanted = [&] { return self.ends || self.job != nullptr; };
    if (!self.wake.wait_for(lock, kMemoryKept, wanted)) {
      if (is_idle()) {
        lock.unlock();
        ops::CachingAllocator::instance().trim();
        lock.lock();
      }
      self.wake.wait(lock, wanted);
    }
    if (self.job == nullptr) {
      lock.unlock();
      ops::CachingAllocator::instance().trim();
      return;
    }
    lock.unlock();

    bool more = false;
    std::exception_ptr error;
    try {
      step(*self.job, threads, more);
    } catch (...) {
      error = std::current_exception();
    }
    if (!more) self.job->finish(error);
    error = nullptr;

    lock.lock();
    std::shared_ptr<Job> done = std::move(self.job);
    self.job = nullptr;
    if (more) queue_.push_back(std::move(done));
    // The job may own tensors: released outside the lock, and before a waiting thread is told that
    // it is gone.
    if (done) {
      self.releases = done->owner;
      lock.unlock();
      done.reset();
      lock.lock();
      self.releases = nullptr;
    }
    hand_out();
    idle_.notify_all();
  }
}

}  // namespace astgnn::train
