#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/cuda/device.h"
#include "ops/ops.h"

namespace astgnn::ops::cuda {
namespace {

using at::Tensor;

// A launch's arguments hold so many pairs, and seldom need to: body(first of them, pairs).
template <class Body>
void each_launch(at::IntArrayRef predictions, at::IntArrayRef labels, const Body& body) {
  for (size_t first = 0; first < predictions.size(); first += kColumnPairs) {
    ColumnPairs pairs{};
    pairs.count = static_cast<int>(std::min<size_t>(kColumnPairs, predictions.size() - first));
    for (int k = 0; k < pairs.count; ++k) {
      pairs.prediction[k] = predictions[first + k];
      if (!labels.empty()) pairs.label[k] = labels[first + k];
    }
    body(static_cast<int64_t>(first), pairs);
  }
}

std::tuple<Tensor, Tensor, Tensor, Tensor> cross_sectional_loss_forward(
    const Tensor& predictions_any, const Tensor& labels_any, const Tensor& date_offsets_any,
    at::IntArrayRef prediction_columns, at::IntArrayRef label_columns, int64_t kind, double eps) {
  const c10::DeviceGuard guard(predictions_any.device());
  const Tensor predictions = predictions_any.contiguous(), labels = labels_any.contiguous(),
               date_offsets = date_offsets_any.contiguous();
  const int64_t rows = predictions.size(0), dates = date_offsets.size(0) - 1,
                count = static_cast<int64_t>(prediction_columns.size());
  const auto wide = predictions.options().dtype(at::kDouble);
  const Tensor mean = at::empty({}, wide), values = at::empty({count, dates}, wide),
               slopes = at::empty({count, rows}, wide), shares = at::empty_like(values);
  AT_DISPATCH_FLOATING_TYPES(predictions.scalar_type(), "cross_sectional_loss", [&] {
    each_launch(prediction_columns, label_columns, [&](int64_t first, const ColumnPairs& pairs) {
      cross_sections<scalar_t>(
          {predictions.const_data_ptr<scalar_t>(), labels.const_data_ptr<scalar_t>(), rows,
           predictions.size(1), labels.size(1), date_offsets.const_data_ptr<int64_t>(), dates,
           kind == static_cast<int64_t>(CrossSectional::kMse), eps,
           values.mutable_data_ptr<double>() + first * dates,
           shares.mutable_data_ptr<double>() + first * dates,
           slopes.mutable_data_ptr<double>() + first * rows},
          pairs, current_stream());
    });
  });
  cross_sections_mean(values.const_data_ptr<double>(), shares.mutable_data_ptr<double>(), count,
                      dates, mean.mutable_data_ptr<double>(), current_stream());
  return {mean, values, slopes, shares};
}

Tensor cross_sectional_loss_backward(const Tensor& grad, const Tensor& predictions,
                                     const Tensor& date_offsets_any,
                                     at::IntArrayRef prediction_columns, const Tensor& slopes,
                                     const Tensor& shares) {
  const c10::DeviceGuard guard(predictions.device());
  const Tensor date_offsets = date_offsets_any.contiguous();
  const int64_t rows = predictions.size(0), dates = date_offsets.size(0) - 1;
  const Tensor out = at::empty({rows, predictions.size(1)}, predictions.options());
  AT_DISPATCH_FLOATING_TYPES(out.scalar_type(), "cross_sectional_loss_backward", [&] {
    each_launch(prediction_columns, {}, [&](int64_t first, const ColumnPairs& pairs) {
      cross_sections_backward<scalar_t>(
          {grad.const_data_ptr<double>(), slopes.const_data_ptr<double>() + first * rows,
           shares.const_data_ptr<double>() + first * dates, rows, out.size(1),
           date_offsets.const_data_ptr<int64_t>(), dates, out.mutable_data_ptr<scalar_t>()},
          pairs, /*add=*/first > 0, current_stream());
    });
  });
  return out;
}

}  // namespace
}  // namespace astgnn::ops::cuda

TORCH_LIBRARY_IMPL(astgnn, CUDA, m) {
  m.impl("_cross_sectional_loss_forward",
         TORCH_FN(astgnn::ops::cuda::cross_sectional_loss_forward));
  m.impl("_cross_sectional_loss_backward",
         TORCH_FN(astgnn::ops::cuda::cross_sectional_loss_backward));
}
