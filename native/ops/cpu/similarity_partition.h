// How the work on a graph is cut: pieces of rows, small blocks together, by sizes only, so that
// results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "ops/cpu/isa/kernels.h"

namespace astgnn::ops {

struct SimilarityPartition {
  using Range = std::pair<int64_t, int64_t>;
  struct Piece {
    int64_t block, row, rows;
  };
  struct Slot {
    int64_t block, index, count, start;
  };

  static constexpr int64_t kRows = 48;  // pieces are multiples of this
  static constexpr int64_t kGradientRows = 48;
  static constexpr int64_t kItemPairs = 1 << 15;  // pairs of rows that are worth handing out
  static constexpr int64_t kSlots = 16;  // sums of dM of a block that are added up in the end

  std::vector<Piece> pieces;
  std::vector<Slot> slots;
  std::vector<Range> items;           // of pieces
  std::vector<Range> gradient_items;  // of slots
  std::vector<Range> panels;          // block, first stock of each panel
  std::vector<Range> block_ranges;
  std::vector<int64_t> first_slot_row;  // of each block
  int64_t slot_rows = 0;

  // bounds: places of the blocks.
  explicit SimilarityPartition(const std::vector<int64_t>& bounds) {
    const int64_t blocks = static_cast<int64_t>(bounds.size()) - 1, rows = bounds.back();
    const int64_t step =
        std::clamp((rows / 32 + kRows - 1) / kRows * kRows, kRows, kSimilarityRows / kRows * kRows);
    int64_t open = 0, pairs = 0, open_slot = 0, slot_pairs = 0, open_block = 0, block_rows = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t n = bounds[b + 1] - bounds[b];
      for (int64_t row = 0; row < n; row += step) {
        pieces.push_back({b, row, std::min(step, n - row)});
        pairs += pieces.back().rows * n;
        if (pairs < kItemPairs) continue;
        items.emplace_back(open, static_cast<int64_t>(pieces.size()));
        open = static_cast<int64_t>(pieces.size());
        pairs = 0;
      }
      for (int64_t panel = 0; panel < n; panel += kSimilarityPanel) panels.emplace_back(b, panel);
      first_slot_row.push_back(slot_rows);
      const int64_t count = slots_of(n);
      for (int64_t s = 0; s < count; ++s) {
        slots.push_back({b, s, count, slot_rows});
        slot_rows += n;
        slot_pairs += n * n / (2 * count);
        if (slot_pairs < kItemPairs) continue;
        gradient_items.emplace_back(open_slot, static_cast<int64_t>(slots.size()));
        open_slot = static_cast<int64_t>(slots.size());
        slot_pairs = 0;
      }
      block_rows += n;
      if (block_rows >= kSimilarityPanel) {
        block_ranges.emplace_back(open_block, b + 1);
        open_block = b + 1;
        block_rows = 0;
      }
    }
    if (open < static_cast<int64_t>(pieces.size()))
      items.emplace_back(open, static_cast<int64_t>(pieces.size()));
    if (open_slot < static_cast<int64_t>(slots.size()))
      gradient_items.emplace_back(open_slot, static_cast<int64_t>(slots.size()));
    if (open_block < blocks) block_ranges.emplace_back(open_block, blocks);
  }

  static int64_t slots_of(int64_t n) {
    return std::clamp<int64_t>((n + 2 * kGradientRows - 1) / (2 * kGradientRows), 1, kSlots);
  }
};

}  // namespace astgnn::ops
