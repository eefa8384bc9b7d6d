// Where a step's time goes: wall clock inside the astgnn ops, by block and direction.
#pragma once

#include <ATen/record_function.h>

#include <chrono>
#include <string_view>

namespace astgnn::train {

struct BlockTime {
  double forward = 0, backward = 0;  // milliseconds
  void operator+=(const BlockTime& other) {
    forward += other.forward;
    backward += other.backward;
  }
};

struct BlockTimes {
  BlockTime gru, graph_attention, relational_embedding;
  // All of it, blocks included: model and objective, their backward.
  BlockTime total;
  void operator+=(const BlockTimes& other) {
    gru += other.gru;
    graph_attention += other.graph_attention;
    relational_embedding += other.relational_embedding;
    total += other.total;
  }
};

// Adds the time that this thread spends in the dispatcher's astgnn ops while the clock lives, the
// outermost op only: an op's autograd call contains the call of its kernel. The backward of a graph
// on the CPU runs on the thread that asked for it, so that a thread-local observer sees all of it.
// It slows every dispatched op by a fraction of a microsecond: only for measurements. One clock per
// thread at a time.
class BlockClock {
 public:
  BlockClock();
  ~BlockClock();
  BlockClock(const BlockClock&) = delete;
  BlockClock& operator=(const BlockClock&) = delete;

  // Closes the direction in hand: what follows belongs to the other one.
  void end_forward();
  void end_backward();
  const BlockTimes& times() const { return times_; }

 private:
  using Clock = std::chrono::steady_clock;
  static std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& op);
  static void leave(const at::RecordFunction& op, at::ObserverContext* context);
  BlockTime* block_of(std::string_view op);
  double lap();

  static thread_local BlockClock* current_;

  BlockTimes times_;
  int depth_ = 0;  // astgnn ops open
  Clock::time_point op_start_, lap_start_;
  at::CallbackHandle handle_;
};

}  // namespace astgnn::train
