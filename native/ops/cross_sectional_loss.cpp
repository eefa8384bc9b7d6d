// cross_sectional_loss: with p and y the prediction and label of the rows of one date that have a
// label (neither NaN nor infinite), n of them, and c their deviations from the mean:
//   mse  mean of (p - y)^2, from one label on
//   ic   -sum c(p) c(y) / (|c(p)| |c(y)| + eps), from two labels on that are not all equal
// mean [] is the mean over the dates of the mean over a date's pairs, in both over those that are
// defined, and NaN where none is; values [pairs, B] are 0 where undefined. Both are float64 in
// whatever dtype the predictions are. predictions [R, P], labels [R, L], date_offsets int64 [B +
// 1].
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/Exception.h>
#include <torch/library.h>

#include <algorithm>

#include "ops/checks.h"
#include "ops/ops.h"

namespace astgnn::ops {
namespace {

constexpr const char* kName = "cross_sectional_loss";

void check_columns(const char* name, at::IntArrayRef columns, int64_t width) {
  TORCH_CHECK(std::all_of(columns.begin(), columns.end(),
                          [&](int64_t column) { return column >= 0 && column < width; }),
              kName, ": Expected ", name, " in 0 .. ", width - 1, " but received ", columns, ".");
}

// What they hold is checked where the host can look without waiting.
void check_date_offsets(const at::Tensor& offsets, const at::Tensor& predictions) {
  TORCH_CHECK(offsets.defined() && offsets.scalar_type() == at::kLong && offsets.dim() == 1 &&
                  offsets.size(0) >= 2 && offsets.device() == predictions.device(),
              kName, ": Expected int64 date_offsets [B + 1], B >= 1, where the predictions are.");
  if (!offsets.is_cpu()) return;
  const auto bounds = offsets.accessor<int64_t, 1>();
  bool rising = bounds[0] == 0;
  for (int64_t date = 0; date + 1 < bounds.size(0); ++date)
    rising = rising && bounds[date] <= bounds[date + 1];
  TORCH_CHECK(rising && bounds[bounds.size(0) - 1] <= predictions.size(0), kName,
              ": Expected date_offsets that rise from 0 to at most the number of rows (",
              predictions.size(0), ").");
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> cross_sectional_loss(CrossSectional kind,
                                                        const at::Tensor& predictions,
                                                        const at::Tensor& labels,
                                                        const at::Tensor& date_offsets,
                                                        at::IntArrayRef prediction_columns,
                                                        at::IntArrayRef label_columns, double eps) {
  check_floating(kName, "predictions", predictions);
  check_same_dtype(kName, "labels", labels, "predictions", predictions);
  TORCH_CHECK(predictions.dim() == 2 && labels.dim() == 2 && predictions.size(0) == labels.size(0),
              kName, ": Expected predictions [R, P] and labels [R, L] but received ",
              predictions.sizes(), " and ", labels.sizes(), ".");
  TORCH_CHECK(!prediction_columns.empty() && prediction_columns.size() == label_columns.size(),
              kName, ": Expected as many prediction columns as label columns but received ",
              prediction_columns.size(), " and ", label_columns.size(), ".");
  check_columns("prediction columns", prediction_columns, predictions.size(1));
  check_columns("label columns", label_columns, labels.size(1));
  check_date_offsets(date_offsets, predictions);
  using Signature =
      std::tuple<at::Tensor, at::Tensor>(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                         at::IntArrayRef, at::IntArrayRef, int64_t, double);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("astgnn::cross_sectional_loss", "")
                             .typed<Signature>();
  return op.call(predictions, labels, date_offsets, prediction_columns, label_columns,
                 static_cast<int64_t>(kind), eps);
}

}  // namespace astgnn::ops

TORCH_LIBRARY_FRAGMENT(astgnn, m) {
  m.def(
      "cross_sectional_loss(Tensor predictions, Tensor labels, Tensor date_offsets, int[] "
      "prediction_columns, int[] label_columns, int kind, float eps) -> (Tensor mean, Tensor "
      "values)");
  m.def(
      "_cross_sectional_loss_forward(Tensor predictions, Tensor labels, Tensor date_offsets, int[] "
      "prediction_columns, int[] label_columns, int kind, float eps) -> (Tensor mean, Tensor "
      "values, Tensor slopes, Tensor shares)");
  m.def(
      "_cross_sectional_loss_backward(Tensor grad, Tensor predictions, Tensor date_offsets, int[] "
      "prediction_columns, Tensor slopes, Tensor shares) -> Tensor");
}
