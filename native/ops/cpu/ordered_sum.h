// What tasks of a parallel region computed, added up in the order of the tasks as soon as those
// before have ended: bits that do not depend on the number of threads, and memory for the sums in
// hand and for those that wait for an earlier one only.
#pragma once

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <mutex>
#include <vector>

namespace astgnn::ops {

template <class T>
class OrderedSum {
 public:
  // total [size] is written; each of `count` tasks must be taken and given once.
  OrderedSum(T* total, int64_t size, int64_t count) : total_(total), size_(size), ended_(count) {
    free_.reserve(count);
    if (count == 0) std::fill_n(total, size, T(0));
  }

  // Cleared memory for a task's own sum.
  c10::DataPtr take() {
    c10::DataPtr sum;
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        sum = std::move(free_.back());
        free_.pop_back();
      }
    }
    if (!sum) sum = c10::GetCPUAllocator()->allocate(static_cast<size_t>(size_) * sizeof(T));
    std::fill_n(static_cast<T*>(sum.get()), size_, T(0));
    return sum;
  }

  // The thread that closes a gap adds what waited behind it.
  void give(int64_t task, c10::DataPtr sum) {
    std::unique_lock lock(mutex_);
    ended_[task] = std::move(sum);
    if (adding_) return;
    adding_ = true;
    for (; next_ < ended_.size() && ended_[next_]; ++next_) {
      c10::DataPtr own = std::move(ended_[next_]);
      lock.unlock();
      const T* from = static_cast<const T*>(own.get());
      if (next_ == 0) {
        std::copy_n(from, size_, total_);
      } else {
        for (int64_t k = 0; k < size_; ++k) total_[k] += from[k];
      }
      lock.lock();
      free_.push_back(std::move(own));
    }
    adding_ = false;
  }

 private:
  T* total_;
  int64_t size_;
  std::vector<c10::DataPtr> ended_, free_;  // ended_[k]: empty until task k has ended
  size_t next_ = 0;                         // task to add next; written by the thread that adds
  bool adding_ = false;
  std::mutex mutex_;
};

}  // namespace astgnn::ops
