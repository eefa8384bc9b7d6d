#include "table/check.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace astgnn::table {

namespace {

template <class Use>
auto with_values(const GridColumn& column, Use&& use) {
  return column.single != nullptr ? use(column.single) : use(column.twice);
}

template <class T>
void put(uint8_t* out, T value) {
  std::memcpy(out, &value, sizeof value);
}

template <class T>
void drop_not_positive(T* values, int64_t count, PriceCounts& counts) {
  int32_t positive = 0, zero = 0, negative = 0;  // as wide as a float: 4 at a time
  for (int64_t i = 0; i < count; ++i) {
    positive += values[i] > 0;
    zero += values[i] == 0;
    negative += values[i] < 0;
  }
  counts.positive += positive;
  counts.zero += zero;
  counts.negative += negative;
  if (zero + negative == 0) return;
  for (int64_t i = 0; i < count; ++i)
    if (values[i] <= 0) values[i] = std::numeric_limits<T>::quiet_NaN();
}

}  // namespace

int64_t GridCheck::date_bytes() const {
  const auto width = static_cast<int64_t>(8 * columns.size() + 4 * codes.size() + 4);
  return 4 + width * stocks;
}

int64_t GridCheck::step(int64_t from, int64_t to, uint8_t* const out) {
  constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
  counts.resize(prices.size());
  uint8_t* end = out;
  for (int64_t t = from; t < to; ++t) {
    const int64_t first = t * stocks;
    const uint8_t* is_row = present + first;
    // Every cell is written and the next one over it, unless it was that of a row: no branch.
    uint8_t* const head = end;
    int32_t count = 0;
    for (int64_t n = 0; n < stocks; ++n) {
      put(head + 4 + 4 * int64_t{count}, static_cast<int32_t>(n));
      count += is_row[n];
    }
    put(head, count);
    end += 4 + 4 * int64_t{count};
    for (const GridColumn& column : columns) {
      with_values(column, [&](const auto* values) {
        uint8_t* next = end;
        for (int64_t n = 0; n < stocks; ++n) {
          const double value = values[first + n];
          put(next, value == value ? value + 0.0 : kMissing);
          next += 8 * is_row[n];
        }
        end = next;
      });
    }
    for (const GridCodes& column : codes) {
      for (int64_t n = 0; n < stocks; ++n) {
        const int64_t cell = first + n;
        put(end, column.flags != nullptr ? int32_t{column.flags[cell]} : column.codes[cell]);
        end += 4 * is_row[n];
      }
    }

    for (size_t p = 0; p < prices.size(); ++p)
      with_values(columns[prices[p]], [&](auto* values) { drop_not_positive(values + first, stocks, counts[p]); });
    if (high >= 0) {
      with_values(columns[high], [&](auto* highs) {
        with_values(columns[low], [&](auto* lows) {
          for (int64_t cell = first; cell < first + stocks; ++cell) {
            if (!(highs[cell] < lows[cell])) continue;
            ++crossed;
            highs[cell] = std::numeric_limits<float>::quiet_NaN();
            lows[cell] = std::numeric_limits<float>::quiet_NaN();
          }
        });
      });
    }
    for (const int64_t k : filling) {
      with_values(columns[k], [&](const auto* values) {
        for (int64_t cell = first; cell < first + stocks; ++cell)
          filled[cell] |= values[cell] == values[cell];
      });
    }
    kept += std::count(filled + first, filled + first + stocks, 1);
  }
  return end - out;
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

}  // namespace astgnn::table
