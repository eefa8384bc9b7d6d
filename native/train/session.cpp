#include "train/session.h"

#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "ops/to_device.h"
#include "train/module_guards.h"

namespace astgnn::train {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

at::ScalarType dtype_of(const nn::ASTGNNFactorModel& model) {
  return model.prediction->output->weight.scalar_type();
}

std::string not_finite_text(int64_t step, std::optional<int64_t> date_index,
                            const std::string& term) {
  const auto what = term == "gradient" || term == "total" ? "The " + term : "The loss term " + term;
  const auto where =
      date_index ? ", panel date index " + std::to_string(*date_index) : std::string();
  return what + " is not finite at step " + std::to_string(step) + where + ".";
}

}  // namespace

NotFinite::NotFinite(int64_t at_step, std::optional<int64_t> date, std::string of_term)
    : std::runtime_error(not_finite_text(at_step, date, of_term)),
      step(at_step),
      date_index(date),
      term(std::move(of_term)) {}

Session::Session(std::shared_ptr<nn::ASTGNNFactorModel> trained, std::shared_ptr<const Panel> panel,
                 std::vector<Term> terms, const OptimizerOptions& options, uint64_t seed)
    : model(std::move(trained)),
      averaged(model),
      panel_(std::move(panel)),
      terms_(std::move(terms)),
      seed_(seed) {
  check_objective(terms_, model->config.num_predictions, *panel_);
  TORCH_CHECK_VALUE(options.ema >= 0 && options.ema < 1,
                    "ema: expected a number in [0, 1) but got ", options.ema);
  if (options.ema > 0) averaged = nn::make_like(*model, nn::state_dict(*model));
  optimizer_ =
      std::make_unique<Optimizer>(*model, options.ema > 0 ? averaged.get() : nullptr, options);
  stop_ = at::zeros({}, at::TensorOptions(panel_->device()).dtype(at::kFloat));
}

std::optional<std::string> Session::capture_steps() {
  if (profile) return "its blocks are timed";
  if (ranks) return "ranks exchange gradients within a step";
  const auto reason = not_capturable(*model, *panel_, terms_);
  if (!reason && !graphs_) graphs_ = std::make_unique<StepGraphs>(panel_->device());
  return reason;
}

// Step `steps + 1`.
Session::Pass Session::begin(at::ArrayRef<int64_t> dates, bool fill) const {
  Pass pass;
  pass.start = Clock::now();
  pass.dates = dates.vec();
  pass.step.step = steps + 1;
  for (const int64_t date : dates) pass.step.rows += panel_->rows(date);
  if (fill && pass.step.rows > 0) pass.filled = padded_rows(pass.step.rows);
  return pass;
}

PackedBatch Session::batch_of(const Pass& pass) const { return batch_of(pass, pass.dates); }

PackedBatch Session::batch_of(const Pass& pass, at::ArrayRef<int64_t> dates) const {
  auto packed = pack(*panel_, dates, dtype_of(*model), seed_, pass.step.step, pass.filled,
                     future_of(terms_, model->config));
  // Once, for the model and for what the objective asks of its graph.
  if (!packed.stocks.empty()) packed.batch = model->with_segments(packed.batch);
  return packed;
}

Session::Forward Session::forward(const PackedBatch& batch) {
  Forward out;
  TrainingMode training(*model, true);
  if (!batch.stocks.empty()) {
    out.output = model->forward(batch.sequences, batch.batch);
  } else {
    // No stock on any date: nothing to run, and every term is undefined.
    const auto options = model->prediction->output->weight.options().requires_grad(false);
    out.output.predictions = at::empty({0, model->config.num_predictions}, options);
    out.output.risk_factors = at::empty({0, model->config.num_risk_factors}, options);
  }
  return out;
}

// Gradients stay in the parameters where a term is defined.
Session::Forward Session::forward_backward(const PackedBatch& batch, BlockClock* clock,
                                           const std::vector<double>& factors) {
  c10::AutoGradMode with_gradients(true);
  optimizer_->clear_gradients();
  auto out = forward(batch);
  out.objective = evaluate(terms_, *model, out.output, batch, factors);
  if (clock) clock->end_forward();
  if (out.objective.total) out.objective.total->backward();
  if (clock) clock->end_backward();
  return out;
}

