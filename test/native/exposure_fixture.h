// The panel and the expected values that scripts/make-exposure-fixtures.py writes.
#pragma once

#include <ATen/ATen.h>

#include <filesystem>
#include <vector>

namespace astgnn {

class ExposureFixture {
 public:
  ExposureFixture() {
    const std::string path = ASTGNN_TEST_FIXTURES "/exposures.f64";
    all_ = at::from_file(path, false, std::filesystem::file_size(path) / 8, at::kDouble).clone();
    const at::Tensor sizes = take({7});
    const auto size = [&](int i) { return static_cast<int64_t>(sizes[i].item<double>()); };
    dates = size(0), stocks = size(1), window = size(4), count = size(6);
    half_life = sizes[5].item<double>();
    for (at::Tensor* column : {&open, &high, &low, &close, &volume}) *column = take({dates, stocks});
    universe = take({dates, stocks}).to(at::kByte);
    present = close.eq(close).to(at::kByte);
    months = take({dates}).to(at::kInt);
    style_dates = integers(size(2));
    refreshes = integers(size(3));
    raw_style = take({size(2), 21, stocks});
    style = take({size(2), 21, stocks});
    loadings = take({size(3), count, stocks});
  }

  int64_t dates, stocks, window, count;
  double half_life;
  at::Tensor open, high, low, close, volume, universe, present;  // [dates, stocks]
  at::Tensor months;                                             // [dates]
  std::vector<int64_t> style_dates, refreshes;
  at::Tensor raw_style, style;  // [style dates, 21, stocks]
  at::Tensor loadings;          // [refreshes, count, stocks]

 private:
  at::Tensor take(at::IntArrayRef shape) {
    const int64_t size = c10::multiply_integers(shape);
    at_ += size;
    return all_.narrow(0, at_ - size, size).view(shape).clone();
  }
  std::vector<int64_t> integers(int64_t size) {
    const at::Tensor held = take({size}).to(at::kLong);
    return {held.data_ptr<int64_t>(), held.data_ptr<int64_t>() + size};
  }

  at::Tensor all_;
  int64_t at_ = 0;
};

}  // namespace astgnn
