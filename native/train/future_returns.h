// What the stocks of a batch do in the days that follow: the target of the co-movement loss. A
// label, never an input.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace astgnn::train {

using at::Tensor;

struct Panel;
struct PackedBatch;

// x [R, H]: the return of day t + h over the sample standard deviation of the stock's 60 daily
// returns up to t (20 of them at least), clipped to +-4, less its mean over the rows of t. NaN
// where the return is missing or the deviation is missing or 0, throughout a date whose samples may
// not look H days ahead (Panel::return_ends), and in filler.
struct FutureReturns {
  int64_t days;  // H
  Tensor host;   // x on the CPU
  Tensor x;      // x where the panel is
  // There too, [R, H]: x with 0 for NaN, and its mean over the date's other rows. Both are 0 where
  // a date's only two rows are similar: each one's peers are all others, and rounding must not tell
  // them apart.
  Tensor known, others;
};

// What is asked for.
struct FutureRequest {
  std::vector<int64_t> days;   // each once
  bool within_groups = false;  // stocks of one group only are similar
};

// Of the packed rows, in this dtype; filler makes up what they lack of so many `rows`.
FutureReturns future_returns(const Panel& panel, const PackedBatch& packed, int64_t days,
                             bool within_groups, int64_t rows, at::ScalarType dtype);

}  // namespace astgnn::train
