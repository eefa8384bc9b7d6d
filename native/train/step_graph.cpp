#include "train/step_graph.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/as_strided.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>

namespace astgnn::train {
namespace {

// The CUDA library's (ops/cuda/step_graph.cpp).
template <class Signature>
auto graph_op(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

// What came from the host in one block, given one of the tensors cut from it.
Tensor block_of(const Tensor& part) {
  const auto size = static_cast<int64_t>(part.storage().nbytes() / part.element_size());
  return part.as_strided({size}, {1}, 0);
}

std::vector<Tensor> blocks_of(const PackedBatch& batch, const Tensor& numbers) {
  std::vector<Tensor> blocks{block_of(batch.sequences.date),
                             block_of(batch.batch.similarity_segments[0]), numbers};
  if (batch.targets.defined()) blocks.push_back(block_of(batch.targets));
  for (const auto& future : batch.futures) blocks.push_back(block_of(future.x));
  return blocks;
}

std::string first_line(const std::exception& error) {
  const auto* of_torch = dynamic_cast<const c10::Error*>(&error);
  const std::string text = of_torch ? of_torch->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

}  // namespace

std::optional<std::string> not_capturable(const nn::ASTGNNFactorModel& model, const Panel& panel,
                                          const std::vector<Term>& terms) {
  const auto& config = model.config;
  if (!panel.device().is_cuda()) return "it computes on " + panel.device().str();
  if (config.norm == "batch") return "norm \"batch\" counts filler rows";
  if (config.top_k > 0) return "topK is chosen date by date";
  if (panel.graph != Panel::Graph::kComplete || config.similarity_graph == "groups")
    return "the sizes of its graph are others at each step";
  for (const auto& term : terms)
    if (!on_cross_sections(term)) return "the loss \"" + term.name + "\" is computed date by date";
  return std::nullopt;
}

StepGraphs::~StepGraphs() { free_all(); }

void StepGraphs::free_all() {
  static const auto free = graph_op<void(int64_t)>("astgnn::_step_graph_free");
  for (const auto& [shape, captured] : shapes_)
    if (captured) free.call(captured->graph);
  shapes_.clear();
}

StepGraphs::Captured StepGraphs::capture(const PackedBatch& batch, const Tensor& numbers,
                                         const Work& work) {
  static const auto begin = graph_op<int64_t(int64_t, int64_t)>("astgnn::_step_graph_begin");
  static const auto end = graph_op<void(int64_t)>("astgnn::_step_graph_end");
  static const auto free = graph_op<void(int64_t)>("astgnn::_step_graph_free");
  Captured captured{batch, numbers, Tensor(), begin.call(device_.index(), first_graph_)};
  try {
    captured.result = work(captured.batch, captured.numbers);
    end.call(captured.graph);
  } catch (...) {
    free.call(captured.graph);
    throw;
  }
  return captured;
}

Tensor StepGraphs::run(const Shape& shape, const PackedBatch& batch, const Tensor& numbers,
                       const Work& work) {
  static const auto replay = graph_op<void(int64_t)>("astgnn::_step_graph_replay");
  if (failed_) return work(batch, numbers);
  const auto [entry, is_first] = shapes_.try_emplace(shape);
  auto& captured = entry->second;
  if (is_first || (!captured && captured_ == kGraphs)) return work(batch, numbers);
  if (!captured) {
    try {
      captured = capture(batch, numbers, work);
    } catch (const std::exception& error) {
      failed_ = true;
      failure_ = first_line(error);
      free_all();
      return work(batch, numbers);  // what the capture was given has not run
    }
    if (captured_++ == 0) first_graph_ = captured->graph;
  } else {
    const c10::NoGradGuard no_grad;
    const auto from = blocks_of(batch, numbers);
    auto to = blocks_of(captured->batch, captured->numbers);
    for (size_t i = 0; i < to.size(); ++i) {
      TORCH_INTERNAL_ASSERT(to[i].sizes() == from[i].sizes(), "a step of one shape has two sizes");
      to[i].copy_(from[i]);
    }
  }
  replay.call(captured->graph);
  return captured->result;
}

}  // namespace astgnn::train
