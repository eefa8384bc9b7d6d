#include "table/check.h"

#include <algorithm>
#include <limits>

namespace astgnn::table {

namespace {

template <class Use>
auto with_values(const GridColumn& column, Use&& use) {
  return column.single != nullptr ? use(column.single) : use(column.twice);
}

template <class T>
void replace(T* values, int64_t cell, Replaced& replaced) {
  replaced.cells.push_back(static_cast<int32_t>(cell));
  replaced.values.push_back(values[cell]);
  values[cell] = std::numeric_limits<T>::quiet_NaN();
}

template <class T>
void drop_not_positive(T* values, int64_t from, int64_t to, PriceCounts& counts,
                       Replaced& replaced) {
  int32_t there = 0, dropped = 0;  // as wide as a float: 4 at a time
  for (int64_t cell = from; cell < to; ++cell) {
    there += values[cell] == values[cell];
    dropped += values[cell] <= 0;
  }
  counts.positive += there - dropped;
  for (int64_t cell = from; dropped > 0; ++cell) {
    if (!(values[cell] <= 0)) continue;
    ++(values[cell] == 0 ? counts.zero : counts.negative);
    replace(values, cell, replaced);
    --dropped;
  }
}

}  // namespace

void GridCheck::clean(int64_t t) {
  const int64_t first = t * parts.stocks, end = first + parts.stocks;
  for (size_t p = 0; p < prices.size(); ++p)
    with_values(parts.columns[prices[p]], [&](auto* values) {
      drop_not_positive(values, first, end, counts[p], replaced[p]);
    });
  if (high < 0) return;
  const auto of = [&](int64_t column) -> Replaced& {
    return replaced[std::find(prices.begin(), prices.end(), column) - prices.begin()];
  };
  with_values(parts.columns[high], [&](auto* highs) {
    with_values(parts.columns[low], [&](auto* lows) {
      int32_t dropped = 0;
      for (int64_t cell = first; cell < end; ++cell) dropped += highs[cell] < lows[cell];
      crossed += dropped;
      for (int64_t cell = first; dropped > 0; ++cell) {
        if (!(highs[cell] < lows[cell])) continue;
        replace(highs, cell, of(high));
        replace(lows, cell, of(low));
        --dropped;
      }
    });
  });
}

void GridCheck::step(int64_t from, int64_t to) {
  counts.resize(prices.size());
  replaced.resize(prices.size());
  for (int64_t t = from; t < to; ++t) {
    const int64_t first = t * parts.stocks, end = first + parts.stocks;
    clean(t);
    date_digests_.write(t, dates, digests);
    if (filled == nullptr) continue;
    std::fill(filled + first, filled + end, uint8_t{0});
    for (const int64_t k : filling) {
      with_values(parts.columns[k], [&](const auto* values) {
        for (int64_t cell = first; cell < end; ++cell) filled[cell] |= values[cell] == values[cell];
      });
    }
    int32_t there = 0;
    for (int64_t cell = first; cell < end; ++cell) there += filled[cell];
    kept += there;
  }
}

void count_absent(const uint8_t* filled, int64_t dates, int64_t stocks, int64_t first,
                  int64_t neighbours, int32_t* there, int32_t* absent) {
  std::vector<uint8_t> before(static_cast<size_t>(stocks)), after(before);
  const auto shift = [&](std::vector<uint8_t>& counts, int64_t added, int64_t left) {
    if (added >= 0 && added < dates)
      for (int64_t n = 0; n < stocks; ++n) counts[n] += filled[added * stocks + n];
    if (left >= 0 && left < dates)
      for (int64_t n = 0; n < stocks; ++n) counts[n] -= filled[left * stocks + n];
  };
  for (int64_t t = first - 1 - neighbours; t < first - 1; ++t) shift(before, t, -1);
  for (int64_t t = first - 1; t < first + neighbours; ++t) shift(after, t, -1);
  for (int64_t t = first; t < dates; ++t) {
    shift(before, t - 1, t - 1 - neighbours);
    shift(after, t + neighbours, t - 1);
    const uint8_t* today = filled + t * stocks;
    // `after` counts today too, which is 0 wherever it is asked.
    const uint8_t* later = t == dates - 1 ? before.data() : after.data();
    int32_t found = 0, lacking = 0;
    for (int64_t n = 0; n < stocks; ++n) {
      found += today[n];
      lacking += (today[n] == 0) & (before[n] > 0) & (later[n] > 0);
    }
    there[t] = found;
    absent[t] = lacking;
  }
}

std::vector<int32_t> find_moves(GridColumn close, int64_t dates, int64_t stocks, int64_t from,
                                int64_t first, double low, double high) {
  std::vector<int32_t> moves;
  std::vector<int32_t> last(static_cast<size_t>(stocks), -1);
  std::vector<double> price(static_cast<size_t>(stocks));
  with_values(close, [&](const auto* values) {
    for (int64_t t = from; t < dates; ++t) {
      for (int64_t n = 0; n < stocks; ++n) {
        const auto cell = static_cast<int32_t>(t * stocks + n);
        const double now = values[cell];
        if (now != now) continue;
        const double factor = now / price[n];
        if (last[n] >= 0 && !(factor > low && factor < high) && t >= first) {
          moves.push_back(cell);
          moves.push_back(last[n]);
        }
        last[n] = cell;
        price[n] = now;
      }
    }
  });
  return moves;
}

void returns_of(GridColumn close, const int32_t* segments, int64_t dates, int64_t stocks,
                float* out) {
  constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
  std::fill_n(out, std::min(dates, int64_t{1}) * stocks, kMissing);
  with_values(close, [&](const auto* values) {
    for (int64_t cell = stocks; cell < dates * stocks; ++cell) {
      const double now = values[cell], before = values[cell - stocks];
      const auto change = static_cast<float>(now / before - 1);
      out[cell] = change == change ? change : kMissing;
    }
  });
  for (int64_t cell = stocks; segments != nullptr && cell < dates * stocks; ++cell)
    if (segments[cell] != segments[cell - stocks]) out[cell] = kMissing;
}

}  // namespace astgnn::table
