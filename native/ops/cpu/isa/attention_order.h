// Rows in rising order of a score: least significant digit first on keys whose bits rise with the
// number, every pass's histogram from one read; few rows are inserted one by one. Equal scores keep
// the order of their places.
#pragma once

#include "ops/cpu/isa/kernels.h"
#include "ops/cpu/isa/vector.h"

namespace astgnn::ops::ASTGNN_ISA {

template <class T>
struct OrderItem;
template <>
struct OrderItem<float> {
  static constexpr int kBits = 32;
  uint64_t both;  // key above, row below
  static ASTGNN_INLINE OrderItem of(float score, int32_t row) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, score);
    const uint32_t key = bits ^ (bits >> 31 ? 0xFFFFFFFFu : 0x80000000u);
    return {uint64_t{key} << 32 | static_cast<uint32_t>(row)};
  }
  ASTGNN_INLINE uint64_t key() const { return both >> 32; }
  ASTGNN_INLINE int32_t row() const { return static_cast<int32_t>(both); }
};
template <>
struct OrderItem<double> {
  static constexpr int kBits = 64;
  uint64_t number;
  int64_t place;
  static ASTGNN_INLINE OrderItem of(double score, int32_t row) {
    const uint64_t bits = __builtin_bit_cast(uint64_t, score);
    return {bits ^ (bits >> 63 ? ~uint64_t{0} : uint64_t{1} << 63), row};
  }
  ASTGNN_INLINE uint64_t key() const { return number; }
  ASTGNN_INLINE int32_t row() const { return static_cast<int32_t>(place); }
};

template <class T>
int64_t order_scratch(int64_t count) {  // in doubles
  return 2 * count * static_cast<int64_t>(sizeof(OrderItem<T>) / sizeof(double));
}

constexpr int64_t kInserted = 64, kNarrowDigits = 1024;  // rows up to which each way is faster

template <class T>
void insertion_sort(OrderItem<T>* items, int64_t count) {
  for (int64_t i = 1; i < count; ++i) {
    const OrderItem<T> item = items[i];
    int64_t at = i;
    for (; at > 0 && items[at - 1].key() > item.key(); --at) items[at] = items[at - 1];
    items[at] = item;
  }
}

// Returns where the sorted items are: items or other.
template <int kDigit, class T>
OrderItem<T>* radix_sort(OrderItem<T>* items, OrderItem<T>* other, int64_t count) {
  constexpr int kPasses = (OrderItem<T>::kBits + kDigit - 1) / kDigit, kBuckets = 1 << kDigit;
  uint32_t histogram[kPasses][kBuckets] = {};
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t key = items[i].key();
    for (int pass = 0; pass < kPasses; ++pass)
      ++histogram[pass][key >> (pass * kDigit) & (kBuckets - 1)];
  }
  for (int pass = 0; pass < kPasses; ++pass) {
    uint32_t* start = histogram[pass];
    if (start[items[0].key() >> (pass * kDigit) & (kBuckets - 1)] == count) continue;
    uint32_t before = 0;
    for (int bucket = 0; bucket < kBuckets; ++bucket) {
      const uint32_t size = start[bucket];
      start[bucket] = before;
      before += size;
    }
    for (int64_t i = 0; i < count; ++i)
      other[start[items[i].key() >> (pass * kDigit) & (kBuckets - 1)]++] = items[i];
    OrderItem<T>* sorted = other;
    other = items;
    items = sorted;
  }
  return items;
}

template <class T>
void order_rows(const AttentionHead<T>& head, const T* scores, int32_t* order, double* scratch) {
  const int64_t count = head.count;
  auto* items = reinterpret_cast<OrderItem<T>*>(scratch);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = head.rows[i];
    items[i] = OrderItem<T>::of(scores[row * head.score_step], static_cast<int32_t>(row));
  }
  if (count <= kInserted) {
    insertion_sort<T>(items, count);
  } else if (count <= kNarrowDigits) {
    items = radix_sort<8, T>(items, items + count, count);
  } else {
    items = radix_sort<11, T>(items, items + count, count);
  }
  for (int64_t i = 0; i < count; ++i) order[i] = items[i].row();
}

}  // namespace astgnn::ops::ASTGNN_ISA
