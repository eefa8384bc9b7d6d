// Where features of stocks lie that come and go. A stock lives from its first to its last date;
// stocks that do not live at the same time share a slot, one after the other, so that features
// [dates, slots, F] need about as many slots as stocks live at once. Every stock has one slot.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/data/grid.h"

namespace astgnn::ops {

struct LivesInput {
  int64_t dates, stocks;
  int64_t first = 0;  // date 0 of the lives
  int64_t reach = 0;  // so many dates before its first are a stock's too: windows may read them
  // A stock lives on a date that has any of these, [dates, stocks].
  const uint8_t* present;
  const uint8_t* universe;
  Column close;  // or none
};

class Slots {
 public:
  // Every stock in a slot of its own on all dates.
  Slots(int64_t dates, int64_t stocks) : dates_(dates), stocks_(stocks), count_(stocks) {}
  // Each stock, by its first date, takes the first slot that is free. Where no two share one, as
  // above.
  explicit Slots(const LivesInput& input);

  // As they were stored.
  Slots(int64_t dates, int64_t count, std::vector<int32_t> slot, std::vector<int32_t> from,
        std::vector<int32_t> last, std::vector<int32_t> until);

  // Whether slots and dates are in their ranges.
  bool is_valid() const;
  int64_t dates() const { return dates_; }
  int64_t stocks() const { return stocks_; }
  int64_t count() const { return count_; }
  // Slot of each stock, -1 where it never lives; empty: slot n is stock n's.
  const std::vector<int32_t>& of_stock() const { return slot_; }
  int64_t slot(int64_t stock) const { return slot_.empty() ? stock : slot_[stock]; }
  // Dates of a stock, both inclusive.
  int64_t from(int64_t stock) const { return slot_.empty() ? 0 : from_[stock]; }
  int64_t last(int64_t stock) const { return slot_.empty() ? dates_ - 1 : last_[stock]; }
  // Up to which date the slot is the stock's: before the next stock's first, or to the end.
  int64_t until(int64_t stock) const { return slot_.empty() ? dates_ - 1 : until_[stock]; }
  bool holds(int64_t date, int64_t stock) const {
    return from(stock) <= date && date <= until(stock);
  }
  bool lives(int64_t date, int64_t stock) const {
    return from(stock) <= date && date <= last(stock);
  }

  // Whether `other`, whose date `offset` is date 0 here, holds the first `dates` dates of all
  // stocks. What it does not hold after a stock's last date is no longer held here either.
  bool take_over(const Slots& other, int64_t offset, int64_t dates);

 private:
  int64_t dates_, stocks_, count_;
  std::vector<int32_t> slot_, from_, last_, until_;
};

}  // namespace astgnn::ops
