// Labels of a panel, what the loss sees of them, and which of them rows lack.
#pragma once

#include <optional>
#include <vector>

#include "ops/data/grid.h"

namespace astgnn::ops {

struct LabelsInput {
  int64_t dates, stocks;
  // horizons empty: the column holds the labels; else it is the close.
  Column column;
  std::vector<int64_t> horizons;
  int64_t lag;
  const uint8_t* tradable;  // [dates, stocks], or null: always
  const int32_t* segments;  // [dates, stocks] of prices that may be compared, or null

  int64_t width() const { return horizons.empty() ? 1 : static_cast<int64_t>(horizons.size()); }
};

// Labels that there were but for this.
struct LabelsRemoved {
  int64_t untradable = 0;  // not tradable on the entry date
  int64_t broken = 0;      // from one segment into another
};

// labels [dates, stocks, L]: close[t + lag + h] / close[t + lag] - 1, NaN where one of the two is
// missing, lies after the panel or counts as removed; or the column's values. Threads of OpenMP.
LabelsRemoved make_labels(const LabelsInput& input, float* labels);

// The rows of the dates, as in SampleRows.
struct RowList {
  int64_t dates, stocks;
  const int32_t* offsets;
  const int32_t* row_stocks;
};

struct LabelTransform {
  enum class Kind { kRank, kZscore, kNone };
  Kind kind;
  std::optional<double> winsorize;  // MADs
};

// targets [dates, stocks, L]: per date and horizon, over the rows that have a label, clipped and
// transformed; NaN elsewhere. Ranks as the normal quantile of (average-tie rank - 0.5) / n.
void make_targets(const RowList& rows, const float* labels, int64_t width,
                  const LabelTransform& transform, float* targets);

struct MissingLabelsInput {
  RowList rows;
  const float* labels;            // [dates, stocks, L]
  std::vector<int64_t> reach;     // [L]: dates from the entry to the end of a label
  int64_t lag;
  const uint8_t* tradable;        // or null
  const int32_t* last_priced;     // [stocks]
  const int32_t* sample_dates;    // the dates to look at, in their order
  int64_t sample_count;
};

struct MissingLabels {
  int64_t all = 0;      // labels of tradable rows
  int64_t gone = 0;     // missing, and end after the last price of the stock
  int64_t missing = 0;  // missing otherwise
  std::vector<int32_t> leavers, leaver_counts;  // stocks of `gone`, as first met
  std::vector<int32_t> gaps;                    // date, stock of the first ten of `missing`
};

MissingLabels find_missing_labels(const MissingLabelsInput& input);

}  // namespace astgnn::ops
