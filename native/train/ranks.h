// The processes that train together. What talks to them is a library of its own (ranks/), which is
// to be open before.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace astgnn::train {

using at::Tensor;

// Another rank is gone, or did not come in time; the group is of no more use.
struct RankLost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct RankOptions {
  std::string host;  // of the store
  int64_t port = 0, rank = 0, size = 1;
  bool hosts = false;  // the store is this process's
  std::string prefix;  // of keys in the store
  double start_seconds = 600, step_seconds = 120;
};

// Every rank makes the same calls in the same order. Both throw RankLost.
class Ranks {
 public:
  // Waits for the others. Once per process.
  explicit Ranks(const RankOptions& options);
  int64_t rank() const { return options_.rank; }
  int64_t size() const { return options_.size; }
  // [size, bytes] of everybody's message [bytes], uint8 and of one length, within step_seconds.
  Tensor gather(const Tensor& message) const;
  // The same of any lengths, within start_seconds.
  std::vector<Tensor> gather_all(const Tensor& bytes) const;
  // From now on `gather` takes messages of this GPU too, and leaves what comes there, by NCCL: "".
  // Else why not, on all ranks.
  std::string connect_gpus(at::Device device);
  bool connects(at::Device device) const { return gpu_ == device; }
  // Says goodbye; a reason ends the others too.
  void leave(const std::string& reason) const;

 private:
  std::vector<std::string> gather_texts(const std::string& own) const;

  RankOptions options_;
  std::optional<at::Device> gpu_;
};

// Contiguous slots for each rank, as many as for any other but for one.
class Shares {
 public:
  Shares(int64_t slots, int64_t ranks);
  int64_t begin(int64_t rank) const { return slots_ * rank / ranks_; }
  int64_t end(int64_t rank) const { return begin(rank + 1); }
  int64_t most() const { return (slots_ + ranks_ - 1) / ranks_; }
  // A rank sums its slots up to every multiple of this: to whole subtrees of the tree over all
  // slots (TreeSum), which the sums of all ranks, in order, then complete.
  int64_t subtree() const { return subtree_; }
  int64_t sums(int64_t rank) const;
  int64_t most_sums() const;

 private:
  int64_t slots_, ranks_, subtree_;
};

}  // namespace astgnn::train
