// One date and pair at a time, all sums in double and in the order of the rows: results do not
// depend on the thread.
#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "ops/cpu/parallel.h"
#include "ops/ops.h"

namespace astgnn::ops {
namespace {

using at::Tensor;

// The rows of a date that have a label.
struct CrossSection {
  std::vector<int64_t> rows;
  std::vector<double> p, y, slope;  // slope: derivative of the loss by p

  double mse() {
    const double n = static_cast<double>(p.size());
    double sum = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      const double difference = p[i] - y[i];
      sum += difference * difference;
      slope[i] = 2 * difference / n;
    }
    return sum / n;
  }

  // With a = |c(p)|, b = |c(y)|, s = c(p) . c(y): d(-s / (a b + eps)) / dp_i = (s b c(p)_i / (a (a
  // b + eps)) - c(y)_i) / (a b + eps), whose mean over i is 0. Its first part is 0 where a is.
  double ic(double eps) {
    const auto centre = [](std::vector<double>& x) {
      const double mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
      for (double& value : x) value -= mean;
    };
    centre(p);
    centre(y);
    double squares_p = 0, squares_y = 0, product = 0;
    for (size_t i = 0; i < p.size(); ++i) {
      squares_p += p[i] * p[i];
      squares_y += y[i] * y[i];
      product += p[i] * y[i];
    }
    const double a = std::sqrt(squares_p), b = std::sqrt(squares_y), scale = a * b + eps;
    const double along_p = a == 0 ? 0 : product * b / (a * scale * scale);
    for (size_t i = 0; i < p.size(); ++i) slope[i] = along_p * p[i] - y[i] / scale;
    return -product / scale;
  }

  bool rankable() const {
    return std::any_of(y.begin(), y.end(), [&](double value) { return value != y[0]; });
  }
};

std::tuple<Tensor, Tensor, Tensor, Tensor> cross_sectional_loss_forward(
    const Tensor& predictions_any, const Tensor& labels_any, const Tensor& date_offsets,
    at::IntArrayRef prediction_columns, at::IntArrayRef label_columns, int64_t kind, double eps) {
  const Tensor predictions = predictions_any.contiguous(), labels = labels_any.contiguous();
  const int64_t rows = predictions.size(0), width = predictions.size(1),
                label_width = labels.size(1), dates = date_offsets.size(0) - 1,
                pairs = static_cast<int64_t>(prediction_columns.size());
  const auto offsets = date_offsets.accessor<int64_t, 1>();
  const Tensor mean = at::zeros({}, at::kDouble), values = at::zeros({pairs, dates}, at::kDouble),
               slopes = at::zeros({pairs, rows}, at::kDouble), shares = at::zeros_like(values);
  double *value = values.mutable_data_ptr<double>(), *share = shares.mutable_data_ptr<double>(),
         *slope = slopes.mutable_data_ptr<double>();
  AT_DISPATCH_FLOATING_TYPES(predictions.scalar_type(), "cross_sectional_loss", [&] {
    const scalar_t *p = predictions.const_data_ptr<scalar_t>(),
                   *y = labels.const_data_ptr<scalar_t>();
    each_in_parallel<CrossSection>(pairs * dates, [&](CrossSection& section, int64_t k) {
      const int64_t pair = k / dates, date = k % dates;
      section.rows.clear(), section.p.clear(), section.y.clear();
      for (int64_t row = offsets[date]; row < offsets[date + 1]; ++row) {
        const scalar_t label = y[row * label_width + label_columns[pair]];
        if (!std::isfinite(label)) continue;
        section.rows.push_back(row);
        section.p.push_back(p[row * width + prediction_columns[pair]]);
        section.y.push_back(label);
      }
      section.slope.resize(section.rows.size());
      const bool mse = kind == static_cast<int64_t>(CrossSectional::kMse);
      if (section.rows.empty() || !(mse || section.rankable())) return;
      value[k] = mse ? section.mse() : section.ic(eps);
      share[k] = 1;
      for (size_t i = 0; i < section.rows.size(); ++i)
        slope[pair * rows + section.rows[i]] = section.slope[i];
    });
  });
  double total = 0, defined_dates = 0;
  for (int64_t date = 0; date < dates; ++date) {
    double sum = 0, defined = 0;
    for (int64_t k = date; k < pairs * dates; k += dates) {
      sum += value[k];
      defined += share[k];
    }
    if (defined == 0) continue;
    for (int64_t k = date; k < pairs * dates; k += dates) share[k] /= defined;
    total += sum / defined;
    ++defined_dates;
  }
  for (int64_t k = 0; k < pairs * dates && defined_dates > 0; ++k) share[k] /= defined_dates;
  *mean.mutable_data_ptr<double>() = total / defined_dates;
  return {mean, values, slopes, shares};
}

Tensor cross_sectional_loss_backward(const Tensor& grad, const Tensor& predictions,
                                     const Tensor& date_offsets, at::IntArrayRef prediction_columns,
                                     const Tensor& slopes, const Tensor& shares) {
  const int64_t rows = predictions.size(0), width = predictions.size(1),
                dates = date_offsets.size(0) - 1;
  const auto offsets = date_offsets.accessor<int64_t, 1>();
  const Tensor out = at::zeros({rows, width}, predictions.options());
  const double upstream = grad.item<double>(), *slope = slopes.const_data_ptr<double>(),
               *share = shares.const_data_ptr<double>();
  AT_DISPATCH_FLOATING_TYPES(out.scalar_type(), "cross_sectional_loss_backward", [&] {
    scalar_t* gradient = out.mutable_data_ptr<scalar_t>();
    for (size_t pair = 0; pair < prediction_columns.size(); ++pair) {
      for (int64_t date = 0; date < dates; ++date) {
        const double weight = upstream * share[static_cast<int64_t>(pair) * dates + date];
        if (share[static_cast<int64_t>(pair) * dates + date] == 0) continue;
        for (int64_t row = offsets[date]; row < offsets[date + 1]; ++row)
          gradient[row * width + prediction_columns[pair]] +=
              static_cast<scalar_t>(weight * slope[static_cast<int64_t>(pair) * rows + row]);
      }
    }
  });
  return out;
}

}  // namespace
}  // namespace astgnn::ops

TORCH_LIBRARY_IMPL(astgnn, CPU, m) {
  m.impl("_cross_sectional_loss_forward", TORCH_FN(astgnn::ops::cross_sectional_loss_forward));
  m.impl("_cross_sectional_loss_backward", TORCH_FN(astgnn::ops::cross_sectional_loss_backward));
}
