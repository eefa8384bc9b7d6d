#include "train/path_integral.h"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

namespace astgnn::train {
namespace {

constexpr int64_t kFirst = 16;                         // stretches
constexpr double kJump = 0x1p-12, kShortest = 0x1p-34;  // lengths of stretches
constexpr int64_t kMost = 1 << 18;  // evaluations; then what is open stays as it is
// Of the scores' range along the line, or of 1 where that is less.
constexpr double kAllowedGap = 2e-7, kAllowedStretchGap = 5e-8;

Tensor column(const std::vector<double>& values) {
  auto tensor = at::empty({static_cast<int64_t>(values.size()), 1}, at::kDouble);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<double>());
  return tensor;
}

}  // namespace

PathIntegral::PathIntegral(Tensor from, Tensor to, int64_t most, Score score)
    : from_(std::move(from)), span_(to - from_), most_(most), score_(std::move(score)) {}

double PathIntegral::gap() const { return end - begin - parts.sum().item<double>(); }

double PathIntegral::done() const { return covered_; }

std::vector<PathIntegral::Shared> PathIntegral::evaluate(const std::vector<double>& at) {
  at::AutoGradMode with_gradient(true);
  const auto points = (from_ + column(at) * span_).requires_grad_(true);  // [Q, C]
  const auto values = score_(points);
  const auto& scores = values.scores;
  const auto gradients = torch::autograd::grad({scores.sum()}, {points})[0];
  const auto slopes = gradients.mv(span_);
  evaluations += points.size(0);
  std::vector<Shared> made;
  for (size_t i = 0; i < at.size(); ++i) {
    const auto q = static_cast<int64_t>(i);
    made.push_back(std::make_shared<Point>(Point{at[i], scores.const_data_ptr<double>()[i],
                                                 slopes.const_data_ptr<double>()[i],
                                                 gradients[q].clone(),
                                                 values.kept.defined() ? values.kept[q].clone()
                                                                       : Tensor()}));
  }
  return made;
}

void PathIntegral::start() {
  parts = at::zeros_like(span_);
  covered_ = 0;
  for (int64_t i = kFirst; i-- > 0;) open_.push_back({first_[i], first_[i + 1]});
}

bool PathIntegral::step() {
  if (first_.size() <= kFirst) {
    std::vector<double> at;
    for (auto i = static_cast<int64_t>(first_.size());
         i <= kFirst && static_cast<int64_t>(at.size()) < most_; ++i)
      at.push_back(static_cast<double>(i) / kFirst);
    for (auto& point : evaluate(at)) first_.push_back(std::move(point));
    if (first_.size() <= kFirst) return true;
    begin = first_.front()->score;
    end = first_.back()->score;
    double range = 0, size = 0;
    for (const auto& point : first_) {
      range = std::max(range, std::abs(point->score - begin));
      size = std::max(size, std::abs(point->score));
    }
    // Rounding is 1e-15 of the scores.
    unit_ = std::max(std::min(range, 1.0), 1e-6 * std::max(size, 1e-6));
    tolerance_ = kAllowedStretchGap * unit_;
    start();
    return true;
  }

  std::vector<Stretch> taken;
  std::vector<double> at;
  while (!open_.empty() && static_cast<int64_t>(taken.size()) < most_) {
    taken.push_back(open_.back());
    open_.pop_back();
    at.push_back(0.5 * (taken.back().from->at + taken.back().to->at));
  }
  const auto middles = evaluate(at);
  for (size_t i = 0; i < taken.size(); ++i) {
    const auto& [from, to] = taken[i];
    const auto& middle = middles[i];
    const double width = to->at - from->at;
    const double gap = to->score - from->score -
                       width / 6 * (from->slope + 4 * middle->slope + to->slope);
    if (std::abs(gap) > tolerance_ && width > kShortest && evaluations < kMost &&
        !(width <= kJump && cross(taken[i], gap))) {
      open_.push_back({middle, to});
      open_.push_back({from, middle});
      continue;
    }
    parts += width / 6 * span_ * (from->gradient + 4 * middle->gradient + to->gradient);
    covered_ += width;
  }
  if (!open_.empty()) return true;
  if (std::abs(gap()) <= kAllowedGap * unit_ || evaluations >= kMost / 2) return false;
  tolerance_ /= 8;
  start();
  return true;
}

bool PathIntegral::cross(const Stretch& stretch, double jump) {
  if (!stretch.from->kept.defined()) return false;
  const auto change =
      stretch.to->kept.to(at::kDouble) - stretch.from->kept.to(at::kDouble);  // [N + 1]
  if (!change.any().item<bool>()) return false;
  at::AutoGradMode with_gradient(true);
  const auto point = (from_ + column({0.5 * (stretch.from->at + stretch.to->at)}) * span_)
                         .requires_grad_(true);  // [1, C]
  const auto values = score_(point);
  ++evaluations;
  const auto distance = at::where(change == 0, at::zeros({}, at::kDouble),
                                  change * (values.products - values.smallest).squeeze(0));
  const auto pull =
      torch::autograd::grad({distance.sum()}, {point})[0].squeeze(0) * span_;
  const double total = pull.sum().item<double>();
  if (!std::isfinite(total) || total == 0) return false;
  parts += jump / total * pull;
  return true;
}

}  // namespace astgnn::train
