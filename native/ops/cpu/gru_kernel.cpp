// Blocks of rows run through all layers and steps at once (isa/gru.h): a time-major GRU streams the
// gates of all rows through memory at every step. Windows are read where they lie in the panel.
// Nothing but the last state leaves a block. The split into blocks depends on the number of rows
// only, and weight gradients are summed per block and then in the order of the blocks: bit-equal
// results for any number of threads.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "ops/cpu/gru_weights.h"
#include "ops/cpu/ordered_sum.h"
#include "ops/cpu/parallel.h"
#include "ops/cpu/scratch.h"

namespace astgnn::ops {
namespace {

using at::Tensor;
using Optional = std::optional<Tensor>;

// Where the rows' windows come from.
struct Source {
  Tensor panel, date, stock;  // a panel,
  Tensor dense;               // or [T, R, F]
  int64_t window, rows, features;

  static Source of_panel(const Tensor& panel, const Tensor& date, const Tensor& stock,
                         int64_t window) {
    return {panel.contiguous(), date.contiguous(), stock.contiguous(), Tensor(), window,
            date.size(0),       panel.size(2)};
  }
  static Source of_dense(const Tensor& x) {
    return {Tensor(), Tensor(), Tensor(), x.contiguous(), x.size(0), x.size(1), x.size(2)};
  }

  // Points at the windows of rows lo .. lo + n and returns the step between their dates. Only a
  // panel of another dtype than the weights is copied.
  template <class T>
  int64_t rows_at(int64_t lo, int64_t n, const T** rows, Scratch<T>& copy) const {
    if (dense.defined()) {
      for (int64_t i = 0; i < n; ++i) rows[i] = dense.const_data_ptr<T>() + (lo + i) * features;
      return this->rows * features;
    }
    const int64_t *dates = date.const_data_ptr<int64_t>(),
                  *stocks = stock.const_data_ptr<int64_t>(), width = panel.size(1) * features;
    const auto first = [&](int64_t i) {
      return (dates[lo + i] - window + 1) * width + stocks[lo + i] * features;
    };
    if (panel.scalar_type() == c10::CppTypeToScalarType<T>::value) {
      for (int64_t i = 0; i < n; ++i) rows[i] = panel.const_data_ptr<T>() + first(i);
      return width;
    }
    T* to = copy.get(window * n * features);
    AT_DISPATCH_FLOATING_TYPES(panel.scalar_type(), "gru", [&] {
      for (int64_t i = 0; i < n; ++i) {
        rows[i] = to + i * features;
        for (int64_t t = 0; t < window; ++t)
          std::copy_n(panel.const_data_ptr<scalar_t>() + first(i) + t * width, features,
                      to + (t * n + i) * features);
      }
    });
    return n * features;
  }
};

// What one thread needs for its blocks.
template <class T>
struct Worker {
  Scratch<T> scratch, copy, below;
  const T* rows[kGruRows];

