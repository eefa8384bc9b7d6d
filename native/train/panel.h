// The resident panel and the packed batches gathered from it. Windows are never materialised: a
// batch refers to the panel. Features live on the device that computes; all else stays on the host,
// where batches are put together.
#pragma once

#include <vector>

#include "nn/modules.h"
#include "ops/data/slots.h"
#include "train/future_returns.h"

namespace astgnn::train {

using at::Tensor;

// features [dates, slots, F] float32, of stock n in slot slots.slot(n); rows of date t are
// row_stocks[row_offsets[t] .. row_offsets[t + 1]], ascending stocks. S stocks.
struct Panel {
  enum class Graph { kComplete, kGroups, kEdges, kNone };
  Tensor features;  // [dates, slots, F] float32, on the device; or on the CPU int16 with
  Tensor ranked;    // int32 CPU [dates, F], both as in ops/data/rank_codes.h: batches are decoded
  ops::Slots slots{0, 0};  // left so: slot n is stock n's
  Tensor targets;   // [dates, S, L] float32, undefined where there are none
  Tensor returns;   // daily [dates, S] float32 CPU, NaN where missing, or undefined
  // int32 CPU [dates], where there are returns: the last date at whose return samples of a date
  // may look as at a label, -1 where there is none.
  Tensor return_ends;
  Tensor row_offsets, row_stocks;  // int32 CPU
  Tensor groups;                   // int32 [rows], undefined where there are none
  Tensor edge_source, edge_target, edge_from,
      edge_to;  // int32 [E]; undefined unless graph is kEdges
  int64_t window = 1;
  Graph graph = Graph::kComplete;

  // To be called once when all fields are set: checks shapes, ranges (row dates >= window - 1),
  // indices and that rows hold the slots of their windows, sorts the edges and moves the features to
  // the device.
  void prepare(at::Device device = at::kCPU);
  int64_t stocks() const { return slots.stocks(); }
  at::Device device() const { return features.device(); }
  int64_t rows(int64_t date) const;
  int64_t most_rows() const;  // of any date
  size_t bytes() const;

  // One edge, in the list of the stock that sees; both dates inclusive.
  struct Neighbour {
    int32_t stock, from, to;
  };
  // Of stock n: neighbours[neighbour_offsets[n] .. neighbour_offsets[n + 1]], by stock, n itself
  // included on every date.
  std::vector<int64_t> neighbour_offsets;
  std::vector<Neighbour> neighbours;

 private:
  void check() const;
};

// float32 [dates, slots, F] of codes int16 [dates, slots, F] and how many were ranked [dates, F].
Tensor decoded(const Tensor& codes, const Tensor& ranked);

// Rows of the dates asked for, packed in that order. Behind them, where asked for, filler in the
// tensors.
struct PackedBatch {
  nn::Sequences sequences;
  nn::Batch batch;
  Tensor targets;                      // [R, L] in the dtype asked for; undefined without targets
  Tensor host_targets;                 // the same on the CPU
  std::vector<FutureReturns> futures;  // one for each number of days asked for
  Tensor date_offsets;                 // offsets as int64 [B + 1] where the panel is
  std::vector<int64_t> offsets;        // [B + 1]
  std::vector<int64_t> dates;          // [B]
  std::vector<int32_t> stocks;         // [R]
  const FutureReturns& future(int64_t days) const;
};
// rows > 0: filler makes up what the dates lack of so many rows, as one more date of the graph
// whose stocks have no label, and what it adds to any gradient is 0. Without groups and edges all
// sizes then depend on rows and the number of dates alone. Not for edges.
PackedBatch pack(const Panel& panel, at::ArrayRef<int64_t> dates, at::ScalarType dtype,
                 uint64_t seed, int64_t step, int64_t rows = 0, const FutureRequest& future = {});
// So many rows and up to a sixteenth more, such that few numbers come out.
int64_t padded_rows(int64_t rows);

}  // namespace astgnn::train
