// Blocks of kBlockRows rows run through all layers and steps at once: their gates stay in cache,
// where a time-major GRU streams the gates of all rows through memory at every step. Nothing but
// the last state leaves the block. The split into blocks and slots depends on the number of rows
// only, every product runs on one thread, and weight gradients are summed per slot and then in slot
// order: bit-equal results for any number of threads.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/cpu/gru_block.h"

namespace astgnn::ops {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

constexpr int64_t kBlockRows = 64;
constexpr int64_t kSlots = 32;  // ranges of blocks, the most threads that can be busy

// Where the rows' windows come from.
struct Source {
  Tensor panel, date, stock;  // a panel,
  Tensor dense;               // or [T, R, F]
  int64_t window, rows, features;

  static Source of_panel(const Tensor& panel, const Tensor& date, const Tensor& stock,
                         int64_t window) {
    const Source source{panel.contiguous(), date.contiguous(), stock.contiguous(), Tensor(), window,
                        date.size(0),       panel.size(2)};
    const int64_t *dates = source.date.const_data_ptr<int64_t>(),
                  *stocks = source.stock.const_data_ptr<int64_t>();
    for (int64_t row = 0; row < source.rows; ++row) {
      TORCH_CHECK(dates[row] >= window - 1 && dates[row] < panel.size(0),
                  "gru: Expected panel dates from ", window - 1, " to ", panel.size(0) - 1,
                  " but row ", row, " has ", dates[row], ".");
      TORCH_CHECK(stocks[row] >= 0 && stocks[row] < panel.size(1),
                  "gru: Expected stocks from 0 to ", panel.size(1) - 1, " but row ", row, " has ",
                  stocks[row], ".");
    }
    return source;
  }
  static Source of_dense(const Tensor& x) {
    return {Tensor(), Tensor(), Tensor(), x.contiguous(), x.size(0), x.size(1), x.size(2)};
  }

  template <class T>
  void copy(T* out, int64_t lo, int64_t n) const {
    if (dense.defined()) {
      for (int64_t t = 0; t < window; ++t)
        std::copy_n(dense.const_data_ptr<T>() + (t * rows + lo) * features, n * features,
                    out + t * n * features);
      return;
    }
    const int64_t *dates = date.const_data_ptr<int64_t>(),
                  *stocks = stock.const_data_ptr<int64_t>(), width = panel.size(1);
    AT_DISPATCH_FLOATING_TYPES(panel.scalar_type(), "gru", [&] {
      for (int64_t t = 0; t < window; ++t) {
        for (int64_t i = 0; i < n; ++i) {
          const int64_t place = (dates[lo + i] - window + 1 + t) * width + stocks[lo + i];
          std::copy_n(panel.const_data_ptr<scalar_t>() + place * features, features,
                      out + (t * n + i) * features);
        }
      }
    });
  }
};

// body(worker, slot, lo, n) for every block.
template <class Begin, class Body>
void each_block(int64_t rows, Begin&& begin_thread, Body&& body) {
  const int64_t blocks = (rows + kBlockRows - 1) / kBlockRows;
  at::parallel_for(0, kSlots, 1, [&](int64_t first, int64_t last) {
    const SequentialRegion sequential;
    auto worker = begin_thread();
    for (int64_t slot = first; slot < last; ++slot) {
      for (int64_t block = slot * blocks / kSlots; block < (slot + 1) * blocks / kSlots; ++block) {
        const int64_t lo = block * kBlockRows;
        body(worker, slot, lo, std::min(kBlockRows, rows - lo));
      }
    }
  });
}

Tensor run_forward(const Source& source, at::TensorList weight_list, double p,
                   const Optional& key) {
  const GruWeights weights(weight_list, p, key);
  const int64_t h = weights.hidden;
  Tensor out = at::empty({source.rows, h}, weight_list[0].options().requires_grad(false));
  AT_DISPATCH_FLOATING_TYPES(out.scalar_type(), "gru", [&] {
    scalar_t* result = out.mutable_data_ptr<scalar_t>();
    each_block(
        source.rows, [&] { return GruBlock<scalar_t>(weights, source.window, /*keep=*/false); },
        [&](GruBlock<scalar_t>& block, int64_t, int64_t lo, int64_t n) {
          source.copy(block.input(n), lo, n);
          std::copy_n(block.forward(lo), n * h, result + lo * h);
        });
  });
  return out;
}

// dx (undefined unless asked for), then the weights' gradients.
std::vector<Tensor> run_backward(const Tensor& grad_any, const Source& source,
                                 at::TensorList weight_list, double p, const Optional& key,
                                 bool input_gradient) {
  const GruWeights weights(weight_list, p, key);
  const Tensor grad = grad_any.contiguous();
  const int64_t h = weights.hidden, features = source.features;
  Tensor dx = input_gradient ? at::empty_like(source.dense) : Tensor();
  std::vector<std::unique_ptr<GruGradients>> slots(kSlots);
  AT_DISPATCH_FLOATING_TYPES(grad.scalar_type(), "gru_backward", [&] {
    each_block(
        source.rows, [&] { return GruBlock<scalar_t>(weights, source.window, /*keep=*/true); },
        [&](GruBlock<scalar_t>& block, int64_t slot, int64_t lo, int64_t n) {
          if (!slots[slot]) slots[slot] = std::make_unique<GruGradients>(weights);
          source.copy(block.input(n), lo, n);
          block.forward(lo);
          const scalar_t* below = block.backward(grad.const_data_ptr<scalar_t>() + lo * h, h,
                                                 *slots[slot], input_gradient);
          if (!input_gradient) return;
          for (int64_t t = 0; t < source.window; ++t) {
            std::copy_n(below + t * n * features, n * features,
                        dx.mutable_data_ptr<scalar_t>() + (t * source.rows + lo) * features);
          }
        });
  });
  GruGradients sum(weights);
  for (const auto& slot : slots) {
    if (slot) sum.add(*slot);
  }
  std::vector<Tensor> out = {dx};
  for (Tensor& gradient : sum.weights_order()) out.push_back(std::move(gradient));
  return out;
}

Tensor panel_forward(const Tensor& panel, const Tensor& date, const Tensor& stock, int64_t window,
                     at::TensorList weights, double p, const Optional& key) {
  return run_forward(Source::of_panel(panel, date, stock, window), weights, p, key);
}

std::vector<Tensor> panel_backward(const Tensor& grad, const Tensor& panel, const Tensor& date,
                                   const Tensor& stock, int64_t window, at::TensorList weights,
                                   double p, const Optional& key) {
  std::vector<Tensor> out =
      run_backward(grad, Source::of_panel(panel, date, stock, window), weights, p, key, false);
  out.erase(out.begin());
  return out;
}

Tensor dense_forward(const Tensor& x, at::TensorList weights, double p, const Optional& key) {
  return run_forward(Source::of_dense(x), weights, p, key);
}

std::vector<Tensor> dense_backward(const Tensor& grad, const Tensor& x, at::TensorList weights,
                                   double p, const Optional& key, bool input_gradient) {
  return run_backward(grad, Source::of_dense(x), weights, p, key, input_gradient);
}

}  // namespace
}  // namespace astgnn::ops

TORCH_LIBRARY_IMPL(astgnn, CPU, m) {
  m.impl("gru", TORCH_FN(astgnn::ops::panel_forward));
  m.impl("_gru_backward", TORCH_FN(astgnn::ops::panel_backward));
  m.impl("gru_dense", TORCH_FN(astgnn::ops::dense_forward));
  m.impl("_gru_dense_backward", TORCH_FN(astgnn::ops::dense_backward));
}