  GruBlock<T> block(const Source& source, const GruLayers<T>& layers, int64_t lo, int64_t n,
                    bool backward) {
    const int64_t step = source.rows_at(lo, n, rows, copy);
    std::fill(rows + n, rows + kGruRows, rows[0]);
    T* memory = scratch.get(kernels_of<T>().gru_scratch(layers, source.window, backward));
    return {n, source.window, lo, rows, step, memory};
  }
};

// Rows of a block, from their number: many enough that weights are read from the caches, few enough
// that there are blocks for every thread.
template <class T>
int64_t block_rows(int64_t rows) {
  const int64_t part = kernels_of<T>().gru_pack ? 32 : 24;  // of whole tiles (isa/gru.h)
  return rows >= 64 * kGruRows ? kGruRows : rows >= 8 * part ? part : part / 2;
}

// body(worker, block, lo, n) for every block of `size` rows.
template <class T, class Body>
void each_block(int64_t rows, int64_t size, Body&& body) {
  each_in_parallel<Worker<T>>((rows + size - 1) / size, [&](Worker<T>& worker, int64_t block) {
    body(worker, block, block * size, std::min(size, rows - block * size));
  });
}

Tensor run_forward(const Source& source, at::TensorList weight_list, double p,
                   const Optional& key) {
  const int64_t h = weight_list[1].size(1);
  Tensor out = at::empty({source.rows, h}, weight_list[0].options().requires_grad(false));
  AT_DISPATCH_FLOATING_TYPES(out.scalar_type(), "gru", [&] {
    const GruWeights<scalar_t> weights(weight_list, p, key, /*backward=*/false);
    const GruLayers<scalar_t> layers = weights.layers();
    scalar_t* result = out.mutable_data_ptr<scalar_t>();
    // A row's state is the same in any block: one thread takes the largest.
    const bool alone = at::in_parallel_region() || at::get_num_threads() == 1;
    const int64_t size = alone ? kGruRows : block_rows<scalar_t>(source.rows);
    each_block<scalar_t>(
        source.rows, size, [&](Worker<scalar_t>& worker, int64_t, int64_t lo, int64_t n) {
          kernels_of<scalar_t>().gru_forward(layers, worker.block(source, layers, lo, n, false),
                                             result + lo * h, h);
        });
  });
  return out;
}

// dx (undefined unless asked for), then the weights' gradients.
std::vector<Tensor> run_backward(const Tensor& grad_any, const Source& source,
                                 at::TensorList weight_list, double p, const Optional& key,
                                 bool input_gradient) {
  const Tensor grad = grad_any.contiguous();
  const int64_t h = weight_list[1].size(1), features = source.features;
  std::vector<Tensor> out = {input_gradient ? at::empty_like(source.dense) : Tensor()};
  AT_DISPATCH_FLOATING_TYPES(grad.scalar_type(), "gru_backward", [&] {
    const GruWeights<scalar_t> weights(weight_list, p, key, /*backward=*/true);
    const GruLayers<scalar_t> layers = weights.layers();
    const int64_t size = weights.sums_size(), padded = weights.padded_inputs();
    const scalar_t* above = grad.const_data_ptr<scalar_t>();
    const Tensor sum = at::empty({size}, grad.options());
    const int64_t most = block_rows<scalar_t>(source.rows);
    OrderedSum<scalar_t> total(sum.mutable_data_ptr<scalar_t>(), size,
                               (source.rows + most - 1) / most);
    each_block<scalar_t>(source.rows, most, [&](Worker<scalar_t>& worker, int64_t block, int64_t lo,
                                                int64_t n) {
      scalar_t* below = input_gradient ? worker.below.get(source.window * n * padded) : nullptr;
      c10::DataPtr own = total.take();
      kernels_of<scalar_t>().gru_backward(
          layers, worker.block(source, layers, lo, n, true), above + lo * h, h,
          weights.sums(static_cast<scalar_t*>(own.get())).data(), below);
      total.give(block, std::move(own));
      if (!input_gradient) return;
      for (int64_t t = 0; t < source.window; ++t) {
        for (int64_t i = 0; i < n; ++i) {
          std::copy_n(below + (t * n + i) * padded, features,
                      out[0].mutable_data_ptr<scalar_t>() + (t * source.rows + lo + i) * features);
        }
      }
    });
    for (Tensor& gradient : weights.gradients(sum.mutable_data_ptr<scalar_t>(), grad.options()))
      out.push_back(std::move(gradient));
  });
  return out;
}

Tensor panel_forward(const Tensor& panel, const Tensor& date, const Tensor& stock, int64_t window,
                     at::TensorList weights, double p, const Optional& key) {
  return run_forward(Source::of_panel(panel, date, stock, window), weights, p, key);
}

std::vector<Tensor> panel_backward(const Tensor& grad, at::TensorList, const Tensor& panel,
                                   const Tensor& date, const Tensor& stock, int64_t window,
                                   at::TensorList weights, double p, const Optional& key) {
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
