#include "ops/data/slots.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

namespace astgnn::ops {
namespace {

template <class T>
using Smallest = std::priority_queue<T, std::vector<T>, std::greater<T>>;

struct Life {
  int32_t first = -1, last = -1;
};

std::vector<Life> find_lives(const LivesInput& in) {
  std::vector<Life> lives(in.stocks);
  for (int64_t t = in.first; t < in.dates; ++t) {
    const int64_t row = t * in.stocks;
    const auto date = static_cast<int32_t>(t - in.first);
    for (int64_t n = 0; n < in.stocks; ++n) {
      bool is_alive = in.present[row + n] == 1 || in.universe[row + n] == 1;
      if (!is_alive && in.close) {
        const double close = in.close.at(row + n);
        is_alive = close == close;
      }
      if (!is_alive) continue;
      if (lives[n].first < 0) lives[n].first = date;
      lives[n].last = date;
    }
  }
  return lives;
}

}  // namespace

Slots::Slots(const LivesInput& input) : Slots(input.dates - input.first, input.stocks) {
  const auto lives = find_lives(input);
  from_.assign(stocks_, 0);
  last_.assign(stocks_, -1);
  until_.assign(stocks_, -1);
  slot_.assign(stocks_, -1);
  std::vector<int32_t> order;
  for (int64_t n = 0; n < stocks_; ++n) {
    if (lives[n].first < 0) continue;
    order.push_back(static_cast<int32_t>(n));
    from_[n] = static_cast<int32_t>(std::max<int64_t>(0, lives[n].first - input.reach));
    last_[n] = lives[n].last;
    until_[n] = static_cast<int32_t>(dates_ - 1);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return from_[a] < from_[b]; });

  struct Taken {
    int32_t last, slot, stock;
    auto operator<=>(const Taken&) const = default;
  };
  Smallest<Taken> taken;
  Smallest<int32_t> free;
  std::vector<int32_t> holder;  // of each slot: the newest stock
  for (const int32_t n : order) {
    for (; !taken.empty() && taken.top().last < from_[n]; taken.pop()) free.push(taken.top().slot);
    if (free.empty()) {
      free.push(static_cast<int32_t>(holder.size()));
      holder.push_back(-1);
    }
    const int32_t slot = slot_[n] = free.top();
    free.pop();
    if (holder[slot] >= 0) until_[holder[slot]] = from_[n] - 1;
    holder[slot] = n;
    taken.push({last_[n], slot, n});
  }
  count_ = std::max<int64_t>(1, static_cast<int64_t>(holder.size()));
  if (count_ == stocks_) slot_.clear();
}

Slots::Slots(int64_t dates, int64_t count, std::vector<int32_t> slot, std::vector<int32_t> from,
             std::vector<int32_t> last, std::vector<int32_t> until)
    : dates_(dates),
      stocks_(static_cast<int64_t>(slot.size())),
      count_(count),
      slot_(std::move(slot)),
      from_(std::move(from)),
      last_(std::move(last)),
      until_(std::move(until)) {}

bool Slots::is_valid() const {
  for (int64_t n = 0; n < stocks_; ++n) {
    const bool lives = from(n) <= last(n);
    if (slot(n) < (lives ? 0 : -1) || slot(n) >= count_) return false;
    if (lives && (from(n) < 0 || last(n) > until(n) || until(n) >= dates_)) return false;
    if (!lives && from(n) <= until(n)) return false;
  }
  return true;
}

bool Slots::take_over(const Slots& other, int64_t offset, int64_t dates) {
  for (int64_t n = 0; n < stocks_; ++n) {
    const int64_t end = std::min(dates - 1, last(n));
    if (from(n) > end) continue;
    if (other.from(n) - offset > from(n) || other.until(n) - offset < end) return false;
  }
  if (slot_.empty()) return true;
  for (int64_t n = 0; n < stocks_; ++n) {
    const int64_t end = other.until(n) - offset;
    if (from_[n] <= last_[n] && last_[n] < dates && end < dates - 1)
      until_[n] = static_cast<int32_t>(std::min<int64_t>(until_[n], end));
  }
  return true;
}

}  // namespace astgnn::ops
