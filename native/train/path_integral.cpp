#include "train/path_integral.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

namespace astgnn::train {
namespace {

constexpr int64_t kFirst = 8;  // stretches
constexpr double kJump = 0x1p-12, kShortest = 0x1p-34;  // lengths of stretches
constexpr int64_t kMost = 1 << 18;  // evaluations; then what is open stays as it is
// Of the scores' range along the line, or of 1 where that is less.
constexpr double kAllowedGap = 2e-7, kAllowedStretchGap = 5e-8;

const double kNode[3] = {0.5 - 0.5 * std::sqrt(0.6), 0.5, 0.5 + 0.5 * std::sqrt(0.6)};
constexpr double kWeight[3] = {5.0 / 18, 8.0 / 18, 5.0 / 18};

Tensor column(const std::vector<double>& values) {
  auto tensor = at::empty({static_cast<int64_t>(values.size()), 1}, at::kDouble);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<double>());
  return tensor;
}

}  // namespace

PathIntegral::PathIntegral(Tensor from, Tensor to, int64_t nodes, Score score)
    : from_(std::move(from)),
      span_(to - from_),
      nodes_(std::max<int64_t>(nodes, 3)),
      score_(std::move(score)) {}

double PathIntegral::gap() const { return end - begin - parts.sum().item<double>(); }

double PathIntegral::done() const { return covered_; }

void PathIntegral::start() {
  parts = at::zeros_like(span_);
  covered_ = 0;
  for (int64_t i = kFirst; i-- > 0;) {
    const double width = 1.0 / kFirst;
    open_.push_back({i * width, (i + 1) * width, ends_[i], ends_[i + 1]});
  }
}

bool PathIntegral::step() {
  if (ends_.empty()) {
    c10::NoGradGuard no_grad;
    for (int64_t i = 0; i <= kFirst; ++i) {
      const Tensor point = from_ + static_cast<double>(i) / kFirst * span_;
      ends_.push_back(score_(point.unsqueeze(0)).scores.item<double>());
    }
    evaluations += kFirst + 1;
    begin = ends_.front();
    end = ends_.back();
    double range = 0, size = 0;
    for (const double score : ends_) {
      range = std::max(range, std::abs(score - begin));
      size = std::max(size, std::abs(score));
    }
    // Rounding is 1e-15 of the scores.
    unit_ = std::max(std::min(range, 1.0), 1e-6 * std::max(size, 1e-6));
    tolerance_ = kAllowedStretchGap * unit_;
    start();
    return true;
  }

  std::vector<Stretch> taken;
  while (!open_.empty() && static_cast<int64_t>(taken.size()) < nodes_ / 3) {
    taken.push_back(open_.back());
    open_.pop_back();
  }
  std::vector<double> at, weight(3 * taken.size(), 0.0);
  for (const auto& stretch : taken)
    for (const double node : kNode) at.push_back(stretch.from + node * (stretch.to - stretch.from));
  const auto points = (from_ + column(at) * span_).requires_grad_(true);  // [Q, C]
  Tensor scores, gradient;
  {
    at::AutoGradMode with_gradient(true);
    scores = score_(points).scores;
    gradient = torch::autograd::grad({scores.sum()}, {points})[0];
  }
  evaluations += points.size(0);
  const auto slopes = gradient.mv(span_);
  const double *score = scores.const_data_ptr<double>(), *slope = slopes.const_data_ptr<double>();
  for (size_t i = 0; i < taken.size(); ++i) {
    const auto& [from, to, score_from, score_to] = taken[i];
    const double width = to - from;
    double integral = 0;
    for (int k = 0; k < 3; ++k) integral += width * kWeight[k] * slope[3 * i + k];
    const double gap = score_to - score_from - integral;
    if (std::abs(gap) > tolerance_ && width > kShortest && evaluations < kMost &&
        !(width <= kJump && cross(taken[i], gap))) {
      const double middle = 0.5 * (from + to);
      open_.push_back({middle, to, score[3 * i + 1], score_to});
      open_.push_back({from, middle, score_from, score[3 * i + 1]});
      continue;
    }
    for (int k = 0; k < 3; ++k) weight[3 * i + k] = width * kWeight[k];
    covered_ += width;
  }
  parts += span_ * column(weight).t().mm(gradient).squeeze(0);
  if (!open_.empty()) return true;
  if (std::abs(gap()) <= kAllowedGap * unit_ || evaluations >= kMost / 2) return false;
  tolerance_ /= 8;
  start();
  return true;
}

bool PathIntegral::cross(const Stretch& stretch, double jump) {
  at::AutoGradMode with_gradient(true);
  const auto points =
      (from_ + column({stretch.from, stretch.to}) * span_).requires_grad_(true);  // [2, C]
  const auto values = score_(points);
  if (!values.kept.defined()) return false;
  evaluations += 2;
  const auto change = values.kept[1].to(at::kDouble) - values.kept[0].to(at::kDouble);
  if (!change.any().item<bool>()) return false;
  const auto distance = at::where(change == 0, at::zeros({}, at::kDouble),
                                  change * (values.products[1] - values.smallest[1]));
  const auto pull = torch::autograd::grad({distance.sum()}, {points})[0][1] * span_;
  const double total = pull.sum().item<double>();
  if (!std::isfinite(total) || total == 0) return false;
  parts += jump / total * pull;
  return true;
}

}  // namespace astgnn::train