Session::Forward Session::forward_backward(Pass& pass, const PackedBatch& batch) {
  std::optional<BlockClock> clock;
  if (profile) clock.emplace(panel_->device());
  auto out = forward_backward(batch, clock ? &*clock : nullptr);
  if (clock) pass.step.blocks = clock->times();
  for (const auto& term : out.objective.terms) {
    pass.step.undefined.push_back(term.undefined);
    pass.defined.push_back(term.value.has_value());
  }
  pass.step.updated = out.objective.total.has_value();
  return out;
}

Tensor Session::with_norm(const Tensor& norm, const Tensor& numbers) {
  return at::cat({norm.detach().to(at::kDouble).reshape({1}), numbers});
}

// The norm.
Tensor Session::update(const Tensor& total, const Tensor& numbers) {
  stop_.masked_fill_(total.detach().isfinite().logical_not(), 1);
  return optimizer_->apply(numbers, stop_);
}

// The total and the terms that are defined.
Tensor Session::numbers_of(const ObjectiveValue& objective) const {
  std::vector<Tensor> numbers;
  if (objective.total) numbers.push_back(*objective.total);
  for (const auto& term : objective.terms)
    if (term.value) numbers.push_back(*term.value);
  for (auto& number : numbers) number = number.detach().to(at::kDouble);
  return numbers.empty() ? at::empty({0}, stop_.options().dtype(at::kDouble)) : at::stack(numbers);
}

void Session::read(Pass& pass, const Tensor& numbers) {
  const double* next = numbers.const_data_ptr<double>();
  pass.step.gradient_norm = *next++;
  pass.step.loss = pass.step.updated ? *next++ : kNaN;
  for (const bool defined : pass.defined) pass.step.terms.push_back(defined ? *next++ : kNaN);
  for (size_t i = 0; i < terms_.size(); ++i) {
    if (!pass.defined[i] || std::isfinite(pass.step.terms[i])) continue;
    throw NotFinite(pass.step.step, date_to_blame(pass, terms_[i]), terms_[i].name);
  }
  if (!pass.step.updated) return;
  if (!std::isfinite(pass.step.loss))
    throw NotFinite(pass.step.step, date_of_gradient(pass), "total");
  if (!std::isfinite(pass.step.gradient_norm))
    throw NotFinite(pass.step.step, date_of_gradient(pass), "gradient");
}

// What the step computed is gone by now, and was never of its own where it was captured; but as no
// weight has changed since, its forward gives the same again.
std::optional<int64_t> Session::date_to_blame(const Pass& pass, const Term& term) {
  c10::NoGradGuard no_grad;
  BufferGuard buffers(*model);
  const auto batch = batch_of(pass);
  return first_not_finite(term, *model, forward(batch).output, batch);
}

// The first date whose gradient is not finite by itself; nullopt where they are so together only.
std::optional<int64_t> Session::date_of_gradient(const Pass& pass) {
  if (pass.dates.size() == 1) return pass.dates[0];
  BufferGuard buffers(*model);
  for (const int64_t date : pass.dates) {
    Pass alone = pass;
    alone.dates = {date};
    alone.filled = 0;
    forward_backward(batch_of(alone));
    bool finite = true;
    for (const auto& parameter : model->parameters())
      if (const Tensor& gradient = parameter.grad(); gradient.defined())
        finite = finite && at::linalg_vector_norm(gradient).isfinite().item<bool>();
    optimizer_->clear_gradients();
    if (!finite) return date;
  }
  return std::nullopt;
}

Tensor Session::plain_step(Pass& pass, double learning_rate) {
  BufferGuard buffers(*model);
  const auto [output, objective] = forward_backward(pass, batch_of(pass));
  if (!pass.step.updated) return with_norm(at::zeros_like(stop_), numbers_of(objective));
  const auto norm = update(*objective.total, optimizer_->next(learning_rate));
  buffers.keep_changes_unless(stop_);
  return with_norm(norm, numbers_of(objective));
}

