// Segments as the kernels of a device read them, in one block that goes there at once: made once
// per batch, it serves both graphs in both directions.
#pragma once

#include "ops/cuda/kernels.h"
#include "ops/segments.h"
#include "ops/to_device.h"

namespace astgnn::ops {

// The parts of what the ops take as `segments`, int64 on the device. Sizes of launches follow from
// theirs.
enum SegmentPart : size_t {
  kTiles,       // [tiles, 3], SimilarityTile
  kRuns,        // [S, 3], AttentionRun
  kChunks,      // [chunks, 2], AttentionChunk
  kRunOfRow,    // [R], by packed row
  kDateBounds,  // [B + 1], places
  kOrder,       // [R], packed row of each place; [0] where these are the same
  kSegmentParts
};

// Rows of a tile of the similarity in this dtype.
inline int64_t similarity_tile(at::ScalarType dtype) {
  return dtype == at::kDouble ? cuda::kSimilarityTile<double> : cuda::kSimilarityTile<float>;
}

// What sizes must follow from beside the number of rows, or 0.
struct MostSegments {
  int64_t count = 0, rows_of_date = 0;
};

// count > 0: every part has the size that suits any so many segments of so many rows; those that
// are none are empty. One more part, without a number, has the rows of the largest date as its
// size.
inline std::vector<at::Tensor> device_segments(const Segments& segments, at::ScalarType dtype,
                                               at::Device device, const MostSegments& sized = {}) {
  const int64_t most = sized.count;
  static_assert(sizeof(cuda::SimilarityTile) == 3 * sizeof(int64_t));
  static_assert(sizeof(cuda::AttentionRun) == 3 * sizeof(int64_t));
  static_assert(sizeof(cuda::AttentionChunk) == 2 * sizeof(int64_t));
  std::vector<int64_t> parts[kSegmentParts];
  const int64_t tile = similarity_tile(dtype);
  parts[kRunOfRow].resize(segments.rows.size());
  for (int64_t s = 0; s < segments.count(); ++s) {
    const int64_t lo = segments.bounds[s], hi = segments.bounds[s + 1];
    for (int64_t place = lo; place < hi; place += tile)
      parts[kTiles].insert(parts[kTiles].end(), {lo, hi, place});
    // Two entries of each row: as it sees, and as it is seen.
    const auto chunk = static_cast<int64_t>(parts[kChunks].size()) / 2;
    parts[kRuns].insert(parts[kRuns].end(), {2 * lo, 2 * hi, chunk});
    for (int64_t entry = 2 * lo; entry < 2 * hi; entry += cuda::kAttentionChunk)
      parts[kChunks].insert(parts[kChunks].end(), {s, entry});
    for (int64_t place = lo; place < hi; ++place) parts[kRunOfRow][segments.rows[place]] = s;
  }
  if (most > 0) {
    const auto rows = static_cast<int64_t>(segments.rows.size()),
               chunks = static_cast<int64_t>(parts[kChunks].size()) / 2;
    const auto fill = [](std::vector<int64_t>& part, int64_t count,
                         std::initializer_list<int64_t> entry) {
      while (part.size() < count * entry.size()) part.insert(part.end(), entry);
    };
    fill(parts[kTiles], rows / tile + most, {rows, rows, rows});
    fill(parts[kRuns], most, {2 * rows, 2 * rows, chunks});
    fill(parts[kChunks], 2 * rows / cuda::kAttentionChunk + most, {most - 1, 2 * rows});
  }
  for (const int64_t s : segments.dates) parts[kDateBounds].push_back(segments.bounds[s]);
  if (!segments.ordered) parts[kOrder] = segments.rows;

  std::vector<int64_t> sizes;
  for (const auto& part : parts) sizes.push_back(static_cast<int64_t>(part.size()));
  const at::Tensor block =
      at::empty({std::accumulate(sizes.begin(), sizes.end(), int64_t{0})}, at::kLong);
  auto* next = block.mutable_data_ptr<int64_t>();
  for (const auto& part : parts) next = std::copy(part.begin(), part.end(), next);
  std::vector<at::Tensor> out = to_device(block, device).split_with_sizes(sizes);
  out[kTiles] = out[kTiles].view({-1, 3});
  out[kRuns] = out[kRuns].view({-1, 3});
  out[kChunks] = out[kChunks].view({-1, 2});
  if (most > 0) out.push_back(at::empty({sized.rows_of_date, 0}));
  return out;
}

// Rows of the largest date where the sizes of all launches must follow from it and from those of
// the batch, else 0.
inline int64_t rows_of_any_date(at::TensorList segments) {
  return segments.size() > kSegmentParts ? segments[kSegmentParts].size(0) : 0;
}

// Those that an op was given, or of its own making.
inline std::vector<at::Tensor> segments_of(at::TensorList given, const at::Tensor& offsets,
                                           const std::optional<at::Tensor>& groups,
                                           const at::Tensor& computed,
                                           const MostSegments& sized = {}) {
  if (!given.empty()) return given.vec();
  return device_segments(
      make_segments(offsets, groups ? std::optional(groups->cpu()) : std::nullopt),
      computed.scalar_type(), computed.device(), sized);
}

}  // namespace astgnn::ops
