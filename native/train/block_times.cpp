#include "train/block_times.h"

#include <c10/core/impl/VirtualGuardImpl.h>
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

std::atomic<BlockClock*> BlockClock::current_ = nullptr;

BlockClock::BlockClock(at::Device device) : device_(device), lap_start_(now()) {
  TORCH_INTERNAL_ASSERT(current_.exchange(this) == nullptr, "one clock at a time");
  handle_ = at::addGlobalCallback(
      at::RecordFunctionCallback(enter, leave).scopes({at::RecordScope::FUNCTION}));
}

BlockClock::~BlockClock() {
  at::removeCallback(handle_);
  current_ = nullptr;
}

void BlockClock::end_forward() { times_.total.forward += lap(); }

void BlockClock::end_backward() { times_.total.backward += lap(); }

double BlockClock::lap() {
  const auto end = now();
  const double passed = milliseconds(end - lap_start_);
  lap_start_ = end;
  return passed;
}

// Once the device has done all that it was given.
BlockClock::Clock::time_point BlockClock::now() const {
  if (!device_.is_cpu())
    c10::impl::VirtualGuardImpl(device_.type()).synchronizeDevice(device_.index());
  return Clock::now();
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
  BlockClock* clock = current_;
  if (clock == nullptr) return nullptr;
  if (clock->depth_++ == 0) clock->op_start_ = clock->now();
  return std::make_unique<Opened>();
}

void BlockClock::leave(const at::RecordFunction& op, at::ObserverContext* context) {
  BlockClock* clock = current_;
  if (context == nullptr || clock == nullptr || --clock->depth_ > 0) return;
  const std::string_view name = op.name();
  BlockTime* block = clock->block_of(name);
  if (block == nullptr) return;
  const double passed = milliseconds(clock->now() - clock->op_start_);
  (contains(name, "_backward") ? block->backward : block->forward) += passed;
}

}  // namespace astgnn::train
