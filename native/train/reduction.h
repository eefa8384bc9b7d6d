// Sums over the slots of a step whose bits depend on the slots alone: not on how many threads or
// processes share them.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

namespace astgnn::train {

using at::Tensor;

// The sum of slot 0, 1, 2 ... by a fixed binary tree, stride doubling: slot i takes slot i + s, for
// i a multiple of 2 s and s = 1, 2, 4 ... Only the sums of whole subtrees are kept, which are at
// most log2(slots) + 1. Takes what it is given as its own.
class TreeSum {
 public:
  void add(Tensor next);
  Tensor total();  // of at least one slot; the sum is then empty again

 private:
  struct Subtree {
    int level;  // of 2^level slots
    Tensor sum;
  };
  void join();
  std::vector<Subtree> open_;  // levels fall
};

// Tensors of several shapes one after the other in one block, which is zero where one is undefined.
Tensor flat(const std::vector<Tensor>& parts, const std::vector<Tensor>& shapes);
// Views of such a block.
std::vector<Tensor> parts_of(const Tensor& flat, const std::vector<Tensor>& shapes);

}  // namespace astgnn::train
