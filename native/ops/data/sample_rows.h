// Which stocks are samples on which dates, and what their windows lack.
#pragma once

#include <vector>

#include "ops/data/slots.h"

namespace astgnn::ops {

struct SampleRowsInput {
  int64_t dates, stocks, features;
  int64_t window, max_missing;  // T, and how many of its dates may lack a price
  int64_t first;                // date before which there are no rows: T - 1 at least
  Column close;                 // a stock has a price where it has a close, or without a close column
  const uint8_t* present;       // [dates, stocks]: where this is 1
  const uint8_t* universe;      // [dates, stocks]
  // As in PanelFeaturesOutput.
  const Slots* slots;
  const float* values;  // [dates, slots, features]
  const uint8_t* missing;
  const uint8_t* incomplete;
  int64_t mask_bytes;
  // Per feature, 1 where a stock may lack it for want of history: no loss. Empty: none.
  std::vector<uint8_t> may_lack;
};

struct SampleRows {
  // Stocks of date t, ascending: stocks[offsets[t] .. offsets[t + 1]].
  std::vector<int32_t> offsets;  // [dates + 1]
  std::vector<int32_t> stocks;
  int64_t incomplete_window = 0;  // universe cells without a price on enough dates of the window
  int64_t found = 0;              // rows by their windows alone
  int64_t whole = 0;              // of these: no feature that is not in may_lack was missing before
                                  // the processors ran
  int64_t gapless = 0;            // of the rows kept: a price on every date of the window
  // Per feature, cells in the windows of `found` rows without a value before and after the
  // processors.
  std::vector<int64_t> missing, unfilled;
  std::vector<int32_t> last_priced;  // per stock, -1 where it never has a price
};

// Keeps the rows that are in the universe and have a price on their date and on all but max_missing
// dates of their window, and have every feature, after the processors, on every date of it.
SampleRows sample_rows(const SampleRowsInput& input);

}  // namespace astgnn::ops