// As plain_step, of a batch whose tensors alone tell it from others of its shape.
Tensor Session::graph_step(Pass& pass, double learning_rate) {
  const auto batch = batch_of(pass);
  pass.step.undefined = undefined_dates(terms_, model->config, batch);
  const auto dates = static_cast<int64_t>(pass.dates.size());
  for (const int64_t undefined : pass.step.undefined) pass.defined.push_back(undefined < dates);
  pass.step.updated =
      std::find(pass.defined.begin(), pass.defined.end(), true) != pass.defined.end();
  if (!pass.step.updated) return at::zeros({1}, stop_.options().dtype(at::kDouble));
  const auto numbers = ops::to_device(optimizer_->next(learning_rate), panel_->device());
  const auto result =
      graphs_->run({pass.filled, dates, pass.defined}, batch, numbers,
                   [this](const PackedBatch& given, const Tensor& update_numbers) {
                     const auto [output, objective] = forward_backward(given);
                     return with_norm(update(*objective.total, update_numbers),
                                      numbers_of(objective));
                   });
  pass.step.capture_failure = graphs_->take_failure();
  return result;
}

std::vector<Step> Session::advance(at::ArrayRef<int64_t> dates, double learning_rate) {
  const bool captured = graphs_ && (!exact || dates.size() == 1);
  auto pass = begin(dates, /*fill=*/captured);
  HostCopy numbers(pass.filled > 0 ? graph_step(pass, learning_rate)
                   : exact || ranks ? exact_step(pass, learning_rate)
                                    : plain_step(pass, learning_rate));
  ++steps;
  running_.push_back({std::move(pass), std::move(numbers)});
  return collect(kInFlight);
}

std::vector<Step> Session::finish() { return collect(0); }

Step Session::step(at::ArrayRef<int64_t> dates, double learning_rate) {
  TORCH_INTERNAL_ASSERT(running_.empty(), "the steps before this one have not been finished");
  auto done = advance(dates, learning_rate);
  if (done.empty()) done = finish();
  return done.front();
}

// Takes in the steps that have ended, and waits while more than `may_run` have not. Ranks on GPUs
// take in just so many, whatever has ended: all throw what a step throws in the same call.
std::vector<Step> Session::collect(size_t may_run) {
  const bool by_number = ranks && !panel_->device().is_cpu();
  std::vector<Step> done;
  while (!running_.empty() &&
         (running_.size() > may_run || (!by_number && running_.front().numbers.is_here()))) {
    Pass& pass = running_.front().pass;
    try {
      read(pass, running_.front().numbers.wait());
    } catch (const NotFinite&) {
      if (!done.empty()) {  // those first; the next call comes back here
        pass.step.terms.clear();
        return done;
      }
      steps = pass.step.step - 1;
      for (const auto& stopped : running_) optimizer_->updates -= stopped.pass.step.updated;
      running_.clear();
      stop_.zero_();
      throw;
    }
    const auto end = Clock::now();
    pass.step.milliseconds =
        std::chrono::duration<double, std::milli>(end - std::max(pass.start, last_end_)).count();
    last_end_ = end;
    done.push_back(std::move(pass.step));
    running_.pop_front();
  }
  return done;
}

