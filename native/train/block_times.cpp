#include "train/block_times.h"

#include <c10/util/Exception.h>

namespace astgnn::train {
namespace {

constexpr std::string_view kNamespace = "astgnn::";

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

double milliseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

// Marks an op that the clock has opened, so that only such ops close it.
struct Opened : at::ObserverContext {};

}  // namespace

thread_local BlockClock* BlockClock::current_ = nullptr;

BlockClock::BlockClock() : lap_start_(Clock::now()) {
  TORCH_INTERNAL_ASSERT(current_ == nullptr, "one clock per thread");
  current_ = this;
  handle_ = at::addThreadLocalCallback(
      at::RecordFunctionCallback(enter, leave).scopes({at::RecordScope::FUNCTION}));
}

BlockClock::~BlockClock() {
  at::removeCallback(handle_);
  current_ = nullptr;
}

void BlockClock::end_forward() { times_.total.forward += lap(); }

void BlockClock::end_backward() { times_.total.backward += lap(); }

double BlockClock::lap() {
  const auto now = Clock::now();
  const double passed = milliseconds(now - lap_start_);
  lap_start_ = now;
  return passed;
}

// An op of no block (dropout, soft_rank) counts as the rest.
BlockTime* BlockClock::block_of(std::string_view op) {
  if (contains(op, "gru")) return &times_.gru;
  if (contains(op, "graph_attention")) return &times_.graph_attention;
  if (contains(op, "relational_embedding")) return &times_.relational_embedding;
  return nullptr;
}

std::unique_ptr<at::ObserverContext> BlockClock::enter(const at::RecordFunction& op) {
  const std::string_view name = op.name();
  if (name.substr(0, kNamespace.size()) != kNamespace) return nullptr;
  if (current_->depth_++ == 0) current_->op_start_ = Clock::now();
  return std::make_unique<Opened>();
}

void BlockClock::leave(const at::RecordFunction& op, at::ObserverContext* context) {
  if (context == nullptr || --current_->depth_ > 0) return;
  const std::string_view name = op.name();
  BlockTime* block = current_->block_of(name);
  if (block == nullptr) return;
  const double passed = milliseconds(Clock::now() - current_->op_start_);
  (contains(name, "_backward") ? block->backward : block->forward) += passed;
}

}  // namespace astgnn::train
