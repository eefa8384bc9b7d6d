// Labels of a panel, what the loss sees of them, and which of them rows lack.
#pragma once

#include <optional>
#include <vector>

#include "ops/data/grid.h"
#include "ops/data/residuals.h"

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
  int64_t overflowing = 0;  // beyond a float
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

// What labels are made neutral to before they are transformed.
struct NeutralTo {
  const float* exposures = nullptr;  // [dates, slots, count], NaN where missing
  const Slots* slots = nullptr;
  int64_t count = 0;
  const int32_t* groups = nullptr;  // [dates, stocks], or null: one intercept for all
  int64_t group_count = 0;
  double clip = 0;                   // the fit sees labels within ± this; 0: as they are
  const uint8_t* counted = nullptr;  // [dates]: 1 where what happens goes into NeutralCounts
};

struct NeutralCounts {
  int64_t filled = 0;    // missing exposures of labels
  int64_t dependent = 0;  // exposures of a date and horizon that the others explain
  int64_t unfit = 0;     // labels of dates with no more labels than exposures and intercepts
  int64_t labels = 0;    // all
};

// targets [dates, stocks, L]: per date and horizon, over the rows that have a label, clipped and
// transformed; NaN elsewhere. Ranks as the normal quantile of (average-tie rank - 0.5) / n.
// Where there is something to be neutral to, the residuals of the labels take their place; dates
// with too few labels for them have no targets.
NeutralCounts make_targets(const RowList& rows, const float* labels, int64_t width,
                           const LabelTransform& transform, const NeutralTo* neutral,
                           float* targets);

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
