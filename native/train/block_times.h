// Where a step's time goes: wall clock inside the astgnn ops, by block and direction.
#pragma once

#include <ATen/record_function.h>

#include <atomic>
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

// Adds the time spent in the dispatcher's astgnn ops while the clock lives, the outermost op only:
// an op's autograd call contains the call of its kernel. The backward of a graph runs on a thread
// of the device's, while the one that asked for it waits, so the clock sees all threads. It slows
// every dispatched op by a fraction of a microsecond, and a GPU is waited for before and after
// every block: only for measurements. One clock at a time.
class BlockClock {
 public:
  explicit BlockClock(at::Device device);
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
  Clock::time_point now() const;

  static std::atomic<BlockClock*> current_;

  at::Device device_;

  BlockTimes times_;
  int depth_ = 0;  // astgnn ops open
  Clock::time_point op_start_, lap_start_;
  at::CallbackHandle handle_;
};

}  // namespace astgnn::train
