// A panel with more values than 32 bits count: 50,000 dates of 5,000 stocks with 10 features and 10
// horizons, 20 GB of address space of which the few pages of three dates are used. Its last rows
// are read, trained on and predicted to the bits of a panel of those dates alone.
#include <sys/mman.h>

#include "check.h"
#include "nn/modules.h"
#include "small_model.h"
#include "train/session.h"

namespace {

using namespace astgnn;
using at::Tensor;

constexpr int64_t kDates = 50'000, kStocks = 5'000, kFeatures = 10, kHorizons = 10, kWindow = 3;

Tensor zeros_without_memory(at::IntArrayRef sizes) {
  const auto bytes = static_cast<size_t>(c10::multiply_integers(sizes)) * sizeof(float);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  TORCH_CHECK(memory != MAP_FAILED, "no address space");
  return at::from_blob(memory, sizes, [bytes](void* data) { munmap(data, bytes); });
}

// Stocks 0 and last of the last date, whose features and targets are given for its window.
train::Panel panel_of(int64_t dates, int64_t stocks, const Tensor& features,
                      const Tensor& targets) {
  train::Panel panel;
  panel.window = kWindow;
  panel.features = zeros_without_memory({dates, stocks, kFeatures});
  panel.targets = zeros_without_memory({dates, stocks, kHorizons});
  const std::vector<int32_t> chosen{0, static_cast<int32_t>(stocks - 1)};
  for (int64_t t = 0; t < kWindow; ++t)
    for (int64_t i = 0; i < 2; ++i)
      panel.features[dates - kWindow + t][chosen[i]].copy_(features[t][i]);
  for (int64_t i = 0; i < 2; ++i) panel.targets[dates - 1][chosen[i]].copy_(targets[i]);
  panel.row_offsets = at::zeros({dates + 1}, at::kInt);
  panel.row_offsets[dates] = 2;
  panel.row_stocks = at::tensor(chosen, at::kInt);
  panel.prepare();
  return panel;
}

nn::Config config() {
  nn::Config config = small_config();
  config.sequential_input_size = kFeatures;
  config.dropout = 0;
  return config;
}

}  // namespace

int main() {
  at::manual_seed(3);
  const Tensor features = at::randn({kWindow, 2, kFeatures}), targets = at::randn({2, kHorizons});
  const auto large = std::make_shared<train::Panel>(panel_of(kDates, kStocks, features, targets));
  const auto small = std::make_shared<train::Panel>(panel_of(kWindow, 2, features, targets));
  check::that(large->features.numel() > int64_t{1} << 31, "the panel is beyond 32 bits");

  const auto a = train::pack(*large, {kDates - 1}, at::kFloat, 0, 0),
             b = train::pack(*small, {kWindow - 1}, at::kFloat, 0, 0);
  check::equal(a.targets, b.targets, "targets of the last cells are read");
  check::equal(a.sequences.last(at::kFloat), features[kWindow - 1],
               "features of the last cells are read");
  for (const char* isa : {"scalar", "avx2", "avx512"}) {
    if (!ops::use_kernels(isa)) continue;
    train::Term mse;
    mse.name = "mse";
    mse.predictions = {0};
    mse.horizons = {kHorizons - 1};
    train::Session of_large(std::make_shared<nn::ASTGNNFactorModel>(config(), 2), large, {mse}, {},
                            3),
        of_small(std::make_shared<nn::ASTGNNFactorModel>(config(), 2), small, {mse}, {}, 3);
    const double loss = of_large.step(kDates - 1, 1e-2).loss;
    check::that(loss > 0 && loss == of_small.step(kWindow - 1, 1e-2).loss,
                std::string("a step has the same loss with ") + isa);
    const auto predicted = train::predict_date(*of_large.model, *large, kDates - 1, {}).predictions;
    check::equal(predicted,
                 train::predict_date(*of_small.model, *small, kWindow - 1, {}).predictions,
                 std::string("predictions are the same with ") + isa);
  }
  return check::finish();
}