Session::Gradients Session::gradients(at::ArrayRef<int64_t> dates) {
  BufferGuard buffers(*model);
  TORCH_INTERNAL_ASSERT(running_.empty(), "the steps before this one have not been finished");
  auto pass = begin(dates, /*fill=*/false);
  Gradients result;
  nn::Output output;
  Tensor numbers;  // but for the norm
  const auto parameters = model->parameters();
  std::vector<Tensor> gradients;
  TORCH_CHECK_VALUE(!ranks, "gradients are those of one process");
  if (exact) {
    auto sum = sum_over_slots(pass, /*keep=*/true);
    gradients = parts_of(sum.gradient, parameters);
    numbers = std::move(sum.numbers);
    output = std::move(sum.output);
  } else {
    const auto [given, objective] = forward_backward(pass, batch_of(pass));
    for (const auto& parameter : parameters)
      gradients.push_back(parameter.grad().defined() ? parameter.grad().contiguous()
                                                     : at::zeros_like(parameter));
    numbers = numbers_of(objective);
    output = given;
    optimizer_->clear_gradients();
  }
  c10::NoGradGuard no_grad;
  std::vector<Tensor> norms;
  for (size_t i = 0; i < parameters.size(); ++i) {
    norms.push_back(at::linalg_vector_norm(gradients[i]));
    result.gradients.emplace_back(optimizer_->names[i], std::move(gradients[i]));
  }
  read(pass, HostCopy(with_norm(at::linalg_vector_norm(at::stack(norms)), numbers)).wait());
  pass.step.milliseconds =
      std::chrono::duration<double, std::milli>(Clock::now() - pass.start).count();
  if (pass.step.updated) buffers.keep_changes();
  result.predictions = output.predictions.detach();
  result.risk_factors = output.risk_factors.detach();
  pass.step.updated = false;
  result.step = std::move(pass.step);
  return result;
}

double Session::apply(const NamedTensors& gradients, double learning_rate) {
  const std::unordered_map<std::string, Tensor> given(gradients.begin(), gradients.end());
  const auto parameters = model->named_parameters();
  for (const auto& entry : parameters) {
    const auto found = given.find(entry.key());
    TORCH_CHECK(found != given.end(), "gradients: \"", entry.key(), "\" is missing");
    TORCH_CHECK(found->second.sizes() == entry.value().sizes(), "gradients: \"", entry.key(),
                "\" has shape ", found->second.sizes(), " but expected ", entry.value().sizes());
  }
  for (const auto& [name, gradient] : gradients) {
    TORCH_CHECK(parameters.contains(name), "gradients: \"", name, "\" is unexpected");
  }
  // A copy: clipping scales in place.
  for (const auto& entry : parameters) {
    entry.value().mutable_grad() =
        given.at(entry.key())
            .detach()
            .to(entry.value().options().requires_grad(false), /*non_blocking=*/false,
                /*copy=*/true);
  }
  const double norm = optimizer_->apply(optimizer_->next(learning_rate), stop_).item<double>();
  if (!std::isfinite(norm)) {
    --optimizer_->updates;
    stop_.zero_();
    throw NotFinite(steps + 1, std::nullopt, "gradient");
  }
  ++steps;
  return norm;
}

Session::NamedTensors Session::state() const {
  NamedTensors tensors;
  for (const auto& [name, tensor] : views()) tensors.emplace_back(name, tensor.detach().clone());
  return tensors;
}

void Session::load_state(const NamedTensors& tensors, int64_t new_steps, int64_t new_updates) {
  TORCH_CHECK_VALUE(new_steps >= 0 && new_updates >= 0 && new_updates <= new_steps,
                    "state: expected 0 <= updates <= steps but got ", new_updates, " and ",
                    new_steps);
  nn::copy_state(views(), tensors);
  steps = new_steps;
  optimizer_->updates = new_updates;
}

// Everything that a resumed run continues from, as aliases.
Session::NamedTensors Session::views() const {
  NamedTensors tensors;
  for (const auto& [name, tensor] : nn::state_dict(*model))
    tensors.emplace_back("raw." + name, tensor);
  if (averaged != model) {
    for (const auto& [name, tensor] : nn::state_dict(*averaged)) {
      tensors.emplace_back("ema." + name, tensor);
    }
  }
  for (size_t i = 0; i < optimizer_->names.size(); ++i) {
    tensors.emplace_back("exp_avg." + optimizer_->names[i], optimizer_->exp_avg[i]);
    tensors.emplace_back("exp_avg_sq." + optimizer_->names[i], optimizer_->exp_avg_sq[i]);
  }
  return tensors;
}

}  // namespace astgnn::train
