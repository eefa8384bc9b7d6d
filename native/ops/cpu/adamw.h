// The optimizer's update on a CPU: two passes over all numbers of all parameters, whose bits depend
// on the parameters' sizes alone, neither on the number of threads nor on the instruction set.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/parallel.h"

namespace astgnn::ops {

// Parameters in pieces, and pieces in tasks that are worth handing out.
template <class T>
class AdamwParts {
 public:
  // average: null where there is none.
  void add(int64_t count, const T* gradient, T* weight, T* first, T* second, T* average) {
    for (int64_t at = 0; at < count; at += kTask) {
      const int64_t size = std::min(kTask, count - at);
      if (tasks_.empty() || open_ + size > kTask) {
        tasks_.emplace_back(parts_.size(), parts_.size());
        open_ = 0;
      }
      parts_.push_back({size, gradient + at, weight + at, first + at, second + at,
                        average ? average + at : nullptr});
      tasks_.back().second = parts_.size();
      open_ += size;
    }
  }

  // Of the gradients: sums of squares per piece, in double, in order. Infinite where T cannot hold the
  // squares, which the second moments are made of.
  double norm() const {
    std::vector<double> sums(parts_.size());
    each([&](size_t k) { sums[k] = kernels_.square_sum(parts_[k].gradient, parts_[k].count); });
    double total = 0;
    for (const double sum : sums) total += sum;
    return total <= std::numeric_limits<T>::max() ? std::sqrt(total) : total * INFINITY;
  }

  void update(const AdamwStep<T>& step) const {
    each([&](size_t k) { kernels_.adamw(step, parts_[k]); });
  }

 private:
  static constexpr int64_t kTask = 8192;  // numbers

  template <class Body>
  void each(Body&& body) const {
    each_in_parallel(static_cast<int64_t>(tasks_.size()), [&](int64_t task) {
      for (size_t k = tasks_[task].first; k < tasks_[task].second; ++k) body(k);
    });
  }

  const KernelsOf<T>& kernels_ = kernels_of<T>();
  std::vector<AdamwPart<T>> parts_;
  std::vector<std::pair<size_t, size_t>> tasks_;  // ranges of parts_
  int64_t open_ = 0;                              // numbers of the last task
};

}  // namespace astgnn::ops
