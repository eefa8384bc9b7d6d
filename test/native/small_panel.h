// A random panel small enough to check by hand: 9 dates after a history without rows, 12 stocks,
// about three quarters of them in, the seventh date empty, two horizons, returns.
#pragma once

#include <ATen/ATen.h>

#include "train/panel.h"

inline astgnn::train::Panel small_panel(int64_t window, int64_t features, int64_t history = 0) {
  constexpr int64_t kStocks = 12;
  const int64_t dates = history + 9;
  astgnn::train::Panel panel;
  panel.window = window;
  panel.features = at::randn({dates, kStocks, features});
  panel.targets = at::randn({dates, kStocks, 2});
  panel.targets.index_put_({at::rand({dates, kStocks, 2}) < 0.1}, at::scalar_tensor(NAN));
  std::vector<int32_t> offsets{0}, stocks;
  const auto in = at::rand({dates, kStocks}) < 0.75;
  for (int64_t date = 0; date < dates; ++date) {
    const int64_t nth = date - history;
    for (int32_t stock = 0; stock < kStocks && nth >= window - 1 && nth != 6; ++stock) {
      if (in[date][stock].item<bool>()) stocks.push_back(stock);
    }
    offsets.push_back(static_cast<int32_t>(stocks.size()));
  }
  panel.row_offsets = at::tensor(offsets, at::kInt);
  panel.row_stocks = at::tensor(stocks, at::kInt);
  panel.returns = 0.02 * at::randn({dates, kStocks});
  panel.returns.index_put_({at::rand({dates, kStocks}) < 0.05}, at::scalar_tensor(NAN));
  panel.return_ends = at::full({dates}, dates - 1, at::kInt);
  panel.groups = panel.row_stocks.remainder(3).to(at::kInt);
  return panel;
}
