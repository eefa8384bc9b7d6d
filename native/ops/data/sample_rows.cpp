#include "ops/data/sample_rows.h"

#include <algorithm>

namespace astgnn::ops {
namespace {

// What is known of a cell that the window of a row reads.
enum : uint8_t {
  kPriced = 1,
  kRead = 2,
  kKnown = 4,     // every feature but may_lack before the processors, or no price and every feature
                  // after them
  kComplete = 8,  // every feature after the processors
};

// Rows by their windows alone, and kPriced.
void find_windows(const SampleRowsInput& in, std::vector<uint8_t>& cells, SampleRows& rows) {
  const int64_t N = in.stocks;
  std::vector<int32_t> held(N);
  const uint8_t* counted = in.universe + in.first * N;
  rows.stocks.reserve(in.first < in.dates ? std::count(counted, in.universe + in.dates * N, 1) : 0);
  for (int64_t t = 0; t < in.dates; ++t) {
    uint8_t* now = cells.data() + t * N;
    for (int64_t n = 0; n < N; ++n) {
      const int64_t cell = t * N + n;
      const double price = in.close ? in.close.at(cell) : 0;
      now[n] = in.close ? price == price : in.present[cell] == 1;
      held[n] += now[n] - (t < in.window ? 0 : now[n - in.window * N] & kPriced);
      if (now[n]) rows.last_priced[n] = static_cast<int32_t>(t);
    }
    for (int64_t n = 0; t >= in.first && n < N; ++n) {
      if (in.universe[t * N + n] != 1) continue;
      if (now[n] && held[n] >= in.window - in.max_missing)
        rows.stocks.push_back(static_cast<int32_t>(n));
      else
        ++rows.incomplete_window;
    }
    rows.offsets[t + 1] = static_cast<int32_t>(rows.stocks.size());
  }
  rows.found = static_cast<int64_t>(rows.stocks.size());
}

// kRead where the window of a row reads.
void mark_read(const SampleRowsInput& in, std::vector<uint8_t>& cells, const SampleRows& rows) {
  const int64_t N = in.stocks;
  std::vector<int32_t> left(N);
  for (int64_t t = in.dates - 1; t >= 0; --t) {
    for (int64_t r = rows.offsets[t]; r < rows.offsets[t + 1]; ++r)
      left[rows.stocks[r]] = static_cast<int32_t>(in.window);
    uint8_t* now = cells.data() + t * N;
    for (int64_t n = 0; n < N; ++n) {
      if (left[n] > 0) now[n] |= kRead;
      left[n] -= left[n] > 0;
    }
  }
}

// kKnown and kComplete of the cells of a date that windows read, and how many features they lack.
void count_missing(const SampleRowsInput& in, int64_t date, uint8_t* now, int64_t* missing,
                   int64_t* unfilled) {
  const int64_t F = in.features;
  for (int64_t n = 0; n < in.stocks; ++n) {
    if ((now[n] & kRead) == 0) continue;
    const int64_t cell = date * in.slots->count() + in.slots->slot(n);
    const uint8_t* mask = in.missing + cell * in.mask_bytes;
    bool is_known = std::all_of(mask, mask + in.mask_bytes, [](uint8_t m) { return m == 0; });
    if (!is_known) {
      is_known = true;
      for (int64_t f = 0; f < F; ++f) {
        if ((mask[f / 8] >> f % 8 & 1) == 0) continue;
        ++missing[f];
        is_known &= !in.may_lack.empty() && in.may_lack[f] == 1;
      }
    }
    bool is_complete = true;
    for (int64_t f = 0; in.incomplete[date] && f < F; ++f) {
      const float value = in.values[cell * F + f];
      if (value == value) continue;
      is_complete = false;
      ++unfilled[f];
    }
    if (is_complete) now[n] |= kComplete;
    if ((now[n] & kPriced) != 0 ? is_known : is_complete) now[n] |= kKnown;
  }
}

// Dates up to now on which every cell of a stock has had the flag.
void extend(int32_t& run, uint8_t cell, uint8_t flag) { run = (cell & flag) != 0 ? run + 1 : 0; }

}  // namespace

SampleRows sample_rows(const SampleRowsInput& in) {
  const int64_t N = in.stocks, D = in.dates, T = in.window;
  SampleRows rows;
  rows.offsets.resize(D + 1);
  rows.last_priced.assign(N, -1);
  std::vector<uint8_t> cells(D * N);
  find_windows(in, cells, rows);
  mark_read(in, cells, rows);

  std::vector<int64_t> missing(D * in.features), unfilled(D * in.features);
#pragma omp parallel for schedule(dynamic, 16)
  for (int64_t t = 0; t < D; ++t)
    count_missing(in, t, cells.data() + t * N, missing.data() + t * in.features,
                  unfilled.data() + t * in.features);
  rows.missing.assign(in.features, 0);
  rows.unfilled.assign(in.features, 0);
  for (int64_t i = 0; i < D * in.features; ++i) {
    rows.missing[i % in.features] += missing[i];
    rows.unfilled[i % in.features] += unfilled[i];
  }

  struct Runs {
    int32_t priced = 0, known = 0, complete = 0;
  };
  std::vector<Runs> runs(N);
  int32_t kept = 0, next = 0;
  for (int64_t t = 0; t < D; ++t) {
    const uint8_t* now = cells.data() + t * N;
    for (int64_t n = 0; n < N; ++n) {
      extend(runs[n].priced, now[n], kPriced);
      extend(runs[n].known, now[n], kKnown);
      extend(runs[n].complete, now[n], kComplete);
    }
    for (const int32_t end = rows.offsets[t + 1]; next < end; ++next) {
      const int32_t n = rows.stocks[next];
      rows.whole += runs[n].known >= T;
      if (runs[n].complete < T) continue;
      rows.stocks[kept++] = n;
      rows.gapless += runs[n].priced >= T;
    }
    rows.offsets[t + 1] = kept;
  }
  rows.stocks.resize(kept);
  return rows;
}

}  // namespace astgnn::ops
