// GRU: equal to the reference step by step, from a panel and dense, in values and all gradients;
// blocks and threads leave no trace.
#include "gru_cases.h"
#include "ops/cpu/ordered_sum.h"

namespace {

using namespace gru_cases;

void sums_in_the_order_of_the_tasks() {
  const float parts[] = {1e8f, 1.0f, -1e8f, 3.0f};  // another order gives another sum
  for (const std::vector<int64_t>& ended :
       {std::vector<int64_t>{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}}) {
    float total[2] = {7, 7};
    ops::OrderedSum<float> sum(total, 2, 4);
    for (const int64_t task : ended) {
      auto own = sum.take();
      static_cast<float*>(own.get())[1] += parts[task];
      sum.give(task, std::move(own));
    }
    check::that(total[0] == 0 && total[1] == ((1e8f + 1.0f) - 1e8f) + 3.0f,
                "a sum has the order of its tasks, whichever ended first");
  }
}

void behaviour() {
  const int64_t stocks = 160, features = 5, hidden = 6;
  for (const auto dtype : {at::kDouble, at::kFloat}) {
    // float32: sums of up to 151 * 20 products in another order.
    against_twin(dtype, dtype == at::kDouble ? 1e-10 : 2e-5);
  }

  // Against PyTorch's own GRU.
  const auto weights = make_weights(features, hidden, 2, at::kDouble);
  const Tensor x = at::randn({7, 33, features}, at::kDouble);
  const Tensor theirs = std::get<0>(at::gru(x, at::zeros({2, 33, hidden}, at::kDouble), weights,
                                            true, 2, 0.0, false, false, false))
                            .select(0, 6);
  check::close(ops::gru_dense(x, weights, 0, Tensor()), theirs, 1e-12, "equal to at::gru");
  const Tensor strided = at::randn({features, 33, 7}, at::kDouble).permute({2, 1, 0});
  check::equal(ops::gru_dense(strided, weights, 0, Tensor()),
               ops::gru_dense(strided.contiguous(), weights, 0, Tensor()),
               "a non-contiguous input");

  auto inputs = make_weights(3, 4, 2, at::kDouble);
  inputs.push_back(at::randn({4, 3, 3}, at::kDouble));
  const Tensor key = make_key(3);
  check::gradient(
      [&](const std::vector<Tensor>& in) {
        return ops::gru_dense(in.back(), at::TensorList(in).slice(0, 8), 0.3, key);
      },
      inputs, "central differences with dropout");

  // LibTorch's own GRU, which the emulated device has, makes no such promise.
  if (!check::on_device) any_number_of_threads();
  const Tensor panel = at::randn({40, stocks, features}),
               date = at::randint(19, 40, {700}, at::kLong),
               stock = at::randint(0, stocks, {700}, at::kLong);
  const auto wide = make_weights(features, 64, 2, at::kDouble);
  const Tensor alone =
      ops::gru(panel, date.slice(0, 0, 33), stock.slice(0, 0, 33), 20, wide, 0, Tensor());
  check::close(ops::gru(panel, date, stock, 20, wide, 0, Tensor()).slice(0, 0, 33), alone, 1e-13,
               "a row does not depend on what shares its batch");

  check::throws(
      [&] {
        ops::gru(panel, at::full({1}, 18, at::kLong), at::zeros({1}, at::kLong), 20, wide, 0,
                 Tensor());
      },
      "panel dates from 19", "a window that starts before the panel is refused");
  check::throws(
      [&] {
        ops::gru(panel, at::full({1}, 40, at::kLong), at::zeros({1}, at::kLong), 20, wide, 0,
                 Tensor());
      },
      "row 0 has 40", "a date past the panel is refused");
  check::throws(
      [&] {
        ops::gru(panel, at::full({1}, 20, at::kLong), at::full({1}, stocks, at::kLong), 20, wide, 0,
                 Tensor());
      },
      "stocks from 0", "a stock past the panel is refused");
  check::throws([&] { ops::gru_dense(x.to(at::kFloat), weights, 0, Tensor()); },
                "in the dtype of the weights", "mixed dtypes are refused");
}

// Weights as a model starts with. The state itself is rounded to 2^-9 at every step.
void medium_on_device() {
  ops::use_precision(ops::Precision::kMedium);
  accuracy("medium", {2e-2, 3e-2}, /*spread=*/0.577);
  const auto weights = make_weights(5, 6, 2, at::kDouble);
  const Tensor x = at::randn({3, 40, 5}, at::kDouble),
               rounded = ops::gru_dense(x, weights, 0, Tensor());
  ops::use_precision(ops::Precision::kHighest);
  check::equal(rounded, ops::gru_dense(x, weights, 0, Tensor()), "medium rounds no float64");
}

}  // namespace

int main() {
  sums_in_the_order_of_the_tasks();
  check::each_instruction_set([](const std::string& isa) {
    at::manual_seed(3);
    accuracy(isa, {2e-6, 3e-6});
    behaviour();
  });
  if (check::on_device) medium_on_device();
  return check::finish();
}
