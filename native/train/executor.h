// The compute threads of the process: jobs take turns step by step, and those run at once whose
// threads fit in its cores together.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "ops/precision.h"

namespace astgnn::train {

struct Cancelled : std::exception {
  const char* what() const noexcept override { return "cancelled"; }
};

class Job {
 public:
  virtual ~Job() = default;
  // On a compute thread; true while there is more to do. What it throws ends the job.
  virtual bool step() = 0;
  // On a compute thread, where a cancel comes before the last step: ends what a step has started.
  virtual void wind_up() {}
  // On a compute thread, once, after the last step; error is null on success and holds Cancelled
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
  // Modules that its steps read or write: of the jobs that name one only one runs at a time.
  std::vector<const void*> uses;
  // Nothing runs beside its steps: they compute on a GPU, wait for other processes, or are measured.
  bool alone = false;

 private:
  friend class Executor;
  std::atomic<bool> cancelled_{false};
};

// Jobs wait in one queue; a step done, a job goes to its end. The first of the queue starts when
// what it needs is free, and none before it: no job waits for ever. Threads start when there is work
// for them and end when the last owner leaves.
class Executor {
 public:
  static Executor& instance();

  // How many threads may compute at once; 1 until it is called, so that jobs run one at a time. A
  // job of more threads than that runs when no other does.
  void use_cores(int count);

  void join_owner(const void* owner);
  void submit(std::shared_ptr<Job> job);
  // Cancels the owner's jobs and returns once none of them runs or waits, and all are destroyed: at
  // most the step in hand later.
  void cancel_all(const void* owner);
  // The same, then forgets the owner; the last one to leave ends the threads.
  void leave_owner(const void* owner);

 private:
  struct Worker {
    std::thread thread;
    std::shared_ptr<Job> job;  // the step in hand
    const void* releases = nullptr;  // owner of a job that has ended and is being destroyed
    std::condition_variable wake;
    bool ends = false;
  };

  Executor() = default;
  void work(Worker& self);
  void step(Job& job, int& threads, bool& more);
  // With the lock held: gives the first jobs of the queue to threads for as long as they may run.
  void hand_out();
  // One without a job; null where the system gives no thread and others compute.
  Worker* free_worker();
  bool may_run(const Job& job) const;
  bool is_idle() const;
  bool has_jobs(const void* owner) const;

  std::mutex mutex_;
  std::condition_variable idle_;
  std::deque<std::shared_ptr<Job>> queue_;
  std::deque<const void*> owners_;
  std::vector<std::unique_ptr<Worker>> workers_;
  int cores_ = 1;
};

}  // namespace astgnn::train
