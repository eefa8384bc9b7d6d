#include "train/optimizer.h"

#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "ops/cpu/adamw.h"

namespace astgnn::train {

Optimizer::Optimizer(torch::nn::Module& module, torch::nn::Module* averaged,
                     const OptimizerOptions& options)
    : module_(module), averaged_(averaged), options_(options) {
  c10::NoGradGuard no_grad;
  for (const auto& entry : module_.named_parameters()) {
    names.push_back(entry.key());
    exp_avg.push_back(at::zeros_like(entry.value(), at::MemoryFormat::Contiguous));
    exp_avg_sq.push_back(at::zeros_like(entry.value(), at::MemoryFormat::Contiguous));
  }
  if (averaged_) nn::load_state_dict(*averaged_, nn::state_dict(module_));
}

std::vector<Tensor> Optimizer::parameters() const { return module_.parameters(); }

void Optimizer::clear_gradients() {
  for (auto& parameter : parameters()) parameter.mutable_grad().reset();
}

// b = min(decay, u / (u + 10)) at update u; the average moves by the share 1 - b.
Tensor Optimizer::next(double learning_rate) {
  const double u = static_cast<double>(++updates);
  return at::tensor({learning_rate, u, 1 - std::min(options_.ema, u / (u + 10))}, at::kDouble);
}

std::vector<Tensor> Optimizer::gradients() const {
  std::vector<Tensor> all;
  for (const auto& weight : parameters()) {
    // What follows walks memory in order; an accumulated gradient may be a transposed view.
    all.push_back(weight.grad().defined() ? weight.grad().contiguous() : at::zeros_like(weight));
  }
  return all;
}

Tensor Optimizer::apply(const Tensor& numbers, Tensor& stop) {
  c10::NoGradGuard no_grad;
  const auto weights = parameters();
  if (!weights[0].is_cpu()) return apply_by_ops(numbers, stop);
  const auto of = gradients();
  const auto averages = averaged_ ? averaged_->parameters() : std::vector<Tensor>();
  const double *given = numbers.const_data_ptr<double>(), rate = given[0], u = given[1];
  double norm = 0;
  AT_DISPATCH_FLOATING_TYPES(weights[0].scalar_type(), "adamw", [&] {
    ops::AdamwParts<scalar_t> parts;
    const auto numbers_of = [](const Tensor& tensor) {
      TORCH_INTERNAL_ASSERT(tensor.is_contiguous());
      return tensor.mutable_data_ptr<scalar_t>();
    };
    for (size_t i = 0; i < weights.size(); ++i)
      parts.add(weights[i].numel(), of[i].const_data_ptr<scalar_t>(), numbers_of(weights[i]),
                numbers_of(exp_avg[i]), numbers_of(exp_avg_sq[i]),
                averaged_ ? numbers_of(averages[i]) : nullptr);
    norm = parts.norm();
    if (!std::isfinite(norm)) stop.fill_(1);
    if (stop.item<float>() != 0) return;
    const auto number = [](double x) { return static_cast<scalar_t>(x); };
    const double clip = options_.clip_norm > 0 ? std::min(1.0, options_.clip_norm / (norm + 1e-6))
                                               : 1.0;
    parts.update({number(clip), number(1 - rate * options_.weight_decay), number(options_.beta1),
                  number(options_.beta2), number(1 - options_.beta1), number(1 - options_.beta2),
                  number(rate / (1 - std::pow(options_.beta1, u))),
                  number(1 / std::sqrt(1 - std::pow(options_.beta2, u))), number(options_.eps),
                  number(given[2])});
  });
  clear_gradients();
  if (averaged_) copy_buffers(stop);
  return at::scalar_tensor(norm, at::kDouble);
}

Tensor Optimizer::apply_by_ops(const Tensor& numbers, Tensor& stop) {
  c10::NoGradGuard no_grad;
  const bool on_host = numbers.is_cpu();
  const Tensor learning_rate = on_host ? numbers[0] : numbers[0].to(at::kFloat);
  auto weights = parameters();
  const auto gradients = this->gradients();
  const Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients)));
  stop.masked_fill_(norm.isfinite().logical_not(), 1);
  if (options_.clip_norm > 0) {
    const Tensor factor = (options_.clip_norm / (norm.to(at::kDouble) + 1e-6)).clamp_max(1);
    at::_foreach_mul_(gradients, factor.to(norm.scalar_type()));
  }
  // One tensor for all: every parameter has had the same number of updates. Written there by a
  // kernel: a copy from the host would have it wait.
  const Tensor count =
      on_host ? at::full({}, numbers[1].item<double>(), stop.options()) : numbers[1].to(at::kFloat);
  const std::vector<Tensor> counts(weights.size(), count);
  at::_fused_adamw_(weights, gradients, exp_avg, exp_avg_sq, /*max_exp_avg_sqs=*/{}, counts,
                    learning_rate, options_.beta1, options_.beta2, options_.weight_decay,
                    options_.eps, /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/{},
                    /*found_inf=*/stop);
  clear_gradients();
  if (averaged_) average(numbers[2].to(weights[0].scalar_type()), stop);
  return norm;
}

// e <- e + share (w - e).
void Optimizer::average(const Tensor& share, const Tensor& stop) {
  auto averages = averaged_->parameters();
  auto changes = at::_foreach_sub(parameters(), averages);
  at::_foreach_mul_(changes, (1 - stop.to(averages[0].scalar_type())) * share);
  at::_foreach_add_(averages, changes);
  copy_buffers(stop);
}

void Optimizer::copy_buffers(const Tensor& stop) {
  const auto buffers = module_.buffers(), copies = averaged_->buffers();
  for (size_t i = 0; i < buffers.size(); ++i)
    copies[i].copy_(at::where(stop.to(at::kBool), copies[i], buffers[i]));
}

}  // namespace astgnn::train
