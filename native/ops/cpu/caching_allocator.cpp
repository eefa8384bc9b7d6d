#include "ops/cpu/caching_allocator.h"

#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace astgnn::ops {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kSmallest = size_t{16} << 10;
constexpr size_t kLargest = size_t{256} << 20;
constexpr size_t kMapping = size_t{64} << 20;
constexpr size_t kMostKept = size_t{1} << 30;

thread_local bool keeps_nothing = false;

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

// In front of each block's data, and part of its size.
struct alignas(kAlignment) CachingAllocator::Block {
  size_t size;
  Block* previous;  // that ends where this one starts, in the same mapping
  bool is_last;     // of its mapping
  bool is_free;
  bool is_untouched;  // free, and its pages are with the system
  bool is_foreign;    // of LibTorch's own allocator

  void* data() { return this + 1; }
  bool is_mapping() const { return previous == nullptr && is_last; }
  Block* next() {
    return is_last ? nullptr : reinterpret_cast<Block*>(reinterpret_cast<char*>(this) + size);
  }
};

CachingAllocator& CachingAllocator::instance() {
  // Never destroyed: tensors may outlive everything.
  static auto* allocator = new CachingAllocator();
  return *allocator;
}

void CachingAllocator::install() { c10::SetCPUAllocator(this); }

void CachingAllocator::keep_nothing_on_this_thread() { keeps_nothing = true; }

c10::DataPtr CachingAllocator::allocate(size_t bytes) {
  if (bytes == 0) return {nullptr, nullptr, &deallocate, at::kCPU};
  // Where this wraps around, LibTorch's allocator refuses the size.
  const size_t size = bytes <= kLargest ? round_up(bytes, kAlignment) + sizeof(Block)
                                        : bytes + sizeof(Block);
  Block* block = nullptr;
  if (size >= kSmallest && size <= kLargest && !keeps_nothing) {
    std::lock_guard lock(mutex_);
    block = take(size);
  }
  if (block == nullptr) {
    block = static_cast<Block*>(c10::alloc_cpu(std::max(bytes, size)));
    block->is_foreign = true;
  }
  return {block->data(), block->data(), &deallocate, at::kCPU};
}

void CachingAllocator::deallocate(void* data) {
  if (data == nullptr) return;
  Block* block = static_cast<Block*>(data) - 1;
  if (block->is_foreign)
    c10::free_cpu(block);
  else
    instance().free(block);
}

void CachingAllocator::copy_data(void* to, const void* from, size_t bytes) const {
  default_copy_data(to, from, bytes);
}

// Null where the system has no memory left.
CachingAllocator::Block* CachingAllocator::take(size_t size) {
  Block* block = nullptr;
  for (const bool untouched : {false, true}) {
    const auto at = free_.lower_bound({untouched, size, nullptr});
    if (at == free_.end() || std::get<0>(*at) != untouched) continue;
    block = std::get<Block*>(*at);
    remove(block);
    break;
  }
  if (block == nullptr) block = map(size);
  if (block == nullptr) return nullptr;
  if (block->size - size >= kSmallest) {
    auto* rest = reinterpret_cast<Block*>(reinterpret_cast<char*>(block) + size);
    *rest = *block;
    rest->size = block->size - size;
    rest->previous = block;
    if (Block* after = rest->next()) after->previous = rest;
    block->size = size;
    block->is_last = false;
    insert(rest);
  }
  block->is_free = block->is_untouched = false;
  used_ += block->size;
  return block;
}

CachingAllocator::Block* CachingAllocator::map(size_t size) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  for (size_t bytes : {std::max(kMapping, round_up(size, page)), round_up(size, page)}) {
    void* memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      release_all();
      continue;
    }
    // Fewer faults and misses of the TLB, where the system has huge pages only for those who ask.
    madvise(memory, bytes, MADV_HUGEPAGE);
    mapped_ += bytes;
    return new (memory) Block{bytes, nullptr, true, true, true, false};
  }
  return nullptr;
}

void CachingAllocator::free(Block* block) {
  std::lock_guard lock(mutex_);
  used_ -= block->size;
  block->is_free = true;
  // Its own pages only: those beside it are what the compute thread keeps for its next step.
  block->is_untouched = keeps_nothing;
  if (keeps_nothing) give_back(block);
  if (Block* next = block->next(); next != nullptr && next->is_free) {
    remove(next);
    merge_with_next(block);
  }
  if (Block* previous = block->previous; previous != nullptr && previous->is_free) {
    remove(previous);
    merge_with_next(previous);
    block = previous;
  }
  insert(block);
  if (block->is_untouched && block->is_mapping()) release(block);
  while (kept_ > kMostKept)
    release(std::get<Block*>(*std::prev(free_.lower_bound({true, 0, nullptr}))));
}

void CachingAllocator::merge_with_next(Block* block) {
  const Block* next = block->next();
  block->size += next->size;
  block->is_last = next->is_last;
  block->is_untouched &= next->is_untouched;
  if (Block* after = block->next()) after->previous = block;
}

void CachingAllocator::insert(Block* block) {
  free_.emplace(block->is_untouched, block->size, block);
  if (!block->is_untouched) kept_ += block->size;
}

void CachingAllocator::remove(Block* block) {
  free_.erase({block->is_untouched, block->size, block});
  if (!block->is_untouched) kept_ -= block->size;
}

// A mapping goes as a whole; of one that is in use elsewhere, its pages.
void CachingAllocator::release(Block* block) {
  remove(block);
  if (block->is_mapping()) {
    mapped_ -= block->size;
    munmap(block, block->size);
    return;
  }
  give_back(block);
  block->is_untouched = true;
  insert(block);
}

// The pages between the headers.
void CachingAllocator::give_back(Block* block) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const auto start = round_up(reinterpret_cast<uintptr_t>(block->data()), page),
             end = (reinterpret_cast<uintptr_t>(block) + block->size) / page * page;
  if (start < end) madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);
}

void CachingAllocator::release_all() {
  const Free all = free_;
  for (const auto& [untouched, size, block] : all)
    if (!untouched || block->is_mapping()) release(block);
}

void CachingAllocator::trim() {
  std::lock_guard lock(mutex_);
  release_all();
}

CachingAllocator::Statistics CachingAllocator::statistics() {
  std::lock_guard lock(mutex_);
  return {used_, kept_, mapped_};
}

}  // namespace astgnn::ops
