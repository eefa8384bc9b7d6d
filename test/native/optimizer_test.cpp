// The optimizer: equal to AdamW, clipping and EMA written out per number, in one pass and by
// LibTorch's ops, with the same bits for any number of threads and every instruction set.
#include "train/optimizer.h"

#include <ATen/Parallel.h>
#include <torch/nn/module.h>

#include "check.h"

namespace {

using at::Tensor;
using namespace astgnn;

struct Pair : torch::nn::Module {
  explicit Pair(at::ScalarType dtype) {
    const auto options = at::TensorOptions().dtype(dtype);
    wide = register_parameter("wide", at::randn({3, 7}, options));
    scalar = register_parameter("scalar", at::randn({}, options));
    counter = register_buffer("counter", at::zeros({}, at::kLong));
  }
  Tensor wide, scalar, counter;
};

// AdamW of Loshchilov and Hutter 2019 in float64: decay, moments, bias corrections.
struct Expected {
  Tensor weight, average, first, second;
  void update(const Tensor& gradient, int64_t u, double rate, const train::OptimizerOptions& o) {
    weight = weight * (1 - rate * o.weight_decay);
    first = o.beta1 * first + (1 - o.beta1) * gradient;
    second = o.beta2 * second + (1 - o.beta2) * gradient * gradient;
    const Tensor m = first / (1 - std::pow(o.beta1, u)), v = second / (1 - std::pow(o.beta2, u));
    weight = weight - rate * m / (v.sqrt() + o.eps);
    const double b = std::min(o.ema, static_cast<double>(u) / static_cast<double>(u + 10));
    average = b * average + (1 - b) * weight;
  }
};

using Update = Tensor (train::Optimizer::*)(const Tensor&, Tensor&);
constexpr Update kOnePass = &train::Optimizer::apply, kByOps = &train::Optimizer::apply_by_ops;

void follows_the_formulas(Update update, at::ScalarType dtype, double clip, double decay,
                          double tolerance) {
  const std::string where = std::string(" in ") + c10::toString(dtype) + ", clip " +
                            std::to_string(clip) + (update == kByOps ? " by ops" : "");
  at::NoGradGuard no_grad;
  Pair module(dtype), averaged(dtype);
  train::OptimizerOptions options;
  options.clip_norm = clip;
  options.weight_decay = decay;
  options.ema = 0.5;  // reached within the run: at update 10 the warm-up gives way
  train::Optimizer optimizer(module, &averaged, options);
  check::equal(averaged.wide, module.wide, "the average starts as a copy of the weights" + where);
  std::vector<Tensor> weights{module.wide, module.scalar};
  std::vector<Expected> expected;
  for (const Tensor& w : weights) {
    const Tensor x = w.to(at::kDouble).clone();
    expected.push_back({x, x, at::zeros_like(x), at::zeros_like(x)});
  }
  Tensor stop = at::zeros({});
  for (int64_t u = 1; u <= 14; ++u) {
    std::vector<Tensor> gradients;
    double squares = 0;
    for (Tensor& w : weights) {
      // A transposed view: what the kernel must not read in the order of memory.
      gradients.push_back(w.dim() == 2 ? at::randn({7, 3}, w.options()).t()
                                       : at::randn({}, w.options()));
      w.mutable_grad() = gradients.back();
      squares += gradients.back().to(at::kDouble).square().sum().item<double>();
    }
    module.counter.add_(1);
    const double rate = 0.01 * static_cast<double>(u), norm = std::sqrt(squares);
    const double factor = clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1.0;
    for (size_t i = 0; i < weights.size(); ++i)
      expected[i].update(gradients[i].to(at::kDouble) * factor, u, rate, options);
    check::near((optimizer.*update)(optimizer.next(rate), stop).item<double>(), norm, 1e-5 * norm,
                "the norm is that before clipping" + where);
  }
  check::close(module.wide, expected[0].weight, tolerance, "weights" + where);
  check::close(module.scalar, expected[1].weight, tolerance, "a 0-d weight" + where);
  check::close(averaged.wide, expected[0].average, tolerance, "averages" + where);
  check::close(optimizer.exp_avg[0], expected[0].first, tolerance, "first moments" + where);
  check::close(optimizer.exp_avg_sq[0], expected[0].second, tolerance, "second moments" + where);
  check::equal(averaged.counter, module.counter, "buffers are copied, not averaged" + where);
  check::that(!module.wide.grad().defined(), "gradients are cleared" + where);
}

void leaves_all_as_it_was_on_a_bad_gradient(Update update) {
  at::NoGradGuard no_grad;
  Pair module(at::kFloat), averaged(at::kFloat);
  train::Optimizer optimizer(module, &averaged, {});
  const Tensor before = module.wide.clone();
  Tensor stop = at::zeros({});
  for (const double bad : {double(INFINITY), double(NAN), 1e30}) {
    stop.zero_();
    module.wide.mutable_grad() = at::full({3, 7}, bad);
    check::that(!std::isfinite((optimizer.*update)(optimizer.next(0.1), stop).item<double>()) &&
                    stop.item<float>() == 1,
                "a gradient that is infinite, or whose squares are, has no finite norm and stops");
  }
  check::equal(module.wide, before, "weights stay");
  check::equal(averaged.wide, before, "averages stay");
  check::that(optimizer.exp_avg[0].eq(0).all().item<bool>(), "moments stay");
  module.wide.mutable_grad() = at::ones({3, 7});
  (optimizer.*update)(optimizer.next(0.1), stop);
  check::equal(module.wide, before, "and so does everything after it");
  stop.zero_();
  module.wide.mutable_grad() = at::ones({3, 7});
  (optimizer.*update)(optimizer.next(0.1), stop);
  check::that(!at::equal(module.wide, before), "until it is let go on");
  check::that(module.scalar.isfinite().item<bool>(),
              "a parameter without a gradient counts as gradient zero");
}

// Three updates of parameters of 1 to 20,001 numbers: weights, averages, moments, norm.
std::vector<Tensor> three_updates(at::ScalarType dtype) {
  at::NoGradGuard no_grad;
  struct Parameters : torch::nn::Module {
    explicit Parameters(at::ScalarType dtype) {
      for (const int64_t size : {1, 31, 8192, 20001, 64})
        register_parameter(std::to_string(size), at::arange(size, dtype).mul(0.7).sin().mul(0.3));
    }
  } module(dtype), averaged(dtype);
  train::OptimizerOptions options;
  options.weight_decay = 0.1;
  train::Optimizer optimizer(module, &averaged, options);
  Tensor stop = at::zeros({}), norm;
  for (int64_t u = 1; u <= 3; ++u) {
    for (auto& weight : module.parameters())
      weight.mutable_grad() = at::arange(weight.numel(), dtype).mul(0.31 * u).cos();
    norm = optimizer.apply(optimizer.next(0.01), stop);
  }
  std::vector<Tensor> all = {norm};
  for (const auto& tensors : {module.parameters(), averaged.parameters(), optimizer.exp_avg,
                              optimizer.exp_avg_sq})
    for (const auto& tensor : tensors) all.push_back(tensor.clone());
  return all;
}

void has_the_same_bits_everywhere(at::ScalarType dtype) {
  std::vector<Tensor> first;
  check::each_instruction_set([&](const std::string& isa) {
    for (const int threads : {1, 2, 5}) {
      at::set_num_threads(threads);
      const auto all = three_updates(dtype);
      if (first.empty()) first = all;
      for (size_t k = 0; k < all.size(); ++k)
        check::equal(all[k], first[k],
                     "tensor " + std::to_string(k) + " is the same with " + isa + " and " +
                         std::to_string(threads) + " threads in " + c10::toString(dtype));
    }
  });
}

}  // namespace

int main() {
  at::manual_seed(5);
  for (const Update update : {kOnePass, kByOps}) {
    follows_the_formulas(update, at::kDouble, 1.0, 0.0, 1e-12);
    follows_the_formulas(update, at::kDouble, 0.0, 0.1, 1e-12);
    // 14 updates of float32 rounding; the 0-d weight may have come close to 0.
    follows_the_formulas(update, at::kFloat, 1.0, 0.1, 5e-6);
    leaves_all_as_it_was_on_a_bad_gradient(update);
  }
  for (const auto dtype : {at::kFloat, at::kDouble}) has_the_same_bits_everywhere(dtype);
  return check::finish();
}
