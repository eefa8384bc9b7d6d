// A segment is the rows that may be linked: all rows of a date, or those of one group of it.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

namespace astgnn::ops {

struct Segments {
  std::vector<int64_t> rows;    // [R] packed row of each place, ordered by (date, group, row)
  std::vector<int64_t> bounds;  // segment s has the places bounds[s] .. bounds[s + 1]
  std::vector<int64_t> dates;   // date d has the segments dates[d] .. dates[d + 1]
  bool ordered = true;          // places and packed rows are the same

  int64_t count() const { return static_cast<int64_t>(bounds.size()) - 1; }
};

inline Segments make_segments(const at::Tensor& offsets, const std::optional<at::Tensor>& groups) {
  const auto date_bounds = offsets.accessor<int64_t, 1>();
  const int64_t dates = date_bounds.size(0) - 1;
  Segments segments;
  segments.rows.resize(date_bounds[dates]);
  std::iota(segments.rows.begin(), segments.rows.end(), 0);
  segments.bounds = {0};
  segments.dates = {0};
  const at::Tensor group_rows = groups ? groups->contiguous() : at::Tensor();
  const int32_t* group = groups ? group_rows.const_data_ptr<int32_t>() : nullptr;
  for (int64_t date = 0; date < dates; ++date) {
    const int64_t lo = date_bounds[date], hi = date_bounds[date + 1];
    if (group) {
      std::stable_sort(segments.rows.begin() + lo, segments.rows.begin() + hi,
                       [&](int64_t a, int64_t b) { return group[a] < group[b]; });
      for (int64_t place = lo + 1; place < hi; ++place) {
        segments.ordered = segments.ordered && segments.rows[place - 1] < segments.rows[place];
        if (group[segments.rows[place]] != group[segments.rows[place - 1]])
          segments.bounds.push_back(place);
      }
    }
    if (hi > lo) segments.bounds.push_back(hi);
    segments.dates.push_back(segments.count());
  }
  return segments;
}

}  // namespace astgnn::ops
