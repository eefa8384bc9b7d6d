#include "train/explainer.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <algorithm>

namespace astgnn::train {
namespace {

// Points that are evaluated at once: what they need grows with the rows of the date.
int64_t points_at_once(const HeldDate& date) {
  constexpr int64_t kNumbers = 1 << 21, kMost = 96;
  const int64_t each = (date.rows + 1) * (date.model->config.gat_num_heads + 6);
  return std::clamp<int64_t>(kNumbers / each, 3, kMost);
}

// A row over the date's rows and itself -> [N], itself at its place.
Tensor over_rows(const Tensor& columns, int64_t row) {
  const int64_t rows = columns.size(0) - 1;
  Tensor out = columns.slice(0, 0, rows).clone();
  out[row].copy_(columns[rows]);
  return out;
}

}  // namespace

Explainer::Explainer(std::shared_ptr<const Panel> panel, int64_t date, std::vector<int64_t> rows,
                     int64_t column)
    : panel_(std::move(panel)), date_(date), column_(column), rows_(std::move(rows)) {}

double Explainer::done() const {
  if (!date || rows_.empty()) return 0;
  const double of_row = features_ ? 0.5 + 0.5 * features_->done() : peers_ ? 0.5 * peers_->done() : 0;
  return (static_cast<double>(explanations.size()) - (row_ ? 1 : 0) + of_row) /
         static_cast<double>(rows_.size());
}

bool Explainer::step(const nn::ASTGNNFactorModel& model) {
  if (!date) {
    date = std::make_shared<HeldDate>(in_double(model), *panel_, date_);
    // A score that is NaN has no parts, and no integral to them ends: the predictions say so.
    if (!date->predictions.isfinite().all().item<bool>()) rows_.clear();
  } else if (!row_) {
    begin_row();
  } else if (peers_) {
    if (!peers_->step()) end_peers();
  } else if (!features_->step()) {
    end_features();
  }
  return row_ || explanations.size() < rows_.size();
}

void Explainer::begin_row() {
  c10::NoGradGuard no_grad;
  const int64_t row = rows_[explanations.size()], rows = date->rows;
  row_.emplace(date, row, column_);
  auto& explanation = explanations.emplace_back();
  explanation.window = date->windows.select(1, row).contiguous();  // [T, F]
  explanation.baseline_reacting =
      date->predictions_with(row, date->medians)[column_].item<double>();
  const auto now = (*row_)(explanation.window.unsqueeze(1));
  explanation.weights = over_rows(now.weights[0], row);
  explanation.attention = over_rows(now.attention[0], row);
  const auto none = at::zeros({2 * rows}, at::kDouble);
  const auto h = row_->state(explanation.window.unsqueeze(1));  // [1, H]
  const auto features = explanation.window.slice(0, panel_->window - 1);
  peers_.emplace(none, at::ones_like(none), points_at_once(*date),
                 [row = *row_, rows, h, features](const Tensor& shares) {
                   return row.from_state(h.expand({shares.size(0), -1}),
                                         features.expand({shares.size(0), -1}),
                                         shares.slice(1, 0, rows), shares.slice(1, rows));
                 });
}

void Explainer::end_peers() {
  auto& explanation = explanations.back();
  explanation.score = peers_->end;
  explanation.own = peers_->begin;
  explanation.similarity_parts = peers_->parts.slice(0, 0, date->rows).clone();
  explanation.attention_parts = peers_->parts.slice(0, date->rows).clone();
  explanation.peer_gap = peers_->gap();
  explanation.evaluations += peers_->evaluations;
  peers_.reset();
  const auto size = date->medians.sizes();
  features_.emplace(date->medians.flatten(), explanation.window.flatten(), points_at_once(*date),
                    [row = *row_, size](const Tensor& points) {
                      return row(points.view({-1, size[0], size[1]}).transpose(0, 1));
                    });
}

void Explainer::end_features() {
  auto& explanation = explanations.back();
  explanation.baseline = features_->begin;
  explanation.feature_parts = features_->parts.view_as(explanation.window);
  explanation.feature_gap = features_->gap();
  explanation.evaluations += features_->evaluations;
  features_.reset();
  row_.reset();
}

}  // namespace astgnn::train
