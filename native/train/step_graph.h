// Training steps as CUDA graphs: what a step gives a GPU to run is captured once per shape of
// batch, and from then on launched whole.
#pragma once

#include <compare>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/objective.h"

namespace astgnn::train {

// Why steps of such a session cannot be captured; nullopt where they can. What they launch must
// depend on the number of rows and dates alone, and no part of them may make the host wait.
std::optional<std::string> not_capturable(const nn::ASTGNNFactorModel& model, const Panel& panel,
                                          const std::vector<Term>& terms);

class StepGraphs {
 public:
  // All that the launches of a step depend on.
  struct Shape {
    int64_t rows, dates;        // filler included
    std::vector<bool> defined;  // the terms that are
    auto operator<=>(const Shape&) const = default;
  };
  // A step that reads its batch and its update's numbers (Optimizer::next) on the device; returns
  // what the host is to know of it.
  using Work = std::function<Tensor(const PackedBatch&, const Tensor& numbers)>;

  explicit StepGraphs(at::Device device) : device_(device) {}
  ~StepGraphs();
  StepGraphs(const StepGraphs&) = delete;
  StepGraphs& operator=(const StepGraphs&) = delete;

  // Does the work. The first step of a shape does it as it stands: libraries make their handles
  // and workspaces then, which a capture forbids. The second one is captured, and every later one
  // replays it on its own batch; the tensor that comes back is theirs in turn. Beyond kGraphs
  // shapes, steps go on as they stand. So they do, all of them, once a capture has failed: the work
  // of that step is done anew.
  Tensor run(const Shape& shape, const PackedBatch& batch, const Tensor& numbers, const Work& work);
  // Why no step is captured any more, since the last call.
  std::optional<std::string> take_failure() { return std::exchange(failure_, std::nullopt); }

 private:
  static constexpr size_t kGraphs = 16;
  struct Captured {
    PackedBatch batch;  // where the launches read
    Tensor numbers;
    Tensor result;  // where they write
    int64_t graph;
  };
  Captured capture(const PackedBatch& batch, const Tensor& numbers, const Work& work);
  void free_all();

  at::Device device_;
  // Each with what it has, or nothing after its first step.
  std::map<Shape, std::optional<Captured>> shapes_;
  size_t captured_ = 0;
  // All graphs share one pool of memory: they run one after the other, and nothing but a result,
  // which is held, outlives its replay.
  int64_t first_graph_ = 0;
  bool failed_ = false;
  std::optional<std::string> failure_;
};

}  // namespace astgnn::train
