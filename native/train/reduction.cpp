#include "train/reduction.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <cstddef>
#include <cstring>

namespace astgnn::train {

void TreeSum::join() {
  auto right = std::move(open_.back());
  open_.pop_back();
  open_.back().sum.add_(right.sum);
  open_.back().level = std::max(open_.back().level, right.level) + 1;
}

void TreeSum::add(Tensor next) {
  c10::NoGradGuard no_grad;
  open_.push_back({0, std::move(next)});
  while (open_.size() > 1 && open_[open_.size() - 2].level == open_.back().level) join();
}

// What is left are subtrees of falling size; a later one takes its place in the tree beside none.
Tensor TreeSum::total() {
  c10::NoGradGuard no_grad;
  TORCH_INTERNAL_ASSERT(!open_.empty(), "a sum of nothing");
  while (open_.size() > 1) join();
  Tensor sum = std::move(open_.back().sum);
  open_.clear();
  return sum;
}

Tensor flat(const std::vector<Tensor>& parts, const std::vector<Tensor>& shapes) {
  c10::NoGradGuard no_grad;
  int64_t size = 0;
  for (const auto& shape : shapes) size += shape.numel();
  auto block = at::empty({size}, shapes[0].options().requires_grad(false));
  if (block.is_cpu()) {  // without ops: there is a part for every parameter and date
    auto* to = static_cast<std::byte*>(block.mutable_data_ptr());
    for (size_t i = 0; i < shapes.size(); to += shapes[i++].nbytes()) {
      if (!parts[i].defined()) {
        std::memset(to, 0, shapes[i].nbytes());
        continue;
      }
      TORCH_INTERNAL_ASSERT(parts[i].nbytes() == shapes[i].nbytes());
      const auto part = parts[i].contiguous();
      std::memcpy(to, part.const_data_ptr(), part.nbytes());
    }
    return block;
  }
  const auto views = parts_of(block, shapes);
  for (size_t i = 0; i < views.size(); ++i) {
    if (parts[i].defined()) {
      views[i].copy_(parts[i]);
    } else {
      views[i].zero_();
    }
  }
  return block;
}

std::vector<Tensor> parts_of(const Tensor& flat, const std::vector<Tensor>& shapes) {
  std::vector<Tensor> views;
  int64_t at = 0;
  for (const auto& shape : shapes) {
    views.push_back(flat.narrow(0, at, shape.numel()).view(shape.sizes()));
    at += shape.numel();
  }
  return views;
}

}  // namespace astgnn::train
