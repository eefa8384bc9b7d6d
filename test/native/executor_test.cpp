// The compute threads: turns, cancels, errors and owners.
#include "train/executor.h"

#include <ATen/Parallel.h>

#include <chrono>
#include <functional>
#include <future>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"

namespace {

using astgnn::train::Cancelled;
using astgnn::train::Executor;
using astgnn::train::Job;

// Runs `body` until it returns false, then says how it ended.
class TestJob : public Job {
 public:
  TestJob(const void* who, std::function<bool()> body) : body_(std::move(body)) { owner = who; }
  bool step() override { return body_(); }
  void finish(std::exception_ptr error) noexcept override {
    try {
      if (error) std::rethrow_exception(error);
      end_.set_value("done");
    } catch (const std::exception& e) {
      end_.set_value(e.what());
    }
  }
  std::string end() { return end_.get_future().get(); }

 private:
  std::function<bool()> body_;
  std::promise<std::string> end_;
};

std::shared_ptr<TestJob> start(const void* owner, std::function<bool()> body) {
  auto job = std::make_shared<TestJob>(owner, std::move(body));
  Executor::instance().submit(job);
  return job;
}

}  // namespace

int main() {
  auto& executor = Executor::instance();
  int first = 0, second = 0;
  executor.join_owner(&first);
  executor.join_owner(&second);

  {  // two jobs alternate step by step, on one thread
    std::promise<void> gate;
    auto opened = gate.get_future().share();
    std::vector<char> order;
    std::vector<std::thread::id> threads;
    auto holder = start(&first, [opened] {
      return opened.wait(), false;
    });  // both wait in the queue when the gate opens
    int a = 0, b = 0;
    auto one = start(&first, [&] {
      return order.push_back('a'), threads.push_back(std::this_thread::get_id()), ++a < 3;
    });
    auto two = start(&second, [&] {
      return order.push_back('b'), threads.push_back(std::this_thread::get_id()), ++b < 3;
    });
    gate.set_value();
    check::that(one->end() == "done" && two->end() == "done" && holder->end() == "done",
                "jobs end");
    check::that(std::string(order.begin(), order.end()) == "ababab", "jobs take turns");
    check::that(threads.front() == threads.back() && threads.front() != std::this_thread::get_id(),
                "one thread serves jobs that take turns");
  }
  {  // an exception ends its own job only
    int steps = 0;
    auto failing = start(&first, []() -> bool { throw std::runtime_error("planned"); });
    auto going = start(&first, [&] { return ++steps < 5; });
    check::that(failing->end() == "planned", "what a step throws reaches finish");
    check::that(going->end() == "done" && steps == 5, "other jobs go on");
  }
  {  // a job's own thread count holds during its steps
    int one = 0, two = 0;
    auto job =
        std::make_shared<TestJob>(&first, [&] { return one = at::get_num_threads(), false; });
    auto other =
        std::make_shared<TestJob>(&first, [&] { return two = at::get_num_threads(), false; });
    other->threads = 2;
    executor.submit(job);
    executor.submit(other);
    check::that(job->end() == "done" && other->end() == "done" && one == 1 && two == 2,
                "threads belong to the job");
  }
  {  // jobs whose threads fit in the cores together run at once
    executor.use_cores(2);
    std::promise<void> one_runs, two_runs;
    auto one = start(&first, [&] {
      one_runs.set_value();
      return two_runs.get_future().wait(), false;
    });
    auto two = start(&second, [&] {
      two_runs.set_value();
      return one_runs.get_future().wait(), false;
    });
    check::that(one->end() == "done" && two->end() == "done", "each waited for the other");
  }
  {  // and no others: those of more threads, of one module, of another precision, or alone
    const int module = 0;
    std::atomic<int> inside = 0, together = 0;
    const auto body = [&] {
      together += inside++ > 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      return --inside, false;
    };
    const auto never_together = [&](auto change, const char* what) {
      together = 0;
      std::vector<std::shared_ptr<TestJob>> jobs;
      for (int i = 0; i < 4; ++i) {
        jobs.push_back(std::make_shared<TestJob>(&first, body));
        change(*jobs.back(), i);
      }
      for (auto& job : jobs) executor.submit(job);
      for (auto& job : jobs) check::that(job->end() == "done", what);
      check::that(together == 0, what);
    };
    never_together([](Job& job, int) { job.threads = 2; }, "two threads each on two cores");
    never_together([](Job& job, int) { job.threads = 8; }, "more threads than cores");
    never_together([&](Job& job, int) { job.uses = {&module}; }, "one module");
    never_together([](Job& job, int i) { job.alone = i % 2 == 0; }, "alone");
    never_together(
        [](Job& job, int i) {
          job.precision = i % 2 == 0 ? astgnn::ops::Precision::kHighest
                                     : astgnn::ops::Precision::kMedium;
        },
        "one precision at a time");
    executor.use_cores(1);
  }
  {  // cancel ends a job after the step in hand
    std::atomic<int> steps = 0;
    auto job = start(&first, [&] { return ++steps, true; });
    while (steps < 3) std::this_thread::yield();
    job->cancel();
    check::that(job->end() == Cancelled().what(), "a cancelled job says so");
    const int at_end = steps;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    check::that(steps == at_end, "no step after the end");
  }
  {  // an owner that leaves takes only its own jobs along and waits for the step in hand
    std::atomic<bool> inside = false, go = false;
    std::atomic<int> kept = 0;
    auto gone = start(&second, [&] {
      inside = true;
      while (!go) std::this_thread::yield();
      return true;
    });
    auto stays = start(&first, [&] { return ++kept < 1000; });
    while (!inside) std::this_thread::yield();
    auto leaving = std::async(std::launch::async, [&] { executor.leave_owner(&second); });
    check::that(leaving.wait_for(std::chrono::milliseconds(5)) == std::future_status::timeout,
                "leaving waits for the step in hand");
    go = true;
    leaving.get();
    check::that(gone->end() == Cancelled().what(), "the leaving owner's job is cancelled");
    check::that(stays->end() == "done" && kept == 1000, "the other owner's job is not");
  }
  {  // nothing of an owner's jobs is left when it has left
    executor.join_owner(&second);
    std::atomic<bool> begins = false, gone = false;
    std::shared_ptr<void> held(nullptr, [&](void*) {
      begins = true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      gone = true;
    });
    executor.submit(std::make_shared<TestJob>(&second, [held = std::move(held)] { return false; }));
    while (!begins) std::this_thread::yield();
    executor.leave_owner(&second);
    check::that(gone, "leaving waits for the end of what jobs hold");
  }
  {  // the last owner ends the thread; a later one finds a new thread
    executor.leave_owner(&first);
    executor.join_owner(&first);
    auto job = start(&first, [] { return false; });
    check::that(job->end() == "done", "the thread starts again");
    executor.leave_owner(&first);
  }
  {  // an owner comes while the last one leaves: its jobs go to a thread that stays
    std::atomic<int> inside = 0, together = 0, turns = 0;
    const auto step = [&] {
      together += inside++;
      for (int i = 0; i < 100; ++i) std::atomic_signal_fence(std::memory_order_seq_cst);
      return --inside, ++turns % 4 != 0;
    };
    bool let_go = true;
    for (int life = 0; life < 1000 && let_go; ++life) {
      executor.join_owner(&first);
      start(&first, step)->end();
      std::atomic<bool> starts = false;
      auto leaving =
          std::async(std::launch::async, [&] { starts = true, executor.leave_owner(&first); });
      while (!starts) std::this_thread::yield();
      const auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(100 * life);
      while (std::chrono::steady_clock::now() < until) {
      }
      executor.join_owner(&second);
      start(&second, step)->end();
      let_go = leaving.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
      executor.leave_owner(&second);
    }
    check::that(let_go, "the owner that left is let go");
    check::that(together == 0, "jobs of the owner that left and of the one that came never ran at once");
  }
  return check::finish();
}
