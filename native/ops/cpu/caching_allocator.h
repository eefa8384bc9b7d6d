// The memory of CPU tensors. The C library maps large blocks anew and gives them back at once, so
// that every page of every temporary faults again in every step: N x N temporaries then cost more
// than their arithmetic. Here freed blocks are kept for the next step, in mappings that nothing else
// of the process sees.
#pragma once

#include <c10/core/Allocator.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <set>
#include <tuple>

namespace astgnn::ops {

// Blocks of 16 KiB up to 256 MiB lie in mappings of 64 MiB or more and are split and merged there,
// the smallest that fits first. Smaller and larger ones come from LibTorch's own allocator. All are
// aligned to 64 bytes. At most 1 GiB of freed memory is kept.
class CachingAllocator final : public c10::Allocator {
 public:
  struct Statistics {
    size_t used;    // bytes of blocks that are in use
    size_t kept;    // bytes of freed blocks whose pages the process still has
    size_t mapped;  // bytes of address space
  };

  static CachingAllocator& instance();
  // From now on LibTorch's CPU tensors come from here.
  void install();

  c10::DataPtr allocate(size_t bytes) override;
  c10::DeleterFnPtr raw_deleter() const override { return &deallocate; }
  void copy_data(void* to, const void* from, size_t bytes) const override;

  // Gives the pages of all freed blocks back to the system.
  void trim();
  Statistics statistics();

  // For a thread that computes nothing: nothing is kept for it. What it allocates comes from
  // LibTorch's own allocator, and what it frees goes back to the system at once.
  static void keep_nothing_on_this_thread();

 private:
  struct Block;
  // Whether its pages are with the system (untouched or given back), size, place: of two that fit,
  // the one that costs no new page, then the smaller, then the lower.
  using Free = std::set<std::tuple<bool, size_t, Block*>>;

  CachingAllocator() = default;
  static void deallocate(void* data);
  void free(Block* block);
  Block* take(size_t size);
  Block* map(size_t size);
  void insert(Block* block);
  void remove(Block* block);
  void merge_with_next(Block* block);
  void release(Block* block);
  static void give_back(Block* block);
  void release_all();

  std::mutex mutex_;
  Free free_;
  size_t used_ = 0, kept_ = 0, mapped_ = 0;
};

}  // namespace astgnn::ops
