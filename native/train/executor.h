// The one compute thread of the process: jobs take turns, one step each.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "ops/precision.h"

namespace astgnn::train {

struct Cancelled : std::exception {
  const char* what() const noexcept override { return "cancelled"; }
};

class Job {
 public:
  virtual ~Job() = default;
  // On the compute thread; true while there is more to do. What it throws ends the job.
  virtual bool step() = 0;
  // On the compute thread, where a cancel comes before the last step: ends what a step has started.
  virtual void wind_up() {}
  // On the compute thread, once, after the last step; error is null on success and holds Cancelled
  // after a cancel.
  virtual void finish(std::exception_ptr error) noexcept = 0;

  void cancel() { cancelled_ = true; }
  // For a step that takes long: it may end early, by throwing Cancelled.
  bool is_cancelled() const { return cancelled_; }
  // True: a cancel is for `step` to see, which throws Cancelled in its own time.
  virtual bool ends_itself() const { return false; }

  int threads = 1;  // OpenMP threads of its steps
  ops::Precision precision = ops::Precision::kHighest;
  const void* owner = nullptr;  // the environment that waits for it

 private:
  friend class Executor;
  std::atomic<bool> cancelled_{false};
};

// The thread starts with the first job and ends when the last owner leaves.
class Executor {
 public:
  static Executor& instance();

  void join_owner(const void* owner);
  void submit(std::shared_ptr<Job> job);
  // Cancels the owner's jobs and returns once none of them runs or waits: at most the step in hand
  // later.
  void cancel_all(const void* owner);
  // The same, then forgets the owner; the last one to leave ends the thread.
  void leave_owner(const void* owner);

 private:
  Executor() = default;
  void work(uint64_t turn);
  bool has_jobs(const void* owner) const;

  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  std::deque<std::shared_ptr<Job>> queue_;
  std::shared_ptr<Job> running_;
  std::deque<const void*> owners_;
  std::thread thread_;
  // Counts the threads that were told to end: one of an earlier turn takes no job of a later one.
  uint64_t turn_ = 0;
};

}  // namespace astgnn::train
