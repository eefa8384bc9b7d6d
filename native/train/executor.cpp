#include "train/executor.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>

#include "ops/cpu/caching_allocator.h"

namespace astgnn::train {

namespace {

// So long the memory of the last job waits for the next one.
constexpr std::chrono::seconds kMemoryKept{1};

}  // namespace

Executor& Executor::instance() {
  // Leaked on purpose: at process exit the thread may still wait in it, and the order of static
  // destruction is not defined across libraries.
  static auto* executor = new Executor();
  return *executor;
}

void Executor::join_owner(const void* owner) {
  std::lock_guard lock(mutex_);
  owners_.push_back(owner);
}

void Executor::submit(std::shared_ptr<Job> job) {
  std::lock_guard lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this, turn = turn_] { work(turn); });
  queue_.push_back(std::move(job));
  wake_.notify_one();
}

bool Executor::has_jobs(const void* owner) const {
  if (running_ && running_->owner == owner) return true;
  return std::any_of(queue_.begin(), queue_.end(),
                     [&](const auto& job) { return job->owner == owner; });
}

void Executor::cancel_all(const void* owner) {
  std::unique_lock lock(mutex_);
  for (auto& job : queue_)
    if (job->owner == owner) job->cancel();
  if (running_ && running_->owner == owner) running_->cancel();
  idle_.wait(lock, [&] { return !has_jobs(owner); });
}

void Executor::leave_owner(const void* owner) {
  cancel_all(owner);
  std::thread ended;
  {
    std::lock_guard lock(mutex_);
    auto at = std::find(owners_.begin(), owners_.end(), owner);
    if (at == owners_.end()) return;
    owners_.erase(at);
    if (!owners_.empty() || !thread_.joinable()) return;
    ++turn_;
    ended = std::move(thread_);
    wake_.notify_all();
  }
  ended.join();
}

void Executor::work(uint64_t turn) {
  int threads = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    const auto wanted = [&] { return turn != turn_ || !queue_.empty(); };
    if (!wake_.wait_for(lock, kMemoryKept, wanted)) {
      lock.unlock();
      ops::CachingAllocator::instance().trim();
      lock.lock();
      wake_.wait(lock, wanted);
    }
    if (turn != turn_) {
      lock.unlock();
      ops::CachingAllocator::instance().trim();
      return;
    }
    running_ = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();

    bool more = false;
    std::exception_ptr error;
    try {
      if (running_->cancelled_ && !running_->ends_itself()) {
        running_->wind_up();
        throw Cancelled();
      }
      if (running_->threads != threads) at::set_num_threads(threads = running_->threads);
      ops::use_precision(running_->precision);
      more = running_->step();
    } catch (...) {
      error = std::current_exception();
    }
    if (!more) running_->finish(error);
    error = nullptr;

    lock.lock();
    if (more) queue_.push_back(std::move(running_));
    // The job may own tensors: release it outside the lock, and before a waiting thread is told that
    // it is gone.
    std::shared_ptr<Job> done = std::move(running_);
    running_ = nullptr;
    if (done) {
      lock.unlock();
      done.reset();
      lock.lock();
    }
    idle_.notify_all();
  }
}

}  // namespace astgnn::train
