// A random panel small enough to check by hand: 9 dates, 12 stocks, about three quarters of them
// in, one date empty, two horizons.
#pragma once

#include <ATen/ATen.h>

#include "train/panel.h"

inline astgnn::train::Panel small_panel(int64_t window, int64_t features) {
  constexpr int64_t kDates = 9, kStocks = 12;
  astgnn::train::Panel panel;
  panel.window = window;
  panel.features = at::randn({kDates, kStocks, features});
  panel.targets = at::randn({kDates, kStocks, 2});
  panel.targets.index_put_({at::rand({kDates, kStocks, 2}) < 0.1}, at::scalar_tensor(NAN));
  std::vector<int32_t> offsets{0}, stocks;
  const auto in = at::rand({kDates, kStocks}) < 0.75;
  for (int64_t date = 0; date < kDates; ++date) {
    for (int32_t stock = 0; stock < kStocks && date >= window - 1 && date != 6; ++stock) {
      if (in[date][stock].item<bool>()) stocks.push_back(stock);
    }
    offsets.push_back(static_cast<int32_t>(stocks.size()));
  }
  panel.row_offsets = at::tensor(offsets, at::kInt);
  panel.row_stocks = at::tensor(stocks, at::kInt);
  panel.groups = panel.row_stocks.remainder(3).to(at::kInt);
  return panel;
}
